package topology

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/state/pebbledb"
)

// pairLoop is a join under measurement: two streams whose records come in turns,
// with stream time moving by a millisecond every perMilli records.
type pairLoop struct {
	inst     *Instance
	db       state.Engine
	out      discard
	n        int64
	keys     [][]byte
	raw      Raw
	perMilli int64
}

var benchValue = []byte("0123456789abcdef0123456789abcdef")

func newPairLoop(tb testing.TB, db state.Engine, declare func(b *Builder), keys int, perMilli int64) *pairLoop {
	tb.Helper()
	b := New("bench")
	declare(b)
	topo, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	l := &pairLoop{db: db, perMilli: perMilli}
	sub := topo.Subs()[0]
	l.inst, err = sub.Instantiate(Env{
		View: db, CacheBytes: 64 << 20,
		StoreID: func(name string) uint16 {
			for i, s := range sub.Stores {
				if s.Name == name {
					return uint16(1 + i)
				}
			}
			return 0
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
		l.keys = append(l.keys, fmt.Appendf(nil, "order-%06d", i))
	}
	return l
}

// step processes one record, and commits behind every 30,000th.
func (l *pairLoop) step(tb testing.TB) {
	side, pair := l.n%2, l.n/2
	if side == 1 {
		pair += int64(len(l.keys)) - 2*1000*l.perMilli/2 // the partner came two seconds ago
	}
	s, key := l.inst.Sources()[side], l.keys[uint64(pair*0x9E37)%uint64(len(l.keys))]
	l.raw = Raw{Key: key, Value: benchValue, Time: l.n / l.perMilli}
	l.n++
	t, ok, err := s.Decode(&l.raw)
	if err == nil && ok {
		err = l.inst.Process(s, t)
	}
	for err == nil && l.inst.Closing() {
		err = l.inst.Close(10_000)
	}
	if err != nil || !ok {
		tb.Fatal(ok, err)
	}
	if l.n%30_000 == 0 {
		l.commit(tb)
	}
}

func (l *pairLoop) commit(tb testing.TB) {
	batch := l.db.NewBatch()
	var err error
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

func benchPairs(kind string) func(b *Builder) {
	return func(b *Builder) {
		left, right := Source(b, texts("in0")), Source(b, texts("in1"))
		store, window := state.Join("pairs", serde.String, serde.String, serde.String), Within(10*time.Second)
		var out *Stream[string, string]
		switch kind {
		case "inner":
			out = JoinStreams(left, right, window, func(l, _ string) string { return l }, store)
		case "left":
			out = LeftJoinStreams(left, right, window, func(l string, _ processor.Opt[string]) string { return l }, store)
		default:
			out = OuterJoinStreams(left, right, window, func(l, _ processor.Opt[string]) string { return l.Value }, store)
		}
		out.To(texts("out"))
	}
}

// benchEngine opens what a benchmark commits into.
func benchEngine(b *testing.B, name string) state.Engine {
	if name == "memory" {
		return memdb.New()
	}
	db, err := pebbledb.Open(pebbledb.Options{FS: vfs.NewMem(), Dir: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

func (l *pairLoop) measure(b *testing.B, warmUp int) {
	for range warmUp {
		l.step(b)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.step(b)
	}
	b.ReportMetric(float64(l.out.n)/float64(l.n), "written/record")
}

// BenchmarkStreamJoin is a record of one of two streams, joined within 10 s. 100,000
// keys come round after 20 s, the partner of each record after two, and the window
// holds 100,000 records. Commits into the engine, each 30,000 records, are part of
// the time.
func BenchmarkStreamJoin(b *testing.B) {
	for _, kind := range []string{"inner", "left", "outer"} {
		for _, engine := range []string{"memory", "pebble"} {
			b.Run(kind+"/"+engine, func(b *testing.B) {
				newPairLoop(b, benchEngine(b, engine), benchPairs(kind), 100_000, 10).measure(b, 300_000)
			})
		}
	}
}

// BenchmarkVersionedJoin is a record of a stream or, in turns, of a versioned table
// with 10,000 keys and a history of 10 s, five versions of each. With grace the
// records of the stream wait for a second.
func BenchmarkVersionedJoin(b *testing.B) {
	for _, grace := range []time.Duration{0, time.Second} {
		b.Run("grace="+grace.String(), func(b *testing.B) {
			declare := func(b *Builder) {
				table := SourceTable(b, Topic[string, processor.Opt[string]]{Name: "in1", Partitions: 1, Key: serde.String,
					Value: serde.Nullable(serde.String)}, state.Versioned("rows", serde.String, serde.String, 10*time.Second))
				s, join := Source(b, texts("in0")), func(_, row string) string { return row }
				if grace == 0 {
					JoinTable(s, table, join).To(texts("out"))
				} else {
					JoinTableAfter(s, table, grace, join, state.Held("held", serde.String, serde.String)).To(texts("out"))
				}
			}
			newPairLoop(b, benchEngine(b, "pebble"), declare, 10_000, 10).measure(b, 100_000)
		})
	}
}
