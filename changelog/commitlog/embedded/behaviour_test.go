package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slowFS takes a millisecond for each sync, so that commits come together.
type slowFS struct{ vfs.FS }

type slowFile struct{ vfs.File }

func (f slowFile) SyncData() error {
	time.Sleep(time.Millisecond)
	return f.File.SyncData()
}

func (s slowFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return slowFile{f}, err
}

func TestCommitsShareASync(t *testing.T) {
	l := mustOpen(t, Options{FS: slowFS{vfs.NewMem()}, Dir: "log", Logger: quiet})
	defer l.Close()
	if err := l.CreateTopic(ctx, commitlog.TopicConfig{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	const writers, each = 16, 20
	all := make([]commitlog.Writer, writers)
	for i := range all {
		w, err := l.OpenWriter(ctx, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = w
	}
	before := l.Stats()
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() {
			for range each {
				if err := commitValue(w, tp("a", 0), "x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	after := l.Stats()
	commits, syncs := after.Transactions-before.Transactions, after.JournalSyncs-before.JournalSyncs
	t.Logf("%d commits, %d syncs", commits, syncs)
	if commits != writers*each || syncs > commits/3 {
		t.Errorf("%d commits took %d syncs", commits, syncs)
	}
}

// TestLargeTransactionGoesInParts also crosses a rotation in the middle.
func TestLargeTransactionGoesInParts(t *testing.T) {
	disk := vfs.NewCrashableMem()
	o := small(disk)
	o.Logger = quiet
	l := mustOpen(t, o)
	w, err := openTopic(l, "a", 2, "w")
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.OpenWriter(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 100 {
		value := fmt.Sprint(i, strings.Repeat("y", 500))
		want = append(want, value)
		if err := w.Append(tp("a", 0), batchOf(value)); err != nil {
			t.Fatal(err)
		}
		if err := commitValue(other, tp("a", 1), value); err != nil {
			t.Fatal(err)
		}
	}
	if l.Stats().Checkpoints < 3 {
		t.Fatalf("no rotation within the transaction: %+v", l.Stats())
	}
	if _, err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	clone := disk.CrashClone(vfs.CrashCloneCfg{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.FS = clone
	l = mustOpen(t, o)
	defer l.Close()
	for p := range int32(2) {
		if got, err := readAll(l, tp("a", p), 0); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("partition %d: %d of %d values, %v", p, len(got), len(want), err)
		}
	}
}

func TestDiskAndMemoryStayBounded(t *testing.T) {
	disk := vfs.NewMem()
	o := Options{FS: disk, Dir: "log", Logger: quiet, JournalBytes: 64 << 10, TailBytes: 32 << 10, SegmentBytes: 32 << 10}
	l := mustOpen(t, o)
	defer l.Close()
	w, err := openTopic(l, "a", 1, "w")
	if err != nil {
		t.Fatal(err)
	}
	value := strings.Repeat("z", 2000)
	for range 1000 {
		if err := commitValue(w, tp("a", 0), value); err != nil {
			t.Fatal(err)
		}
		names, err := disk.List("log")
		if err != nil {
			t.Fatal(err)
		}
		journals := int64(0)
		for _, name := range names {
			if _, ok := parseJournalName(name); ok {
				if info, err := disk.Stat("log/" + name); err == nil {
					journals += info.Size()
				}
			}
		}
		if s := l.Stats(); s.TailBytes > o.TailBytes+4096 || s.Unwritten > o.TailBytes {
			t.Fatalf("memory is not bounded: %+v", s)
		}
		if journals > 5*o.JournalBytes {
			t.Fatalf("the journals take %d bytes, a journal is %d", journals, o.JournalBytes)
		}
	}
}

func TestPollWaitsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "log", Logger: quiet})
		w, err := openTopic(l, "a", 1, "w")
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.NewReader(commitlog.ReaderOptions{MaxWait: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Assign(tp("a", 0), 0); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if fetched, err := r.Poll(ctx); err != nil || len(fetched) != 1 || time.Since(start) != time.Hour {
			t.Errorf("an idle Poll took %v: %v, %v", time.Since(start), fetched, err)
		}
		go func() {
			time.Sleep(time.Minute)
			if err := commitValue(w, tp("a", 0), "x"); err != nil {
				t.Error(err)
			}
		}()
		start = time.Now()
		if fetched, err := r.Poll(ctx); err != nil || fetched[0].Next != 1 || time.Since(start) != time.Minute {
			t.Errorf("a Poll took %v: %v, %v", time.Since(start), fetched, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Poll(ctx); !errors.Is(err, commitlog.ErrClosed) {
			t.Errorf("Poll after Close: %v", err)
		}
	})
}

func TestFormatsOfOthersAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, Options{FS: fs, Dir: "log"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{formatPrefix + "2\n": "this program reads format 1", "something else": "restore"} {
		if err := writeAndSync(fs, "log/FORMAT", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{FS: fs, Dir: "log"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("FORMAT %q: %v", text, err)
		}
	}
}

// TestHolderIsNotAFalseClaim: what a killed process left must not be repeated as
// the present holder.
func TestHolderIsNotAFalseClaim(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+holderFile, []byte("process 99999999 on elsewhere"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, Options{Dir: dir})
	defer l.Close()
	_, err := Open(Options{Dir: dir})
	if err == nil || strings.Contains(err.Error(), "elsewhere") || !strings.Contains(err.Error(), fmt.Sprintf("process %d on", os.Getpid())) {
		t.Errorf("the holder is told as: %v", err)
	}
}

func TestCommitGivesUpWithItsContext(t *testing.T) {
	l := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "log", Logger: quiet})
	defer l.Close()
	w, err := openTopic(l, "a", 1, "w")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Begin(), w.Append(tp("a", 0), batchOf("x"))); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.Commit(cancelled); err == nil || errors.Is(err, commitlog.ErrUnknownOutcome) {
		t.Errorf("a commit that never began: %v, want a definite error", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if err := commitValue(w, tp("a", 0), "y"); err != nil {
		t.Error(err)
	}
	if got, err := readAll(l, tp("a", 0), 0); err != nil || fmt.Sprint(got) != "[y]" {
		t.Error(got, err)
	}
}

func TestChangedBuilderIsRefused(t *testing.T) {
	l := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "log", Logger: quiet})
	defer l.Close()
	w, err := openTopic(l, "a", 1, "w")
	if err != nil {
		t.Fatal(err)
	}
	b := batchOf("x", "y", "z")
	if err := errors.Join(w.Begin(), w.Append(tp("a", 0), b)); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Append(0, nil, []byte("other"), nil)
	b.Seal(recordbatch.NoProducer, false)
	if _, err := w.Commit(ctx); err == nil || !strings.Contains(err.Error(), "builder") {
		t.Errorf("commit of a changed builder: %v", err)
	}
}

// TestFenceIsDecidedUnderTheOrderLock: a take-over that comes after Commit has
// looked at the writer, and before its entry is in the journal, must win.
func TestFenceIsDecidedUnderTheOrderLock(t *testing.T) {
	l := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "log", Logger: quiet})
	defer l.Close()
	opened, err := openTopic(l, "a", 1, "w")
	if err != nil {
		t.Fatal(err)
	}
	w := opened.(*Writer)
	if err := errors.Join(w.Begin(), w.Append(tp("a", 0), batchOf("zombie"))); err != nil {
		t.Fatal(err)
	}
	tx, err := w.open() // the first thing that Commit does
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.OpenWriter(ctx, "w"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.submit(tx); !errors.Is(err, commitlog.ErrFenced) {
		t.Errorf("a commit that was overtaken: %v, want ErrFenced", err)
	}
	if got, err := readAll(l, tp("a", 0), 0); err != nil || len(got) > 0 {
		t.Error(got, err)
	}
}
