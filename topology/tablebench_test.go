package topology

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// tableLoop is a sub-topology with tables under measurement. Its tables have a
// row for every key before it starts.
type tableLoop struct {
	inst    *Instance
	db      *memdb.DB
	out     discard
	sources map[string]*SourceTask
	raws    []Raw
	next    int
}

func newTableLoop(tb testing.TB, declare func(b *Builder), keys int, tables ...string) *tableLoop {
	tb.Helper()
	b := New("bench")
	declare(b)
	topo, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	l := &tableLoop{db: memdb.New(), sources: map[string]*SourceTask{}}
	sub := topo.Subs()[0]
	globals := &globalRows{db: memdb.New()}
	sub.Globals = globals
	l.inst, err = sub.Instantiate(Env{
		View: l.db, CacheBytes: 64 << 20, Output: func(string) Output { return &l.out }, Now: func() time.Time { return time.UnixMilli(0) },
		StoreID: func(name string) uint16 {
			return uint16(1 + slices.IndexFunc(sub.Stores, func(s state.Spec) bool { return s.Name == name }))
		},
		Placement: func(*TopicDecl) (func([]byte, int32) int32, int32) { return func([]byte, int32) int32 { return 0 }, 1 },
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range l.inst.Sources() {
		l.sources[s.Topic] = s
	}
	for i := range keys {
		key := fmt.Sprintf("meter-%06d", i*7919%keys)
		l.raws = append(l.raws, Raw{Key: []byte(key), Value: []byte{0, 0, 0, 0, 0, 0, 0, 7}, Time: int64(i)})
		globals.apply(tb, modelStep{key: key, value: 5, time: 1})
	}
	for _, table := range tables {
		for range l.raws {
			l.step(tb, table)
		}
	}
	return l
}

// step processes one record, warmed with its neighbours as a task does it.
func (l *tableLoop) step(tb testing.TB, topic string) {
	s := l.sources[topic]
	if l.next%16 == 0 {
		s.Warm(l.raws[l.next:min(l.next+16, len(l.raws))])
	}
	ts, ok, err := s.Decode(&l.raws[l.next])
	if err == nil && ok {
		err = l.inst.Process(s, ts)
	}
	if err != nil || !ok {
		tb.Fatal(ok, err)
	}
	if l.next++; l.next == len(l.raws) {
		l.next = 0
	}
}

func streamTableOnly(b *Builder) {
	JoinTable(Source(b, numbers("s")), rightTable(b), plus).To(numbers("out"))
}

// tableCases are the operators on tables, by the topic that is sent.
var tableCases = []struct {
	name    string
	send    string
	declare func(b *Builder)
	tables  []string
}{
	{"stream-table join", "s", streamTableOnly, []string{"r"}},
	{"stream-global join", "s", func(b *Builder) {
		g := GlobalTable(b, deletable("r"), rowsStore("global"))
		JoinGlobal(Source(b, numbers("s")), g, func(k string, _ int64) string { return k }, plus).To(numbers("out"))
	}, []string{"s"}},
	{"table source", "l", func(b *Builder) { Updates(leftTable(b)).To(deletable("out")) }, []string{"l"}},
	{"table filter and map", "l", func(b *Builder) {
		odd := leftTable(b).Filter(func(_ string, v int64) bool { return v%2 == 1 })
		Updates(MapTable(odd, func(v int64) int64 { return v + 1 })).To(deletable("out"))
	}, []string{"l"}},
	{"table-table join", "l", func(b *Builder) {
		Updates(JoinTables(leftTable(b), rightTable(b), plus)).To(deletable("out"))
	}, []string{"r", "l"}},
	{"table-table join with a store", "l", func(b *Builder) {
		kept(JoinTables(leftTable(b), rightTable(b), plus))
	}, []string{"r", "l"}},
	{"group table", "l", func(b *Builder) {
		g := GroupTable(leftTable(b), func(_ string, v int64) (string, int64) { return "all", v }, numbers("by-group"))
		CountTable(g, rowsStore("counts")).ToStream().To(numbers("out"))
	}, []string{"l"}},
	{"foreign-key ask", "l", func(b *Builder) {
		foreign := func(string, int64) string { return "x" }
		JoinForeign(leftTable(b.Sub("left")), rightTable(b.Sub("right")), foreign, plus, foreignVia)
	}, []string{"l"}},
}

// BenchmarkTables is a record through an operator on tables with 100,000 keys,
// from its bytes to the bytes of its results. Commits are left out.
func BenchmarkTables(b *testing.B) {
	for _, c := range tableCases {
		b.Run(c.name, func(b *testing.B) {
			l := newTableLoop(b, c.declare, 100_000, c.tables...)
			b.ReportAllocs()
			for b.Loop() {
				l.step(b, c.send)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func TestNothingIsAllocatedPerTableUpdate(t *testing.T) {
	for _, c := range tableCases {
		l := newTableLoop(t, c.declare, 1000, c.tables...)
		for range 2 * len(l.raws) {
			l.step(t, c.send)
		}
		before := l.out.n
		if n := testing.AllocsPerRun(2000, func() { l.step(t, c.send) }); n != 0 {
			t.Errorf("%s: %v allocations per record", c.name, n)
		}
		if l.out.n == before {
			t.Errorf("%s: nothing came out", c.name)
		}
	}
}
