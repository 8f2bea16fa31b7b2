package topology

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// discard is an output and a changelog that keep nothing.
type discard struct{ n int }

func (d *discard) Append(int32, int64, []byte, []byte, []processor.Header) error { d.n++; return nil }
func (d *discard) Record(int64, []byte, []byte) error                            { d.n++; return nil }

// loop is an instance under measurement: it takes the same records again and
// again.
type loop struct {
	inst *Instance
	db   *memdb.DB
	out  discard
	raws []Raw
	next int
}

func newLoop(tb testing.TB, declare func(b *Builder), keys int) *loop {
	tb.Helper()
	b := New("bench")
	declare(b)
	topo, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	l := &loop{db: memdb.New()}
	ids := map[string]uint16{}
	l.inst, err = topo.Subs()[0].Instantiate(Env{
		View: l.db, CacheBytes: 64 << 20,
		StoreID: func(name string) uint16 {
			if ids[name] == 0 {
				ids[name] = uint16(len(ids) + 1)
			}
			return ids[name]
		},
		Output: func(string) Output { return &l.out },
		Placement: func(*TopicDecl) (func([]byte, int32) int32, int32) {
			return func([]byte, int32) int32 { return 0 }, 1
		},
		Now: func() time.Time { return time.UnixMilli(0) },
	})
	if err == nil {
		err = l.inst.Init()
	}
	if err != nil {
		tb.Fatal(err)
	}
	for i := range keys {
		l.raws = append(l.raws, Raw{Key: fmt.Appendf(nil, "meter-%06d", i), Value: []byte{0, 0, 0, 0, 0, 0, 0, 7}, Time: int64(i)})
	}
	for range keys {
		l.step(tb)
	}
	return l
}

// step processes one record.
func (l *loop) step(tb testing.TB) {
	s := l.inst.Sources()[0]
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

// commit emits, drains and applies.
func (l *loop) commit(tb testing.TB) {
	err := l.inst.EmitPerCommit()
	batch := l.db.NewBatch()
	for _, s := range l.inst.Stores() {
		if err == nil {
			err = s.Drain(batch, &l.out)
		}
	}
	if err == nil {
		err = l.db.Apply(batch)
	}
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range l.inst.Stores() {
		s.Committed()
	}
}

func statelessChain(b *Builder) {
	in := Source(b, numbers("in")).Filter(func(_ string, v int64) bool { return v > 0 })
	MapValues(in, func(v int64) int64 { return v * 2 }).To(numbers("out"))
}

func windowedSum(e Emission) func(b *Builder) {
	return func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(time.Hour)).Emit(e)
		Aggregate(w, Fold(plus), windowStore("sums")).ToStream().To(windowed("out", time.Hour.Milliseconds()))
	}
}

// BenchmarkFilterMapValues is a record from its bytes through source, filter,
// map-values and sink back to bytes.
func BenchmarkFilterMapValues(b *testing.B) {
	l := newLoop(b, statelessChain, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		l.step(b)
	}
}

// BenchmarkWindowedAggregate is a record into a tumbling window over 10,000 cached
// keys, by emission. A commit, with its results, comes every 100,000 records and
// is part of the time.
func BenchmarkWindowedAggregate(b *testing.B) {
	for _, e := range []Emission{OnCommit, OnUpdate, OnClose} {
		b.Run(e.String(), func(b *testing.B) {
			l := newLoop(b, windowedSum(e), 10_000)
			l.commit(b)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				l.step(b)
				if n++; n%100_000 == 0 {
					l.commit(b)
				}
			}
		})
	}
}

// BenchmarkAggregate is a record into an unwindowed aggregation over 10,000
// cached keys, commits left out.
func BenchmarkAggregate(b *testing.B) {
	l := newLoop(b, func(b *Builder) {
		Aggregate(Source(b, numbers("in")).GroupByKey().Emit(OnCommit), Fold(plus), rowsStore("sums")).ToStream().To(numbers("out"))
	}, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		l.step(b)
	}
}

// BenchmarkCommit is a commit of 10,000 changed rows of one window, per row.
func BenchmarkCommit(b *testing.B) {
	l := newLoop(b, windowedSum(OnCommit), 10_000)
	for b.Loop() {
		l.commit(b)
		b.StopTimer()
		for range l.raws {
			l.step(b)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(l.raws)), "ns/row")
}

// No record allocates once its key is cached: neither in stateless nodes, nor in
// an aggregation, nor in a sink, nor in a processor that uses the store it looked
// up before.
func TestNothingIsAllocatedPerRecord(t *testing.T) {
	counter := rowsStore("kv")
	for name, declare := range map[string]func(b *Builder){
		"stateless":     statelessChain,
		"window update": windowedSum(OnUpdate),
		"window commit": windowedSum(OnCommit),
		"window close":  windowedSum(OnClose),
		"hopping":       hoppingCount,
		"plain aggregate": func(b *Builder) {
			Count(Source(b, numbers("in")).GroupByKey(), rowsStore("c")).ToStream().To(numbers("out"))
		},
		"flat map": func(b *Builder) {
			FlatMap(Source(b, numbers("in")), func(k string, v int64, emit func(string, int64)) { emit(k, v); emit(k, v) }).To(numbers("out"))
		},
		"branch and merge": func(b *Builder) {
			ports := Source(b, numbers("in")).Branch(func(_ string, v int64) bool { return v > 10 })
			ports[0].Merge(ports[1]).To(numbers("out"))
		},
		"punctuation": func(b *Builder) {
			Process(Source(b, numbers("in")), "p", ticking("tick", time.Millisecond, processor.StreamTime)).To(numbers("out"))
		},
		"processor with a store": func(b *Builder) {
			Process(Source(b, numbers("in")), "p", func() numberProcessor { return &adding{handle: counter} }, counter).To(numbers("out"))
		},
	} {
		l := newLoop(t, declare, 1000)
		l.commit(t)
		for range 2 * len(l.raws) {
			l.step(t)
		}
		if n := testing.AllocsPerRun(2000, func() { l.step(t) }); n != 0 {
			t.Errorf("%s: %v allocations per record", name, n)
		}
		if name != "window close" && name != "window commit" && l.out.n == 0 {
			t.Errorf("%s: nothing came out", name)
		}
	}
}

func hoppingCount(b *Builder) {
	w := Source(b, numbers("in")).GroupByKey().WindowedBy(Hopping(time.Hour, 15*time.Minute))
	Count(w, windowStore("c")).ToStream().To(windowed("out", time.Hour.Milliseconds()))
}

// adding adds up values in a store.
type adding struct {
	handle state.KeyValueStore[string, int64]
	kv     *state.KV[string, int64]
}

func (a *adding) Init(ctx numberContext) (err error) {
	a.kv, err = state.Of(ctx, a.handle)
	return err
}

func (a *adding) Process(ctx numberContext, r numberRecord) error {
	sum, _, err := a.kv.Get(r.Key)
	if err != nil {
		return err
	}
	if err := a.kv.Put(r.Key, sum+r.Value); err != nil {
		return err
	}
	return ctx.Forward(processor.WithKey(r, r.Key, sum+r.Value))
}
