package runtime_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/topology"
)

func idleApp(t *testing.T, cfg runtime.Config) *runtime.App {
	cfg.Dir, cfg.FS = "data", vfs.NewMem()
	app := newApp(t, countInto(orderCount), cfg)
	t.Cleanup(func() { must(t, app.Close()) })
	return app
}

func newProducer(t *testing.T, app *runtime.App, name string) *runtime.Producer[string, int64] {
	t.Helper()
	p, err := runtime.NewProducer(t.Context(), app, orders, name)
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// Records and the position in their source are committed together: what was sent
// after the last commit is gone, and the position with it.
func TestProducerPosition(t *testing.T) {
	app := idleApp(t, runtime.Config{})
	p := newProducer(t, app, "import")
	if p.Position() != (runtime.SourcePosition{}) {
		t.Errorf("a new producer stands at %+v", p.Position())
	}
	must(t, p.Send("a", 1))
	must(t, p.Send("b", 2))
	if p.Uncommitted() == 0 {
		t.Error("nothing is uncommitted after two records")
	}
	at := runtime.SourcePosition{Offset: 2, Metadata: "line 2"}
	must(t, p.Commit(t.Context(), at))
	must(t, p.Send("c", 3))
	if p.Uncommitted() == 0 || p.Position() != at {
		t.Errorf("position %+v, %d bytes uncommitted", p.Position(), p.Uncommitted())
	}
	must(t, p.Close())
	p = newProducer(t, app, "import")
	if p.Position() != at || p.Uncommitted() != 0 {
		t.Errorf("resumed at %+v with %d bytes, want %+v and none", p.Position(), p.Uncommitted(), at)
	}
	if other := newProducer(t, app, "other"); other.Position() != (runtime.SourcePosition{}) {
		t.Errorf("another name stands at %+v", other.Position())
	}
	must(t, p.Commit(t.Context(), runtime.SourcePosition{Offset: 7})) // a position alone
	if got := readAll(t, app, orders); len(got) != 2 || got[0].Key != "a" || got[1].Value != 2 {
		t.Errorf("records %v, want the two committed ones in order", got)
	}
}

func TestProducerIsFenced(t *testing.T) {
	app := idleApp(t, runtime.Config{})
	first := newProducer(t, app, "import")
	must(t, first.Send("a", 1))
	second := newProducer(t, app, "import")
	err := first.Commit(t.Context(), runtime.SourcePosition{Offset: 1})
	if !errors.Is(err, commitlog.ErrFenced) || !strings.Contains(err.Error(), "import") {
		t.Errorf("commit of the first: %v, want that it is fenced", err)
	}
	if first.Position().Offset != 0 {
		t.Error("a refused commit moved the position")
	}
	must(t, second.Send("b", 2))
	must(t, second.Commit(t.Context(), runtime.SourcePosition{Offset: 2}))
	if got := readAll(t, app, orders); len(got) != 1 || got[0].Key != "b" {
		t.Errorf("records %v, want only that of the second", got)
	}
}

// A record that is too large is refused where it is sent, and the others go on.
func TestProducerRefusals(t *testing.T) {
	app := idleApp(t, runtime.Config{MaxRecordBytes: 100})
	p := newProducer(t, app, "import")
	must(t, p.Send(strings.Repeat("k", 92), 1)) // 92 + 8 bytes
	err := p.Send(strings.Repeat("k", 93), 1)
	if !errors.Is(err, commitlog.ErrTooLarge) || !strings.Contains(err.Error(), "MaxRecordBytes") {
		t.Errorf("a record of 101 bytes: %v", err)
	}
	must(t, p.Send("small", 2))
	must(t, p.Commit(t.Context(), runtime.SourcePosition{Offset: 3}))
	if got := readAll(t, app, orders); len(got) != 2 {
		t.Errorf("%d records, want 2", len(got))
	}
	err = p.Commit(t.Context(), runtime.SourcePosition{Metadata: string(bytes.Repeat([]byte("m"), 4097))})
	if err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("metadata of 4097 bytes: %v", err)
	}
	if _, err := runtime.NewProducer(t.Context(), app, orders, "no/name"); err == nil {
		t.Error("a name with a slash is accepted")
	}
	missing := topology.Topic[string, int64]{Name: "missing", Key: serde.String, Value: serde.Int64}
	if _, err := runtime.NewProducer(t.Context(), app, missing, "import"); !errors.Is(err, commitlog.ErrUnknownTopic) ||
		!strings.Contains(err.Error(), "missing") {
		t.Errorf("a producer for a missing topic: %v", err)
	}
}

// Records go where the topology's tasks look for them, with the time given.
func TestProducerPlacesRecords(t *testing.T) {
	app := newApp(t, hourlyAverage, runtime.Config{Dir: "data", FS: vfs.NewMem()})
	t.Cleanup(func() { must(t, app.Close()) })
	p, err := runtime.NewProducer(t.Context(), app, readings, "import")
	must(t, err)
	defer p.Close()
	at := time.UnixMilli(firstHour)
	for _, key := range []string{"m1", "m2", "m3", "m4", "m5"} {
		must(t, p.Send(key, reading{KWh: 1, At: at}))
	}
	must(t, p.Commit(t.Context(), runtime.SourcePosition{}))
	for _, r := range readAll(t, app, readings) {
		if want := commitlog.Murmur2([]byte(r.Key), 4); r.Origin.Partition != want || r.Time.Time() != at.UTC() {
			t.Errorf("record %s lies in partition %d at %v, want %d at %v", r.Key, r.Origin.Partition, r.Time, want, at.UTC())
		}
	}
}
