package streamtest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/topology"
)

// fakeTB is a test whose failure is expected.
type fakeTB struct {
	failures []string
	cleanups []func()
}

func (f *fakeTB) Helper()             {}
func (f *fakeTB) Logf(string, ...any) {}
func (f *fakeTB) Cleanup(c func())    { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Errorf(format string, args ...any) {
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// expectFailure runs a body that has to fail with a message that holds want.
func expectFailure(t *testing.T, want string, body func(t streamtest.TB)) {
	t.Helper()
	f := &fakeTB{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for i := len(f.cleanups) - 1; i >= 0; i-- {
				f.cleanups[i]()
			}
		}()
		body(f)
	}()
	<-done
	if all := strings.Join(f.failures, "\n"); !strings.Contains(all, want) {
		t.Errorf("failures %q, want one with %q", all, want)
	}
}

// A control: the modes find state that lives outside the stores.
func TestStateOutsideStoresIsFound(t *testing.T) {
	var differing []string
	for _, mode := range streamtest.Modes() {
		mode.Seed = 3
		d := streamtest.New(t, forgetful, mode)
		sendMany(d, 10)
		all := streamtest.Output(d, ticks).All()
		if len(all) != 10 {
			t.Errorf("%s: %d outputs, want 10", mode, len(all))
		}
		if all[9].Value != 10 {
			differing = append(differing, mode.String())
		}
	}
	want := "every-restart/memory every-restart/pebble random/memory random/memory/tiny-cache random/pebble random/pebble/tiny-cache"
	if got := strings.Join(differing, " "); got != want {
		t.Errorf("found by %s\nwant     %s", got, want)
	}
}

func TestErrorsFailTheTest(t *testing.T) {
	other := topology.Topic[string, string]{Name: "other", Key: serde.String, Value: serde.String}
	for _, c := range []struct {
		want string
		body func(t streamtest.TB)
	}{
		{"asked to fail", func(t streamtest.TB) {
			streamtest.Input(streamtest.New(t, ticking, streamtest.Mode{}), events).Send("k", "fail")
		}},
		{"stopped before", func(t streamtest.TB) {
			d := streamtest.New(t, ticking, streamtest.Mode{})
			if err := d.TrySendRaw("events", 0, streamtest.RawRecord{Key: []byte("k"), Value: []byte("fail")}); err == nil {
				t.Errorf("no error")
			}
			streamtest.Output(d, ticks).Records()
		}},
		{"reads no topic other", func(t streamtest.TB) {
			streamtest.Input(streamtest.New(t, ticking, streamtest.Mode{}), other)
		}},
		{"no partition 1 of topic events", func(t streamtest.TB) {
			streamtest.New(t, ticking, streamtest.Mode{}).SendRaw("events", 1, streamtest.RawRecord{})
		}},
		{"no store word-count", func(t streamtest.TB) {
			streamtest.Rows(streamtest.New(t, ticking, streamtest.Mode{}), wordCount)
		}},
		{"unknown topic", func(t streamtest.TB) {
			streamtest.Output(streamtest.New(t, ticking, streamtest.Mode{}), other).All()
		}},
		{"cannot go back", func(t streamtest.TB) { streamtest.New(t, ticking, streamtest.Mode{}).Advance(-1) }},
		{"use the constants", func(t streamtest.TB) { streamtest.New(t, ticking, streamtest.Mode{Engine: 9}) }},
		{"nothing is declared", func(t streamtest.TB) {
			streamtest.New(t, func() (*topology.Topology, error) { return topology.New("empty").Build() }, streamtest.Mode{})
		}},
	} {
		expectFailure(t, c.want, c.body)
	}
}

func TestUndecodableRecordStopsTheWorker(t *testing.T) {
	d := streamtest.New(t, countWords, streamtest.Mode{})
	err := d.TrySendRaw("words", 2, streamtest.RawRecord{Key: []byte("k")})
	if err == nil || !strings.Contains(err.Error(), "words-2@0") {
		t.Errorf("error %v, want one that names words-2@0", err)
	}
}

func TestPoisonIsLeftOut(t *testing.T) {
	for _, policy := range []worker.Poison{worker.PoisonSkip, worker.PoisonDeadLetter} {
		cfg := streamtest.Config{Poison: policy}
		cfg.Run(t, ticking, func(t *testing.T, d *streamtest.Driver) {
			in := streamtest.Input(d, events)
			in.Send("a", "x")
			d.SendRaw("events", 0, streamtest.RawRecord{Key: []byte("b")}) // a null value
			in.Send("c", "fail")
			in.Send("d", "xy")
			if got := textOf(streamtest.Output(d, ticks).Records()); got != "a=1@0 d=2@0" {
				t.Errorf("got %s, want a=1@0 d=2@0", got)
			}
			if policy != worker.PoisonDeadLetter {
				return
			}
			letters := topology.Topic[[]byte, processor.Opt[[]byte]]{Name: "ticking-dead-letters",
				Key: serde.Bytes, Value: serde.Nullable(serde.Bytes)}
			if n := len(streamtest.Output(d, letters).Records()); n != 2 {
				t.Errorf("%d dead letters, want 2", n)
			}
		})
	}
}
