package pebbledb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidemill/tidemill/state"
)

// faulty is a store on a disk that can be told to fail.
type faulty struct {
	*DB
	disk   *vfs.MemFS
	fail   atomic.Pointer[func(op errorfs.Op) error]
	faults chan error // what OnFault was told
}

func openFaulty(t *testing.T, opts Options) *faulty {
	t.Helper()
	f := &faulty{disk: vfs.NewMem(), faults: make(chan error, 10)}
	opts.FS = errorfs.Wrap(f.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail := f.fail.Load(); fail != nil {
			return (*fail)(op)
		}
		return nil
	}))
	opts.Dir = "/store"
	opts.OnFault = func(err error) { f.faults <- err }
	f.DB = mustOpen(t, opts)
	return f
}

// reopen opens the store again. Pebble would load the tables' statistics in the
// background, and might do so before the disk is told to fail.
func (f *faulty) reopen(t *testing.T) {
	t.Helper()
	opts := f.opts
	opts.tune = func(o *pebble.Options) { o.DisableTableStats = true }
	f.DB = mustOpen(t, opts)
}

// when makes operations fail from now on.
func (f *faulty) when(err error, match func(op errorfs.Op) bool) {
	fail := func(op errorfs.Op) error {
		if match(op) {
			return err
		}
		return nil
	}
	f.fail.Store(&fail)
}

func (f *faulty) set(t *testing.T, key, value string) {
	t.Helper()
	b := f.NewBatch()
	if err := errors.Join(b.Set([]byte(key), []byte(value)), f.Apply(b)); err != nil {
		t.Fatal(err)
	}
}

// wantDead checks that every call says so, at once, and that OnFault was told.
func (f *faulty) wantDead(t *testing.T, cause string) {
	t.Helper()
	select {
	case err := <-f.faults:
		if !errors.Is(err, state.ErrStoreDead) || !strings.Contains(err.Error(), cause) {
			t.Errorf("OnFault was told %v, want ErrStoreDead by %q", err, cause)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("OnFault was not called")
	}
	calls := map[string]error{"apply": f.Apply(f.NewBatch()), "flush": f.Flush(), "flush async": f.FlushAsync()}
	_, _, calls["get"] = f.Get(nil, []byte("a"))
	_, calls["iter"] = f.Iter(nil, nil, false)
	_, calls["snapshot"] = f.Snapshot()
	for call, err := range calls {
		if !errors.Is(err, state.ErrStoreDead) {
			t.Errorf("%s on a dead store: %v, want ErrStoreDead", call, err)
		}
	}
	if !f.Metrics().Dead {
		t.Error("Metrics does not say that the store is dead")
	}
	if err := f.Close(); !errors.Is(err, state.ErrStoreDead) {
		t.Errorf("close of a dead store: %v, want ErrStoreDead", err)
	}
	if _, _, err := f.Get(nil, nil); !errors.Is(err, state.ErrEngineClosed) {
		t.Errorf("get after close: %v, want ErrEngineClosed", err)
	}
	if len(f.faults) > 0 {
		t.Error("OnFault was called twice")
	}
}

// TestManifestFault: Pebble calls Fatalf on its own flush goroutine. The test
// still runs, the callers that wait for the flush get an error, and nothing that
// was not flushed was acknowledged.
func TestManifestFault(t *testing.T) {
	f := openFaulty(t, Options{})
	f.set(t, "a", "1")
	it, err := f.Iter(nil, nil, false)
	snap, err2 := f.Snapshot()
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	f.when(syscall.EIO, func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpFileSync && strings.Contains(op.Path, "MANIFEST")
	})
	if err := f.Flush(); !errors.Is(err, state.ErrStoreDead) || !errors.Is(err, syscall.EIO) && !strings.Contains(err.Error(), "input/output") {
		t.Errorf("flush: %v, want ErrStoreDead by EIO", err)
	}
	if it.Next() || !errors.Is(it.Err(), state.ErrStoreDead) {
		t.Errorf("an open iterator goes on: %v", it.Err())
	}
	if _, _, err := snap.Get(nil, []byte("a")); !errors.Is(err, state.ErrStoreDead) {
		t.Errorf("an open snapshot goes on: %v", err)
	}
	if err := errors.Join(it.Close(), snap.Close()); err != nil {
		t.Errorf("close of readers of a dead store: %v", err)
	}
	f.wantDead(t, "MANIFEST")
}

// TestDirectorySyncFault: Pebble panics on a failed sync when it moves its marker
// to a new manifest, on its flush goroutine. It must not end the process.
func TestDirectorySyncFault(t *testing.T) {
	f := openFaulty(t, Options{tune: func(o *pebble.Options) { o.MaxManifestFileSize = 1 }})
	f.set(t, "a", "1")
	f.when(syscall.EIO, func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpFileSync && op.Path == "/store"
	})
	if err := f.Flush(); !errors.Is(err, state.ErrStoreDead) || !errors.Is(err, syscall.EIO) {
		t.Errorf("flush: %v, want ErrStoreDead by EIO", err)
	}
	f.wantDead(t, "sync of directory")
}

// TestMissingTable: a reader finds a table gone. Pebble reports corruption.
func TestMissingTable(t *testing.T) {
	f := openFaulty(t, Options{})
	f.set(t, "a", "1")
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen(t)
	f.when(&fs.PathError{Op: "open", Path: "table", Err: fs.ErrNotExist}, func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, ".sst")
	})
	if _, _, err := f.Get(nil, []byte("a")); !errors.Is(err, state.ErrStoreDead) {
		t.Errorf("get: %v, want ErrStoreDead", err)
	}
	if n := f.Metrics().Corruptions; n == 0 {
		t.Error("no corruption was counted")
	}
	f.wantDead(t, "file does not exist")
}

// TestDamagedTable: a bit of a table changed. It is reported, never served.
func TestDamagedTable(t *testing.T) {
	f := openFaulty(t, Options{})
	f.set(t, "a", strings.Repeat("value", 1000))
	if err := errors.Join(f.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	names, _ := f.disk.List("/store")
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			flipBit(t, f.disk, "/store/"+name)
		}
	}
	f.reopen(t)
	if got, ok, err := f.Get(nil, []byte("a")); !errors.Is(err, state.ErrStoreDead) {
		t.Errorf("get: %.10q, %v, %v, want ErrStoreDead", got, ok, err)
	}
	f.wantDead(t, "checksum")
}

func flipBit(t *testing.T, disk vfs.FS, path string) {
	t.Helper()
	in, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	data[20] ^= 1 // in the first data block
	out, err := disk.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(in.Close(), out.Sync(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestReadError: a disk that cannot read right now is the caller's error, and
// the store lives on.
func TestReadError(t *testing.T) {
	f := openFaulty(t, Options{})
	f.set(t, "a", "1")
	if err := errors.Join(f.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	f.reopen(t)
	f.when(syscall.EIO, func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileReadAt })
	if _, _, err := f.Get(nil, []byte("a")); !errors.Is(err, syscall.EIO) || errors.Is(err, state.ErrStoreDead) {
		t.Errorf("get: %v, want EIO", err)
	}
	f.fail.Store(nil)
	if got, ok, err := f.Get(nil, []byte("a")); err != nil || !ok || string(got) != "1" {
		t.Errorf("get after the disk recovered: %q, %v, %v", got, ok, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullDisk: Pebble retries a flush for ever. Short of the stall timeout that
// is right: a file that was written anew is sound, unlike a repeated fsync.
func TestFullDisk(t *testing.T) {
	full := func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") }
	t.Run("for a while", func(t *testing.T) {
		f := openFaulty(t, Options{})
		f.set(t, "a", "1")
		f.when(syscall.ENOSPC, full)
		if err := f.FlushAsync(); err != nil {
			t.Fatal(err)
		}
		for f.Metrics().BackgroundErrors == 0 {
			time.Sleep(time.Millisecond)
		}
		f.fail.Store(nil)
		if err := errors.Join(f.Flush(), f.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Run("for too long", func(t *testing.T) {
		f := openFaulty(t, Options{StallTimeout: 50 * time.Millisecond})
		f.set(t, "a", "1")
		f.when(syscall.ENOSPC, full)
		if err := f.Flush(); !errors.Is(err, state.ErrStoreDead) {
			t.Errorf("flush: %v, want ErrStoreDead", err)
		}
		f.wantDead(t, "did not finish")
		// Pebble's retries end with the store.
		time.Sleep(20 * time.Millisecond)
		before := f.Metrics().BackgroundErrors
		time.Sleep(100 * time.Millisecond)
		if after := f.Metrics().BackgroundErrors; after != before {
			t.Errorf("a dead store retried %d flushes in 100 ms", after-before)
		}
	})
}

// TestFatalfOnCaller: Fatalf on the goroutine of a caller comes out as an error
// of that call, from direct calls and from those on a goroutine of their own,
// and other panics stay panics.
func TestFatalfOnCaller(t *testing.T) {
	for name, call := range map[string]func(d *DB, fatal func()) error{
		"direct": func(d *DB, fatal func()) (err error) {
			defer d.endCall(&err)
			fatal()
			return nil
		},
		"detached": func(d *DB, fatal func()) error {
			return d.detached("test", func() error { fatal(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			fatal := func() {}
			f := openFaulty(t, Options{tune: func(o *pebble.Options) {
				// A callback of Pebble's, called on the goroutine of our call.
				o.Comparer = comparerThat(func() { fatal() })
			}})
			f.set(t, "a", "1")
			f.set(t, "b", "1")
			fatal = func() { (&logger{db: f.DB}).Fatalf("invariant of %s", name) }
			err := call(f.DB, func() { _, _, _ = f.pebble.Get([]byte("a")) })
			if !errors.Is(err, state.ErrStoreDead) {
				t.Errorf("got %v, want ErrStoreDead", err)
			}
			fatal = func() {}
			f.wantDead(t, "invariant of "+name)
		})
	}
}

// comparerThat is the default order, with a hook into Pebble's search.
func comparerThat(hook func()) *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Compare = func(a, b []byte) int {
		hook()
		return pebble.DefaultComparer.Compare(a, b)
	}
	return &c
}

// TestLogStorm: a failing flush logs a few lines, and later how many were left
// out.
func TestLogStorm(t *testing.T) {
	var text strings.Builder
	now := time.Unix(0, 0)
	d := &DB{opts: Options{Dir: "/store", Now: func() time.Time { return now }}}
	d.opts.Logger = slog.New(slog.NewTextHandler(&text, nil))
	l := &logger{db: d}
	for range 1000 {
		l.Errorf("disk full")
	}
	if n := strings.Count(text.String(), "disk full"); n != logLines {
		t.Errorf("%d lines of 1000, want %d", n, logLines)
	}
	now = now.Add(logPeriod)
	l.Errorf("disk full")
	if want := fmt.Sprintf("left_out_before=%d", 1000-logLines); !strings.Contains(text.String(), want) {
		t.Errorf("the suppressed lines are not counted:\n%s", text.String())
	}
}
