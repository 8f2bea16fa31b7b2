package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

type buildFunc = func() (*topology.Topology, error)

func tryApp(t *testing.T, build buildFunc, cfg runtime.Config) (*runtime.App, error) {
	t.Helper()
	top, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return runtime.New(t.Context(), top, cfg)
}

// counting counts orders per key in a store and writes the counts to a topic.
func counting(change func(b *topology.Builder, in *topology.Stream[string, int64])) buildFunc {
	return func() (*topology.Topology, error) {
		b := topology.New("counting")
		in := topology.Source(b, orders)
		change(b, in)
		return b.Build()
	}
}

func countInto(store state.Materialized[string, int64]) buildFunc {
	return counting(func(_ *topology.Builder, in *topology.Stream[string, int64]) {
		topology.Count(in.GroupByKey(), store).ToStream().To(orderCounts)
	})
}

// importOrders sends n orders of the keys k0 to k2.
func importOrders(t *testing.T, app *runtime.App, n int) {
	t.Helper()
	p, err := runtime.NewProducer(t.Context(), app, orders, "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	at := p.Position().Offset
	for i := range int64(n) {
		if err := p.SendAt(fmt.Sprintf("k%d", (at+i)%3), at+i, time.UnixMilli(at+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Commit(t.Context(), runtime.SourcePosition{Offset: at + int64(n)}); err != nil {
		t.Fatal(err)
	}
}

// wantCounts waits, and checks that the n orders sent so far are counted.
func wantCounts(t *testing.T, app *runtime.App, n int) {
	t.Helper()
	if err := app.WaitProcessed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := sumCounts(t, app); got != n {
		t.Errorf("the counts add up to %d, want %d", got, n)
	}
	if got := readAll(t, app, orderCounts); len(got) != n {
		t.Errorf("%d results, want %d", len(got), n)
	}
}

func TestChangedTopology(t *testing.T) {
	text := state.KeyValue("order-count", serde.Bytes, serde.Int64)
	for _, c := range []struct {
		name  string
		build buildFunc
		want  []string // what the error names; nothing: the change is allowed
	}{
		{"the same", countInto(orderCount), nil},
		{"another store name", countInto(state.KeyValue("other-count", serde.String, serde.Int64)), nil},
		{"an operator more", counting(func(_ *topology.Builder, in *topology.Stream[string, int64]) {
			topology.Count(in.Filter(func(string, int64) bool { return true }).GroupByKey(), orderCount).ToStream().To(orderCounts)
			topology.Count(in.GroupByKey(), state.KeyValue("second", serde.String, serde.Int64))
		}), nil},
		{"another value serde", counting(func(_ *topology.Builder, in *topology.Stream[string, int64]) {
			add := topology.Fold(func(n float64, _ int64) float64 { return n + 1 })
			topology.Aggregate(in.GroupByKey(), add, state.KeyValue("order-count", serde.String, serde.Float64))
		}), []string{"store order-count", "value serde", "float64", "int64"}},
		{"another kind of store", counting(func(_ *topology.Builder, in *topology.Stream[string, int64]) {
			byHour := in.GroupByKey().WindowedBy(topology.Tumbling(time.Hour))
			topology.Count(byHour, state.Window("order-count", serde.String, serde.Int64))
		}), []string{"store order-count", "kind", "window"}},
		{"another key serde", func() (*topology.Topology, error) {
			b := topology.New("counting")
			topology.Count(topology.Source(b, topology.Topic[[]byte, int64]{Name: orders.Name, Key: serde.Bytes, Value: serde.Int64}).GroupByKey(), text)
			return b.Build()
		}, []string{"store order-count", "key serde", "source topic orders"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: time.Millisecond}
			app, stop := start(t, countInto(orderCount), cfg)
			importOrders(t, app, 9)
			wantCounts(t, app, 9)
			stop()
			app, err := tryApp(t, c.build, cfg)
			var shape *runtime.ShapeError
			if len(c.want) == 0 {
				if err != nil {
					t.Fatalf("an allowed change is refused: %v", err)
				}
				if err := app.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &shape) || len(shape.Differences) == 0 {
				t.Fatalf("New: %v, want a ShapeError", err)
			}
			for _, word := range c.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the error does not name %q: %v", word, err)
				}
			}
			app, _ = start(t, countInto(orderCount), cfg) // nothing was damaged
			importOrders(t, app, 3)
			wantCounts(t, app, 12)
		})
	}
}

// logged collects what is logged.
type logged struct {
	mu struct {
		sync.Mutex
		text bytes.Buffer
	}
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.text.String()
}

// State that is missing, foreign, damaged or from the future is rebuilt from the
// changelog, the log says why, and results go on as if nothing had happened.
func TestUnfitStateIsRebuilt(t *testing.T) {
	task := "data/state/counting_0"
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, fs, other *vfs.MemFS)
		reason string
	}{
		{"deleted", func(t *testing.T, fs, _ *vfs.MemFS) { must(t, fs.RemoveAll("data/state")) }, ""},
		{"of another log", func(t *testing.T, fs, other *vfs.MemFS) {
			must(t, fs.RemoveAll(task))
			_, err := vfs.Clone(other, fs, task, task)
			must(t, err)
		}, "it belongs to log"},
		{"ahead of the log", func(t *testing.T, fs, other *vfs.MemFS) {
			// The log is that of an earlier backup.
			must(t, fs.RemoveAll("data/log"))
			_, err := vfs.Clone(other, fs, "backup", "data/log")
			must(t, err)
		}, "stands at offset"},
		{"without its manifest", func(t *testing.T, fs, _ *vfs.MemFS) { removeLike(t, fs, task, "MANIFEST") }, "MANIFEST"},
		{"with a damaged manifest", func(t *testing.T, fs, _ *vfs.MemFS) { damageLike(t, fs, task, "MANIFEST") }, "dead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, other := vfs.NewMem(), vfs.NewMem()
			want := 60
			for _, disk := range []*vfs.MemFS{fs, other} {
				app, stop := start(t, countInto(orderCount), runtime.Config{Dir: "data", FS: disk, CommitInterval: time.Millisecond})
				importOrders(t, app, 30)
				wantCounts(t, app, 30)
				stop()
			}
			if c.name == "ahead of the log" {
				_, err := vfs.Clone(fs, other, "data/log", "backup")
				must(t, err)
				want = 30
			}
			app, stop := start(t, countInto(orderCount), runtime.Config{Dir: "data", FS: fs, CommitInterval: time.Millisecond})
			importOrders(t, app, 30)
			wantCounts(t, app, 60)
			stop()
			c.spoil(t, fs, other)

			var log logged
			cfg := runtime.Config{Dir: "data", FS: fs, CommitInterval: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			app, stop = start(t, countInto(orderCount), cfg)
			wantCounts(t, app, want)
			importOrders(t, app, 30)
			wantCounts(t, app, want+30)
			stop()
			if text := log.String(); c.reason != "" && (!strings.Contains(text, "rebuilt from the changelog") || !strings.Contains(text, c.reason)) {
				t.Errorf("the log does not say %q: %s", c.reason, text)
			}
			log.mu.text.Reset()
			app, _ = start(t, countInto(orderCount), cfg)
			wantCounts(t, app, want+30)
			if strings.Contains(log.String(), "rebuilt") {
				t.Errorf("the state was rebuilt once more: %s", log.String())
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eachLike(t *testing.T, fs vfs.FS, dir, prefix string, do func(path string)) {
	t.Helper()
	names, err := fs.List(dir)
	must(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			do(fs.PathJoin(dir, name))
		}
	}
}

func removeLike(t *testing.T, fs vfs.FS, dir, prefix string) {
	eachLike(t, fs, dir, prefix, func(path string) { must(t, fs.Remove(path)) })
}

func damageLike(t *testing.T, fs vfs.FS, dir, prefix string) {
	eachLike(t, fs, dir, prefix, func(path string) {
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.Write(bytes.Repeat([]byte("garbage "), 100))
		must(t, err)
		must(t, f.Close())
	})
}

// Only the tail behind the stored position is replayed after a clean stop: none.
func TestCleanRestartReplaysNothing(t *testing.T) {
	cfg := runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: time.Millisecond}
	app, stop := start(t, countInto(orderCount), cfg)
	importOrders(t, app, 30)
	wantCounts(t, app, 30)
	stop()
	app, _ = start(t, countInto(orderCount), cfg)
	must(t, app.WaitReady(t.Context()))
	for _, task := range app.Health().Tasks {
		if task.Restored != 0 || task.ToGo != 0 {
			t.Errorf("task %s replayed %d records, %d to go", task.Task, task.Restored, task.ToGo)
		}
	}
}
