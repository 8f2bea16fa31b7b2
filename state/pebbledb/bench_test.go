package pebbledb

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/tidemill/tidemill/state"
)

var tuneAll = flag.Bool("tune", false, "BenchmarkApplyWindows tries many options, not only the defaults")

func must(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}

// cpuTime is what the process used, background flushes and compactions included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	benchKeys  = 100_000
	commitRows = 10_000
)

func benchKey(i int) []byte {
	key := append(make([]byte, 0, 16), "pfx/"...)
	key = binary.BigEndian.AppendUint64(key, uint64(i)*0x9e3779b97f4a7c15)
	return binary.BigEndian.AppendUint32(key, uint32(i))
}

func loaded(b *testing.B) *DB {
	d := mustOpen(b, Options{Dir: b.TempDir() + "/store"})
	b.Cleanup(func() { must(b, d.Close()) })
	for i := 0; i < benchKeys; {
		batch := d.NewBatch()
		for range commitRows {
			must(b, batch.Set(benchKey(i), make([]byte, 24)))
			i++
		}
		must(b, d.Apply(batch))
	}
	must(b, d.Flush())
	return d
}

func BenchmarkGet(b *testing.B) {
	d := loaded(b)
	for name, first := range map[string]int{"hit": 0, "miss": benchKeys} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			keys := make([][]byte, 4096)
			for i := range keys {
				keys[i] = benchKey(first + rng.IntN(benchKeys))
			}
			var dst []byte
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				value, ok, err := d.Get(dst[:0], keys[n%len(keys)])
				if err != nil || ok != (name == "hit") {
					b.Fatal(ok, err)
				}
				dst = value
			}
		})
	}
	b.Run("hit, pebble alone", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			_, closer, err := d.pebble.Get(benchKey(n % benchKeys))
			must(b, err)
			must(b, closer.Close())
		}
	})
}

func BenchmarkGate(b *testing.B) {
	g := newGate()
	for b.Loop() {
		g.enter()
		g.leave()
	}
}

func BenchmarkIterate(b *testing.B) {
	d := loaded(b)
	b.Run("row", func(b *testing.B) {
		var it state.Iterator
		for b.Loop() {
			if it == nil || !it.Next() {
				if it != nil {
					must(b, it.Close())
				}
				next, err := d.Iter(nil, nil, false)
				must(b, err)
				it = next
			}
		}
		must(b, it.Close())
	})
	b.Run("open, 10 rows, close", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(1, 1))
		for b.Loop() {
			it, err := d.Iter(benchKey(rng.IntN(benchKeys)), nil, false)
			must(b, err)
			for range 10 {
				it.Next()
			}
			must(b, it.Close())
		}
	})
}

func BenchmarkSmallApply(b *testing.B) {
	d := loaded(b)
	for b.Loop() {
		batch := d.NewBatch()
		must(b, batch.Set([]byte("key"), []byte("value")))
		must(b, d.Apply(batch))
	}
}

// BenchmarkApplyWindows is the engine's main write shape: one commit of 10 k
// rows in the key order of time windows, 4 bytes prefix, 8 bytes window start, 4
// bytes key, and 24 bytes of value. A window is written in 5 commits and deleted
// by range. Reported: CPU of the whole process and wall time per row, until all
// is flushed.
func BenchmarkApplyWindows(b *testing.B) {
	for _, c := range tunings() {
		b.Run(c.name, func(b *testing.B) {
			d := mustOpen(b, Options{Dir: b.TempDir() + "/store", MemTableBytes: c.memTable, tune: c.tune})
			rng := rand.New(rand.NewPCG(1, 1))
			cpu, commits := cpuTime(), 0
			for ; b.Loop(); commits++ {
				must(b, windowCommit(d, rng, commits))
				if c.flushEvery > 0 && commits%c.flushEvery == c.flushEvery-1 {
					must(b, d.FlushAsync())
				}
			}
			must(b, d.Flush())
			m := d.Metrics()
			must(b, d.Close())
			rows := float64(commits * commitRows)
			b.ReportMetric(float64(cpuTime()-cpu)/rows, "cpu-ns/row")
			b.ReportMetric(float64(b.Elapsed())/rows, "ns/row")
			b.ReportMetric(float64(m.BytesWritten)/rows, "disk-B/row")
			b.ReportMetric(float64(m.WriteStalled)/rows, "stall-ns/row")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type tuning struct {
	name       string
	memTable   int64
	flushEvery int // commits; 0: when memtables are full
	tune       func(o *pebble.Options)
}

func tunings() []tuning {
	all := []tuning{{name: "defaults"}, {name: "defaults, flush every 50 commits", flushEvery: 50}}
	if !*tuneAll {
		return all
	}
	for _, mib := range []int64{4, 16, 64} {
		for _, l0 := range []int{2, 4, 8} {
			for _, compression := range []*sstable.CompressionProfile{sstable.SnappyCompression, sstable.NoCompression} {
				all = append(all, tuning{fmt.Sprintf("memtable %d MiB, L0 %d, %s", mib, l0, compression.Name), mib << 20, 0, func(o *pebble.Options) {
					o.L0CompactionThreshold = l0
					o.Levels[0].Compression = func() *sstable.CompressionProfile { return compression }
				}})
			}
		}
	}
	return append(all,
		// So small that a commit is more than half a memtable: Pebble sorts it
		// and flushes it as it is, past the skiplist.
		tuning{"memtable 0.75 MiB, L0 8", 768 << 10, 0, func(o *pebble.Options) { o.L0CompactionThreshold = 8 }},
		tuning{"memtable 8 MiB, L0 8", 8 << 20, 0, func(o *pebble.Options) { o.L0CompactionThreshold = 8 }},
		tuning{"no bloom on L0", 0, 0, func(o *pebble.Options) { o.Levels[0].FilterPolicy = nil }},
		tuning{"block 32 KiB", 0, 0, func(o *pebble.Options) {
			for i := range o.Levels {
				o.Levels[i].BlockSize = 32 << 10
			}
		}},
		tuning{"compaction concurrency 1", 0, 0, func(o *pebble.Options) {
			o.CompactionConcurrencyRange = func() (int, int) { return 1, 1 }
		}})
}

// windowCommit writes commit n: rows of the window that is open now.
func windowCommit(d *DB, rng *rand.Rand, n int) error {
	const commitsPerWindow, windowSize = 5, 3600_000
	window := n / commitsPerWindow
	key := func(window int) []byte {
		return binary.BigEndian.AppendUint64(append(make([]byte, 0, 16), "win/"...), uint64(window*windowSize))
	}
	b := d.NewBatch()
	prefix, value := key(window), make([]byte, 24)
	for i := range uint32(commitRows) {
		binary.LittleEndian.PutUint64(value[8:], rng.Uint64()) // about half compressible
		if err := b.Set(binary.BigEndian.AppendUint32(prefix, i), value); err != nil {
			return err
		}
	}
	if n%commitsPerWindow == 0 && window > 0 {
		if err := b.DeleteRange(key(window-1), prefix); err != nil {
			return err
		}
	}
	return d.Apply(b)
}
