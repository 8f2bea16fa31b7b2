package globals

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/state/pebbledb"
	"github.com/tidemill/tidemill/topology"
)

const partitions = 3

var (
	prices = topology.Topic[string, processor.Opt[string]]{Name: "prices", Partitions: partitions, Key: serde.String,
		Value: serde.Nullable(serde.String)}
	priceRows = state.KeyValue("price-rows", serde.String, serde.String)
)

// bench is a log with the topic, and the tables read from it.
type bench struct {
	t      *testing.T
	log    *embedded.Log
	writer commitlog.Writer
	want   map[string]string
}

func newBench(t *testing.T) *bench {
	log, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "/log", Now: func() time.Time { return time.Unix(0, 0) }})
	check(t, err)
	b := &bench{t: t, log: log, want: map[string]string{}}
	t.Cleanup(func() { check(t, log.Close()) })
	check(t, log.CreateTopic(t.Context(), commitlog.TopicConfig{Name: prices.Name, Partitions: partitions, Cleanup: commitlog.CleanupCompactDelete}))
	b.writer, err = log.OpenWriter(t.Context(), "test")
	check(t, err)
	t.Cleanup(func() { check(t, b.writer.Close()) })
	return b
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) specs() []topology.GlobalSpec {
	builder := topology.New("app")
	g := topology.GlobalTable(builder, prices, priceRows)
	s := topology.Source(builder, topology.Topic[string, string]{Name: "in", Key: serde.String, Value: serde.String})
	topology.JoinGlobal(s, g, func(k, _ string) string { return k }, func(_, p string) string { return p })
	built, err := builder.Build()
	check(b.t, err)
	return built.Globals()
}

// send appends a record; "-" is no key, "null" no value.
func (b *bench) send(key, value string) {
	b.t.Helper()
	var k, v []byte
	if key != "-" {
		k = []byte(key)
	}
	if value != "null" {
		v = []byte(value)
	}
	var batch recordbatch.Builder
	batch.Append(7, k, v, nil)
	partition := int32(0)
	if k != nil {
		partition = commitlog.Murmur2(k, partitions)
	}
	check(b.t, b.writer.Begin())
	check(b.t, b.writer.Append(commitlog.TopicPartition{Topic: prices.Name, Partition: partition}, &batch))
	_, err := b.writer.Commit(b.t.Context())
	check(b.t, err)
	switch {
	case k == nil:
	case v == nil:
		delete(b.want, key)
	default:
		b.want[key] = value
	}
}

func (b *bench) open(engine state.Engine) *Tables {
	b.t.Helper()
	t, err := Open(b.t.Context(), Config{Log: b.log, Tables: b.specs(), Engine: engine, Partitions: func(string) int32 { return partitions }})
	check(b.t, err)
	return t
}

// holds compares the rows with what was sent.
func (b *bench) holds(tables *Tables) {
	b.t.Helper()
	if got := rows(b.t, tables); !maps.Equal(got, b.want) {
		b.t.Fatalf("rows %v, want %v", got, b.want)
	}
}

func rows(t *testing.T, tables *Tables) map[string]string {
	store, err := tables.GlobalStore(priceRows.Spec().Name)
	check(t, err)
	lower, upper := state.StoreRange(store.ID)
	it, err := store.Rows.Iter(lower, upper, false)
	check(t, err)
	got := map[string]string{}
	for it.Next() {
		_, key, err := state.SplitRowKey(state.KindKeyValue, it.Key())
		check(t, err)
		time, value, err := state.SplitRowValue(it.Value())
		check(t, err)
		if time != 7 {
			t.Fatalf("row %s has time %d", key, time)
		}
		got[string(key)] = string(value)
	}
	check(t, it.Err())
	check(t, it.Close())
	return got
}

func TestLoadReadsAllPartitions(t *testing.T) {
	b := newBench(t)
	for i := range 50 {
		b.send(fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	b.send("k3", "null")
	b.send("k4", "again")
	b.send("-", "dropped")
	tables := b.open(memdb.New())
	check(t, tables.Load(t.Context()))
	b.holds(tables)
	if p := tables.Progress(priceRows.Spec().Name); p.Behind != 0 || p.Dropped != 1 {
		t.Errorf("progress %+v", p)
	}
	if _, err := tables.GlobalStore("other"); !errors.Is(err, ErrNoTable) {
		t.Error(err)
	}
	check(t, tables.Close())
}

// A reader that follows sees every update, and a new version only with the rows.
func TestFollow(t *testing.T) {
	b := newBench(t)
	tables := b.open(memdb.New())
	check(t, tables.Load(t.Context()))
	store, err := tables.GlobalStore(priceRows.Spec().Name)
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tables.Follow(ctx) }()
	for i := range 20 {
		before := store.Version()
		value := fmt.Sprint("v", i)
		b.send("k", value)
		for deadline := time.Now().Add(10 * time.Second); store.Version() == before; {
			if time.Now().After(deadline) {
				t.Fatal("no new version in 10 s")
			}
			time.Sleep(100 * time.Microsecond)
		}
		if got := rows(t, tables)["k"]; got != value {
			t.Fatalf("version %d has %q, want %q", store.Version(), got, value)
		}
	}
	stop()
	check(t, <-done)
	check(t, tables.Close())
}

// Whatever a crash leaves of the engine, the next load completes it: rows and
// positions are one batch.
func TestCrashes(t *testing.T) {
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 3))
		b := newBench(t)
		fs := vfs.NewCrashableMem()
		for range 6 {
			tables := b.openPebble(fs)
			check(t, tables.Load(t.Context()))
			b.holds(tables)
			for range rng.IntN(20) {
				b.send(string(rune('a'+rng.IntN(8))), []string{"null", fmt.Sprint(rng.IntN(100))}[rng.IntN(2)])
				if rng.IntN(3) == 0 {
					check(t, tables.Load(t.Context()))
				}
			}
			survivors := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rng})
			check(t, tables.Close())
			fs = survivors
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

func (b *bench) openPebble(fs vfs.FS) *Tables {
	shared := pebbledb.NewShared(pebbledb.Budget{CacheBytes: 1 << 20, MemTableBytes: 1 << 20})
	b.t.Cleanup(shared.Close)
	db, err := pebbledb.Open(pebbledb.Options{FS: fs, Dir: "/global", Shared: shared, MemTableBytes: 256 << 10, DiskSlowAfter: -1,
		Now: func() time.Time { return time.Unix(0, 0) }})
	check(b.t, err)
	return b.open(db)
}

// kept is an engine that outlives its Tables.
type kept struct{ state.Engine }

func (kept) Close() error { return nil }

// A table that no longer fits its topic is emptied and loaded again.
func TestUnfitTablesAreLoadedAgain(t *testing.T) {
	first := newBench(t)
	engine := kept{memdb.New()}
	load := func(b *bench) {
		t.Helper()
		tables := b.open(engine)
		check(t, tables.Load(t.Context()))
		b.holds(tables)
		check(t, tables.Close())
	}
	first.send("old", "1")
	first.send("both", "1")
	load(first)
	t.Run("another log", func(t *testing.T) {
		second := newBench(t)
		second.send("both", "2")
		load(second)
		load(first)
	})
	t.Run("a position that the log does not have", func(t *testing.T) {
		b := engine.NewBatch()
		check(t, b.Set((&table{spec: first.specs()[0]}).positionKey(1), []byte{0, 0, 0, 1, 0, 0, 0, 0}))
		check(t, b.Set(state.AppendRowKey(nil, 1, state.KindKeyValue, 0, []byte("stray")), state.AppendRowValue(nil, 7, []byte("x"))))
		check(t, engine.Apply(b))
		load(first)
	})
	t.Run("another serde", func(t *testing.T) {
		b := engine.NewBatch()
		check(t, b.Set((&table{spec: first.specs()[0]}).shapeKey(), []byte("another shape")))
		check(t, b.Set(state.AppendRowKey(nil, 1, state.KindKeyValue, 0, []byte("stray")), state.AppendRowValue(nil, 7, []byte("x"))))
		check(t, engine.Apply(b))
		load(first)
	})
}

type undecodable struct {
	serde.Serde[processor.Opt[string]]
}

func (u undecodable) Decode(src []byte) (processor.Opt[string], error) {
	if string(src) == "poison" {
		return processor.None[string](), io.ErrUnexpectedEOF
	}
	return u.Serde.Decode(src)
}

func TestUndecodableRecords(t *testing.T) {
	good := prices.Value
	defer func() { prices.Value = good }()
	prices.Value = undecodable{good}
	b := newBench(t)
	b.send("a", "1")
	b.send("b", "poison")
	delete(b.want, "b")
	tables := b.open(memdb.New())
	err := tables.Load(t.Context())
	var record *RecordError
	if !errors.As(err, &record) || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "prices-") {
		t.Fatalf("load: %v; want an error that names the record", err)
	}
	check(t, tables.Close())
	lenient, err := Open(t.Context(), Config{Log: b.log, Tables: b.specs(), Engine: memdb.New(),
		Partitions: func(string) int32 { return partitions }, Undecodable: func(*RecordError) error { return nil }})
	check(t, err)
	check(t, lenient.Load(t.Context()))
	b.holds(lenient)
	if p := lenient.Progress(priceRows.Spec().Name); p.Dropped != 1 {
		t.Errorf("%d dropped, want 1", p.Dropped)
	}
	check(t, lenient.Close())
}
