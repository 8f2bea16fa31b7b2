package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// failNth fails one call, and remembers whether there was such a call.
type failNth struct {
	left atomic.Int64
	hit  atomic.Pointer[errorfs.Op]
}

func (f *failNth) MaybeError(op errorfs.Op) error {
	if f.left.Add(-1) == -1 {
		f.hit.Store(&op)
		return errorfs.ErrInjected
	}
	return nil
}

func (f *failNth) String() string { return "failNth" }

// ioError runs a life of a log in which call n fails, and then opens the same
// disk in good health.
func ioError(n int64) (v verdict, hit *errorfs.Op, err error) {
	disk, m, f := vfs.NewMem(), newModel(), &failNth{}
	f.left.Store(n)
	rng := rand.New(rand.NewPCG(9, 9))
	options := small(errorfs.Wrap(disk, f))
	options.Logger, options.JournalBytes = quiet, 4<<10
	lifeErr := shortLife(options, m, rng)
	if f.hit.Load() == nil && lifeErr != nil {
		return v, nil, fmt.Errorf("without a fault: %w", lifeErr)
	}
	options.FS = disk
	l, err := Open(options)
	if err != nil {
		return v, f.hit.Load(), fmt.Errorf("open in good health after %v: %w", lifeErr, err)
	}
	v, err = m.check(l)
	if err == nil {
		err = m.checkEpochs(l, &v)
	}
	return v, f.hit.Load(), errors.Join(err, l.Close())
}

// shortLife opens a log twice and writes, reads, rotates and closes.
func shortLife(o Options, m *model, rng *rand.Rand) error {
	for life := range 2 {
		l, err := Open(o)
		if err != nil {
			return err
		}
		err = l.CreateTopic(ctx, commitlog.TopicConfig{Name: "a", Partitions: modelPartitions})
		if err == nil {
			m.topics["a"] = true
			never := func() bool { return false }
			err = m.run(l, fmt.Sprint("w", life), rng, 20, never)
		}
		if err == nil {
			_, err = readAll(l, tp("a", 0), 0)
		}
		if err = errors.Join(err, l.Close()); err != nil {
			return err
		}
	}
	return nil
}

func TestEveryIOErrorIsSurvived(t *testing.T) {
	var total verdict
	n := int64(0)
	for ; ; n++ {
		v, hit, err := ioError(n)
		if err != nil {
			t.Fatalf("call %d (%v): %v", n, hit, err)
		}
		if v.bad() {
			t.Fatalf("call %d (%v): %s\n%s", n, hit, v.line("io error", n), strings.Join(v.notes, "\n"))
		}
		total.add(v)
		if hit == nil {
			break
		}
	}
	t.Log(total.line("io errors", fmt.Sprintf("call 0..%d", n-1)))
	if n < 100 {
		t.Errorf("only %d calls were made: rotation and recovery were not reached", n)
	}
}

// journalSyncFails fails the first journal sync after it is armed and counts
// those that come later.
type journalSyncFails struct {
	armed       atomic.Bool
	failed      atomic.Bool
	syncsBehind atomic.Int64
}

func (f *journalSyncFails) MaybeError(op errorfs.Op) error {
	if op.Kind != errorfs.OpFileSyncData && op.Kind != errorfs.OpFileSync || !strings.Contains(op.Path, "journal-") || !f.armed.Load() {
		return nil
	}
	if f.failed.Swap(true) {
		f.syncsBehind.Add(1)
		return nil
	}
	return errorfs.ErrInjected
}

func (f *journalSyncFails) String() string { return "journalSyncFails" }

func TestFailedSyncEndsWritesAndIsNotRetried(t *testing.T) {
	f := &journalSyncFails{}
	l := mustOpen(t, Options{FS: errorfs.Wrap(vfs.NewMem(), f), Dir: "log", Logger: quiet})
	w, err := openTopic(l, "a", 1, "w")
	if err != nil {
		t.Fatal(err)
	}
	if err := commitValue(w, tp("a", 0), "before"); err != nil {
		t.Fatal(err)
	}
	f.armed.Store(true)
	if err := commitValue(w, tp("a", 0), "lost"); !errors.Is(err, commitlog.ErrUnknownOutcome) {
		t.Errorf("the commit whose sync failed: %v, want ErrUnknownOutcome", err)
	}
	if err := l.CreateTopic(ctx, commitlog.TopicConfig{Name: "b", Partitions: 1}); !errors.Is(err, commitlog.ErrReadOnly) {
		t.Errorf("a later write: %v, want ErrReadOnly", err)
	}
	if _, err := l.OpenWriter(ctx, "w2"); !errors.Is(err, commitlog.ErrReadOnly) {
		t.Errorf("a later writer: %v, want ErrReadOnly", err)
	}
	if got, err := readAll(l, tp("a", 0), 0); err != nil || fmt.Sprint(got) != "[before]" {
		t.Errorf("reads do not go on: %v, %v", got, err)
	}
	if err := l.Close(); err == nil {
		t.Error("Close does not tell of the failure")
	}
	if n := f.syncsBehind.Load(); n > 0 {
		t.Errorf("the journal was synced %d times after a failed sync", n)
	}
}

// TestIOErrorControl: a disk that loses writes to the journal and reports success
// must be caught by the same check.
func TestIOErrorControl(t *testing.T) {
	disk, m := vfs.NewCrashableMem(), newModel()
	o := Options{FS: &droppingFS{FS: disk}, Dir: "log", Logger: quiet}
	l := mustOpen(t, o)
	if err := l.CreateTopic(ctx, commitlog.TopicConfig{Name: "a", Partitions: modelPartitions}); err != nil {
		t.Fatal(err)
	}
	never := func() bool { return false }
	if err := m.run(l, "w", rand.New(rand.NewPCG(9, 9)), 20, never); err != nil {
		t.Fatal(err)
	}
	o.FS = disk.CrashClone(vfs.CrashCloneCfg{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	defer l.Close()
	if v, err := m.check(l); err == nil && v.lost == 0 {
		t.Error("lost writes went unnoticed")
	}
}

// droppingFS forgets what is written to journals.
type droppingFS struct{ vfs.FS }

type droppingFile struct{ vfs.File }

func (droppingFile) Write(p []byte) (int, error) { return len(p), nil }

func (d *droppingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	if err == nil && strings.Contains(name, "journal-") {
		return droppingFile{f}, nil
	}
	return f, err
}
