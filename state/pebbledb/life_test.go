package pebbledb

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/tidemill/tidemill/state"
)

func setRow(t *testing.T, d *DB, key string) {
	t.Helper()
	b := d.NewBatch()
	if err := errors.Join(b.Set([]byte(key), []byte("v")), d.Apply(b)); err != nil {
		t.Fatal(err)
	}
}

// TestFlushAsync: what was applied before becomes durable without a Flush, and
// without it nothing does.
func TestFlushAsync(t *testing.T) {
	disk := vfs.NewCrashableMem()
	d := mustOpen(t, Options{FS: disk, Dir: "/store", DiskSlowAfter: -1})
	defer d.Close()
	survives := func(key string) bool {
		clone := disk.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 1))})
		after := mustOpen(t, Options{FS: clone, Dir: "/store", DiskSlowAfter: -1})
		_, ok, err := after.Get(nil, []byte(key))
		if err = errors.Join(err, after.Close()); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	setRow(t, d, "a")
	if survives("a") {
		t.Error("a row was durable at once: the test proves nothing")
	}
	if err := d.FlushAsync(); err != nil {
		t.Fatal(err)
	}
	setRow(t, d, "b")
	for deadline := time.Now().Add(10 * time.Second); !survives("a"); {
		if time.Now().After(deadline) {
			t.Fatal("FlushAsync did not flush")
		}
	}
	if survives("b") {
		t.Error("a row applied after FlushAsync is durable")
	}
	before := d.Metrics().Flushes
	setRow(t, d, "c")
	if err := errors.Join(d.Flush(), d.Flush(), d.FlushAsync()); err != nil {
		t.Fatal(err)
	}
	if n := d.Metrics().Flushes - before; n != 1 {
		t.Errorf("%d flushes of one change", n)
	}
}

// TestShared: stores share caches, in any order of closing, and one that died
// does not hurt the others. Nothing is left running behind closed stores.
func TestShared(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	shared := NewShared(Budget{CacheBytes: 8 << 20, MemTableBytes: 4 << 20, OpenFiles: 10})
	stores := make([]*DB, 3)
	for i := range stores {
		stores[i] = mustOpen(t, Options{FS: vfs.NewMem(), Dir: "/store", Shared: shared, MemTableBytes: 256 << 10})
		setRow(t, stores[i], "a")
	}
	if err := stores[0].Close(); err != nil {
		t.Error(err)
	}
	shared.Close()
	shared.Close()
	for _, d := range stores[1:] {
		if _, ok, err := d.Get(nil, []byte("a")); !ok || err != nil {
			t.Errorf("get after the caches were given up: %v, %v", ok, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDeadStoreBesideLiveOne(t *testing.T) {
	shared := NewShared(Budget{})
	live := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "/store", Shared: shared})
	dead := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "/store", Shared: shared})
	setRow(t, dead, "a")
	setRow(t, live, "a")
	dead.markDead(syscall.EIO)
	if err := dead.Close(); !errors.Is(err, state.ErrStoreDead) {
		t.Errorf("close of the dead store: %v", err)
	}
	if err := live.Flush(); err != nil {
		t.Error(err)
	}
	shared.Close()
	if _, ok, err := live.Get(nil, []byte("a")); !ok || err != nil {
		t.Errorf("get: %v, %v", ok, err)
	}
	if err := live.Close(); err != nil {
		t.Error(err)
	}
}

// TestBatchOwner: a batch of another store is refused, not mixed in.
func TestBatchOwner(t *testing.T) {
	a := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "/a"})
	b := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "/b"})
	foreign := b.NewBatch()
	if err := a.Apply(foreign); err == nil {
		t.Error("a batch of another store was applied")
	}
	if err := errors.Join(b.Apply(foreign), a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

// TestOptions: what cannot work is refused before anything is touched.
func TestOptions(t *testing.T) {
	for _, opts := range []Options{{}, {Dir: "/store", MemTableBytes: 4 << 30}} {
		if _, err := Open(opts); err == nil {
			t.Errorf("opened with %+v", opts)
		}
	}
}

// A killed store loses what was not flushed and keeps what was, and can be opened
// again.
func TestKill(t *testing.T) {
	fs := vfs.NewMem()
	for _, c := range []struct {
		key   string
		flush bool
		end   func(*DB) error
		want  string
	}{
		{"a", true, (*DB).Kill, "a"},
		{"b", false, (*DB).Kill, "a"},
		{"c", false, (*DB).Close, "ac"},
	} {
		db, err := Open(Options{FS: fs, Dir: "store"})
		if err != nil {
			t.Fatal(err)
		}
		b := db.NewBatch()
		if err := errors.Join(b.Set([]byte(c.key), nil), db.Apply(b)); err != nil {
			t.Fatal(err)
		}
		if c.flush {
			if err := db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.end(db); err != nil {
			t.Fatal(err)
		}
		if db, err = Open(Options{FS: fs, Dir: "store"}); err != nil {
			t.Fatal(err)
		}
		have := ""
		for _, key := range []string{"a", "b", "c"} {
			if _, ok, err := db.Get(nil, []byte(key)); err != nil {
				t.Fatal(err)
			} else if ok {
				have += key
			}
		}
		if err := db.Close(); err != nil || have != c.want {
			t.Fatalf("after %q the store has %q, want %q (%v)", c.key, have, c.want, err)
		}
	}
}
