package pebbledb

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func fillStore(t *testing.T, disk vfs.FS, rows int) {
	t.Helper()
	d := mustOpen(t, Options{FS: disk, Dir: "/a/b/store", MemTableBytes: 64 << 10, DiskSlowAfter: -1})
	for i := range rows {
		b := d.NewBatch()
		if err := errors.Join(b.Set(fmt.Appendf(nil, "k%d", i), []byte("v")), d.Apply(b), d.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// cutAt fails every disk operation from the n-th on, as a power cut would; a
// cut that was not reached is reported by the result.
func cutAt(disk vfs.FS, n int64) (vfs.FS, func() bool) {
	var ops atomic.Int64
	return errorfs.Wrap(disk, errorfs.InjectorFunc(func(errorfs.Op) error {
		if ops.Add(1) > n {
			return errors.New("power cut")
		}
		return nil
	})), func() bool { return ops.Load() > n }
}

// piecewise removes a directory file by file, as a disk does: the in-memory file
// system would drop it in one step.
type piecewise struct{ vfs.FS }

func (p piecewise) RemoveAll(dir string) error {
	names, err := p.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := p.Remove(p.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	return p.Remove(dir)
}

// countRows opens the store and counts.
func countRows(t *testing.T, disk vfs.FS) (n int) {
	t.Helper()
	d := mustOpen(t, Options{FS: disk, Dir: "/a/b/store", DiskSlowAfter: -1})
	it, err := d.Iter(nil, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		n++
	}
	if err := errors.Join(it.Err(), it.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDestroyCrash cuts Destroy short at each of its disk operations: there is
// the whole store or none.
func TestDestroyCrash(t *testing.T) {
	const rows = 3
	whole, none := 0, 0
	for at := int64(0); ; at++ {
		disk := vfs.NewCrashableMem()
		fillStore(t, disk, rows)
		failing, cut := cutAt(disk, at)
		err := Destroy(piecewise{failing}, "/a/b/store")
		for _, unsynced := range []int{0, 50, 100, -1} {
			clone := disk // -1: only the process ended, all that was done stays
			if unsynced >= 0 {
				clone = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rand.New(rand.NewPCG(uint64(at), 1))})
			}
			switch n := countRows(t, clone); {
			case n == rows && err != nil:
				whole++
			case n == 0: // also if only the removal of the rest failed
				none++
			default:
				t.Errorf("operation %d, %d %% unsynced: %d of %d rows after Destroy returned %v", at, unsynced, n, rows, err)
			}
		}
		if !cut() {
			break
		}
	}
	if whole == 0 || none == 0 {
		t.Errorf("%d whole stores, %d removed: the cuts prove nothing", whole, none)
	}
}

// TestDestroyOpen: a store in use is not destroyed, an absent one is no error.
func TestDestroyOpen(t *testing.T) {
	disk := vfs.NewMem()
	if err := Destroy(disk, "/a/b/store"); err != nil {
		t.Errorf("destroy of nothing: %v", err)
	}
	fillStore(t, disk, 1)
	d := mustOpen(t, Options{FS: disk, Dir: "/a/b/store"})
	if err := Destroy(disk, "/a/b/store"); err == nil {
		t.Error("an open store was destroyed")
	}
	if _, err := Open(Options{FS: disk, Dir: "/a/b/store", Logger: quiet()}); err == nil {
		t.Error("a store was opened twice")
	}
	if err := errors.Join(d.Close(), Destroy(disk, "/a/b/store")); err != nil {
		t.Fatal(err)
	}
	if n := countRows(t, disk); n != 0 {
		t.Errorf("%d rows after Destroy", n)
	}
}

// TestRealDisk: modes, locks and renames of the operating system.
func TestRealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node", "store")
	for range 2 {
		d := mustOpen(t, Options{Dir: dir})
		if _, err := Open(Options{Dir: dir, Logger: quiet()}); err == nil {
			t.Error("a store was opened twice")
		}
		b := d.NewBatch()
		if err := errors.Join(b.Set([]byte("a"), []byte("1")), d.Apply(b), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, created := range []string{dir, filepath.Dir(dir)} {
		info, err := os.Stat(created)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o700 {
			t.Errorf("%s has mode %o, want 700", created, mode)
		}
	}
	if err := Destroy(nil, dir); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{dir, dir + goneSuffix} {
		if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
}

// TestOpenFaults cuts an open and close at each disk operation: neither hangs nor
// ends the process, and after a power loss at that point the next open finds all
// rows.
func TestOpenFaults(t *testing.T) {
	for at := int64(0); ; at++ {
		disk := vfs.NewCrashableMem()
		fillStore(t, disk, 2)
		failing, cut := cutAt(disk, at)
		d, err := Open(Options{FS: failing, Dir: "/a/b/store", DiskSlowAfter: -1, Logger: quiet(), StallTimeout: time.Second})
		if err == nil {
			_ = d.Close() // cut in what Pebble does behind Open, or not at all
		}
		// A store that died in Open holds its lock; the next process does not.
		for seed := range uint64(12) {
			clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed%4) * 33, RNG: rand.New(rand.NewPCG(seed, 1))})
			if n := countRows(t, clone); n != 2 {
				t.Errorf("operation %d, seed %d: %d rows after an open that returned %v", at, seed, n, err)
			}
		}
		if !cut() {
			break
		}
	}
}

// TestMarkerOrder: a directory sync comes before a marker is created and
// before the old one is removed. The crashable file system forgets every removal
// that was not synced, so a crash cannot show the second: the order is checked.
func TestMarkerOrder(t *testing.T) {
	disk := vfs.NewMem()
	fillStore(t, disk, 1)
	var mu sync.Mutex // Pebble removes old files in the background
	synced, steps := false, 0
	recorded := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		name := disk.PathBase(op.Path)
		marker := strings.HasPrefix(name, markerPrefix)
		switch {
		case op.Kind == errorfs.OpFileSync && op.Path == "/a/b/store":
			synced = true
		case op.Kind == errorfs.OpCreate && (marker || strings.HasPrefix(name, "MANIFEST")), op.Kind == errorfs.OpRemove && marker:
			if marker && !synced {
				t.Errorf("operation %d on %s: not all names before it are synced", op.Kind, op.Path)
			}
			if marker {
				steps++
			}
			synced = false
		}
		return nil
	}))
	if n := countRows(t, recorded); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	if steps < 2 {
		t.Errorf("%d marker operations: the test proves nothing", steps)
	}
}
