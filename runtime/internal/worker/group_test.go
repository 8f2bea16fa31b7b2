package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/internal/worker"
)

// strictLog refuses group offsets of all generations but one.
type strictLog struct {
	commitlog.Log
	generation int32
	refused    int
}

type strictWriter struct {
	commitlog.Writer
	log *strictLog
	as  commitlog.Membership
}

func (l *strictLog) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	w, err := l.Log.OpenWriter(ctx, id)
	return &strictWriter{Writer: w, log: l}, err
}

func (w *strictWriter) Offsets(group string, as commitlog.Membership, at map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	w.as = as
	return w.Writer.Offsets(group, commitlog.Membership{}, at)
}

func (w *strictWriter) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	if w.as.Generation != w.log.generation {
		w.log.refused++
		return nil, fmt.Errorf("generation %d: %w", w.as.Generation, commitlog.ErrStaleGeneration)
	}
	return w.Writer.Commit(ctx)
}

// places gives memberships one after the other.
type places struct {
	as   commitlog.Membership
	last int32
}

func (p *places) Membership() commitlog.Membership { return p.as }

func (p *places) Renewed(_ context.Context, refused commitlog.Membership) (commitlog.Membership, error) {
	if refused != p.as || p.as.Generation == p.last {
		return p.as, commitlog.ErrNotMember
	}
	p.as.Generation++
	return p.as, nil
}

// A refusal for an old generation is followed by the same transaction with the new
// one, and nothing is committed twice. A member that is out ends the worker.
func TestStaleGeneration(t *testing.T) {
	h := oneInput(t)
	log, group := &strictLog{Log: h.log, generation: 3}, &places{as: commitlog.Membership{Member: "m", Generation: 1}, last: 5}
	h.cfg.Log, h.cfg.Group = log, group
	h.start()
	h.send("a", sent{1, 1})
	h.settle()
	h.must(h.w.Commit(t.Context()))
	if n := h.end("out"); n != 1 || log.refused != 2 {
		t.Errorf("%d results after %d refusals, want 1 after 2", n, log.refused)
	}
	log.generation = 9
	h.send("a", sent{2, 2})
	h.settle()
	if err := h.w.Commit(t.Context()); !errors.Is(err, commitlog.ErrNotMember) {
		t.Errorf("commit of a member that is out: %v", err)
	}
	if n := h.end("out"); n != 1 {
		t.Errorf("%d results, want still 1", n)
	}
}

// gapLog shows one offset that is no record behind the end of topic a.
type gapLog struct{ commitlog.Log }

type gapReader struct{ commitlog.Reader }

func (l *gapLog) NewReader(o commitlog.ReaderOptions) (commitlog.Reader, error) {
	r, err := l.Log.NewReader(o)
	return &gapReader{r}, err
}

func (r *gapReader) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	fetched, err := r.Reader.Poll(ctx)
	for i, f := range fetched {
		fetched[i].StableEnd++
		if len(f.Batches) == 0 && f.Next == f.StableEnd {
			fetched[i].Next++
		}
	}
	return fetched, err
}

// A position that moves over a gap shows no lag at once, and is committed once,
// after a while.
func TestPositionsMoveOverGaps(t *testing.T) {
	h := oneInput(t)
	h.cfg.Log = &gapLog{h.log}
	var last worker.Status
	h.cfg.Hooks.Status = func(s worker.Status) { last = s }
	h.start()
	h.send("a", sent{1, 1}, sent{2, 2})
	h.settle()
	h.now = h.now.Add(h.cfg.CommitInterval)
	h.turn()
	h.turn()
	if last.Lag() != 0 || last.Inputs["a"] != 3 {
		t.Errorf("lag %d at offset %d, want none at 3, behind the gap", last.Lag(), last.Inputs["a"])
	}
	commits := len(h.commits)
	for range 10 {
		h.now = h.now.Add(999 * time.Millisecond)
		h.turn()
	}
	groups, err := h.log.GroupOffsets(t.Context(), "pass")
	h.must(err)
	if at := groups[commitlog.TopicPartition{Topic: "a"}].Offset; at != 3 || len(h.commits)-commits > 1 {
		t.Errorf("the group stands at %d after %d commits more, want 3 after one", at, len(h.commits)-commits)
	}
}

// Tasks come and go while others run; a released one leaves its work committed and
// its changelog to others.
func TestAttachAndRelease(t *testing.T) {
	top, err := passThrough(numbers("a"))
	h := newHarness(t, top, err)
	tasks := h.cfg.Tasks
	h.cfg.Tasks = nil
	h.start()
	for round := range int64(3) {
		groups, err := h.log.GroupOffsets(t.Context(), "pass")
		h.must(err)
		p, err := worker.Prepare(t.Context(), h.cfg, tasks[0], groups)
		h.must(err)
		attached := make(chan error, 1)
		h.w.Attach(p, func(err error) { attached <- err })
		h.send("a", sent{round, round})
		h.settle()
		h.must(<-attached)
		released := make(chan error, 1)
		h.w.Release("pass_0", func(err error) { released <- err })
		h.turn()
		h.must(<-released)
		h.send("a", sent{round, 10 + round})
		h.settle()
	}
	if got := h.read("out"); !slices.Equal(got, []int64{0, 10, 1, 11, 2}) {
		t.Errorf("results %v", got)
	}
	h.w.Release("pass_0", func(error) {})
	if _, err := h.w.Turn(t.Context(), 0); err == nil {
		t.Error("a task that is not there was released")
	}
}
