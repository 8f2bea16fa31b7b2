package embedded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func noPlan([]commitlog.MemberInfo) (map[string][]byte, error) { return nil, nil }

func TestCloseEndsMembers(t *testing.T) {
	l := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "log", Logger: quiet})
	m, err := l.OpenMember(ctx, commitlog.GroupConfig{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Join(ctx, nil, noPlan); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-m.Changed()
	if _, err := m.Join(ctx, nil, noPlan); !errors.Is(err, commitlog.ErrClosed) {
		t.Errorf("join after Close: %v, want ErrClosed", err)
	}
	if _, err := l.OpenMember(ctx, commitlog.GroupConfig{Group: "g"}); !errors.Is(err, commitlog.ErrClosed) {
		t.Errorf("open member after Close: %v, want ErrClosed", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// TestMembershipIsDecidedUnderTheOrderLock: a generation that begins after Commit
// has looked at the writer, and before its entry is in the journal, must win; the
// transaction then goes on with the new generation.
func TestMembershipIsDecidedUnderTheOrderLock(t *testing.T) {
	l := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "log", Logger: quiet})
	defer l.Close()
	opened, err := openTopic(l, "a", 1, "w")
	if err != nil {
		t.Fatal(err)
	}
	w := opened.(*Writer)
	m, err := l.OpenMember(ctx, commitlog.GroupConfig{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	old, err := m.Join(ctx, nil, noPlan)
	if err != nil {
		t.Fatal(err)
	}
	at := map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): {Offset: 1}}
	if err := errors.Join(w.Begin(), w.Append(tp("a", 0), batchOf("x")), w.Offsets("g", old.Membership, at)); err != nil {
		t.Fatal(err)
	}
	tx, err := w.open() // the first thing that Commit does
	if err != nil {
		t.Fatal(err)
	}
	next, err := m.Join(ctx, nil, noPlan)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.submit(tx); !errors.Is(err, commitlog.ErrStaleGeneration) {
		t.Errorf("a commit that was overtaken: %v, want ErrStaleGeneration", err)
	}
	if _, err := w.Commit(ctx); !errors.Is(err, commitlog.ErrStaleGeneration) {
		t.Errorf("the same again: %v, want ErrStaleGeneration", err)
	}
	if err := w.Offsets("g", next.Membership, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(ctx); err != nil {
		t.Errorf("commit with the new generation: %v", err)
	}
	if got, err := l.GroupOffsets(ctx, "g"); err != nil || got[tp("a", 0)].Offset != 1 {
		t.Error(got, err)
	}
}

// heldFS lets syncs wait for a gate.
type heldFS struct {
	vfs.FS
	gate *chan struct{}
}

type heldFile struct {
	vfs.File
	gate *chan struct{}
}

func (f heldFile) SyncData() error {
	<-*f.gate
	return f.File.SyncData()
}

func (h heldFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := h.FS.Create(name, c)
	return heldFile{f, h.gate}, err
}

// TestNewOwnersWaitForACommitUnderWay: a commit that was in order before the call
// is part of every answer that a new owner builds on.
func TestNewOwnersWaitForACommitUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		close(gate)
		l := mustOpen(t, Options{FS: heldFS{vfs.NewMem(), &gate}, Dir: "log", Logger: quiet})
		defer l.Close()
		w, err := openTopic(l, "a", 1, "w")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		held := make(chan struct{})
		gate = held
		offset := commitlog.GroupOffset{Offset: 7}
		err = errors.Join(w.Begin(), w.Append(tp("a", 0), batchOf("x")),
			w.Offsets("g", commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): offset}))
		if err != nil {
			t.Fatal(err)
		}
		answers := make(chan string, 3)
		go func() {
			if _, err := w.Commit(ctx); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := l.GroupOffsets(cancelled, "g"); !errors.Is(err, context.Canceled) {
			t.Errorf("group offsets while a commit is under way: %v", err)
		}
		go func() {
			if got, err := l.GroupOffsets(ctx, "g"); err != nil || got[tp("a", 0)] != offset {
				t.Errorf("group offsets are %v, %v; want %v", got, err, offset)
			}
			answers <- "offsets"
		}()
		go func() {
			if got, err := l.Settled(ctx, []commitlog.TopicPartition{tp("a", 0)}); err != nil || got[tp("a", 0)].StableEnd != 1 {
				t.Errorf("settled bounds are %v, %v; want the end at 1", got, err)
			}
			answers <- "settled"
		}()
		go func() {
			if _, found, err := l.Latest(ctx, tp("a", 0), []byte("key-x")); err != nil || !found {
				t.Errorf("the newest record of the key: found %v, %v", found, err)
			}
			answers <- "latest"
		}()
		synctest.Wait()
		if len(answers) > 0 {
			t.Errorf("%s did not wait for the disk", <-answers)
		}
		close(held)
		for range 3 {
			<-answers
		}
	})
}
