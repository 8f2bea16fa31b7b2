package pebbledb

import (
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/statetest"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func mustOpen(t testing.TB, opts Options) *DB {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet()
	}
	d, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	statetest.Run(t, func(t *testing.T) state.Engine {
		return mustOpen(t, Options{FS: vfs.NewMem(), Dir: "/node/store", MemTableBytes: 256 << 10})
	})
}

func TestCrashes(t *testing.T) {
	shared := NewShared(Budget{})
	defer shared.Close()
	statetest.RunDurable(t, func(fs vfs.FS) (state.Engine, error) {
		return Open(Options{FS: fs, Dir: "/node/store", Shared: shared, MemTableBytes: 64 << 10, DiskSlowAfter: -1, Logger: quiet()})
	})
}
