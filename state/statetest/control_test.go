package statetest

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/state/pebbledb"
)

// TestBrokenEnginesAreReported is the negative control of the kit: each broken
// engine must fail the rule it breaks.
func TestBrokenEnginesAreReported(t *testing.T) {
	batches := func(wrap func(e state.Engine, b state.Batch) state.Batch) func(e state.Engine) state.Engine {
		return func(e state.Engine) state.Engine {
			return wrapped{e, func(b state.Batch) state.Batch { return wrap(e, b) }}
		}
	}
	for _, c := range []struct {
		rule  string
		wreck func(e state.Engine) state.Engine
	}{
		{"snapshot isolation", func(e state.Engine) state.Engine { return liveSnapshots{e} }},
		{"snapshot close", func(e state.Engine) state.Engine { return liveSnapshots{e} }},
		{"random operations", func(e state.Engine) state.Engine { return liveSnapshots{e} }},
		{"get appends to dst", func(e state.Engine) state.Engine { return overwritesDst{e} }},
		{"empty value is a row", func(e state.Engine) state.Engine { return emptyIsMissing{e} }},
		{"bounds", func(e state.Engine) state.Engine { return inclusive{e} }},
		{"random operations", func(e state.Engine) state.Engine { return inclusive{e} }},
		{"reverse", func(e state.Engine) state.Engine { return oneWay{e} }},
		{"any byte in a key", func(e state.Engine) state.Engine { return oneWay{e} }},
		{"long walks", func(e state.Engine) state.Engine { return oneWay{e} }},
		{"use after close", func(e state.Engine) state.Engine { return immortal{e} }},
		{"iterator view", func(e state.Engine) state.Engine { return lateIterators{e} }},
		{"delete range", batches(func(_ state.Engine, b state.Batch) state.Batch { return keepsRange{b} })},
		{"later write wins", batches(func(_ state.Engine, b state.Batch) state.Batch { return keepsRange{b} })},
		{"random operations", batches(func(_ state.Engine, b state.Batch) state.Batch { return keepsRange{b} })},
		{"batch copies", batches(func(_ state.Engine, b state.Batch) state.Batch { return aliasing{b, new([]func() error)} })},
		{"batch is atomic", batches(func(e state.Engine, b state.Batch) state.Batch { return eager{b, e} })},
		{"concurrent readers", batches(func(e state.Engine, b state.Batch) state.Batch { return eager{b, e} })},
	} {
		reported := false
		for _, rule := range checks() {
			if rule.name != c.rule {
				continue
			}
			// Whether a reader meets a half-applied batch depends on the scheduler, so
			// the broken engine gets several chances to show itself.
			for range 50 {
				if reported = runCheck(rule, c.wreck(memdb.New())) != nil; reported {
					break
				}
			}
		}
		if !reported {
			t.Errorf("rule %q did not report %T", c.rule, c.wreck(memdb.New()))
		}
	}
}

// dropsBatch loses the third batch of each life.
type dropsBatch struct {
	state.Engine
	batches int
}

func (e *dropsBatch) Apply(b state.Batch) error {
	if e.batches++; e.batches == 3 {
		return b.Close()
	}
	return e.Engine.Apply(b)
}

// flushesNothing answers Flush without flushing.
type flushesNothing struct{ state.Engine }

func (flushesNothing) Flush() error { return nil }

// TestBrokenPrefixIsReported is the negative control of the crash tests.
func TestBrokenPrefixIsReported(t *testing.T) {
	open := func(fs vfs.FS) (state.Engine, error) {
		return pebbledb.Open(pebbledb.Options{FS: fs, Dir: "/store", MemTableBytes: 64 << 10, DiskSlowAfter: -1, Logger: slog.New(slog.DiscardHandler)})
	}
	for name, wreck := range map[string]func(e state.Engine) state.Engine{
		"nothing":            func(e state.Engine) state.Engine { return e },
		"drops a batch":      func(e state.Engine) state.Engine { return &dropsBatch{Engine: e} },
		"flush does nothing": func(e state.Engine) state.Engine { return flushesNothing{e} },
		"forgets all":        func(state.Engine) state.Engine { return memdb.New() },
	} {
		reported := 0
		for seed := range uint64(20) {
			_, err := crashRun(seed, func(fs vfs.FS) (state.Engine, error) {
				e, err := open(fs)
				if err != nil {
					return nil, err
				}
				return wreck(e), nil
			})
			if err != nil {
				reported++
			}
		}
		if (reported > 0) != (name != "nothing") {
			t.Errorf("an engine that breaks by %q was reported for %d of 20 seeds", name, reported)
		}
	}
}
