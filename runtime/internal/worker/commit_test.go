package worker_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/topology"
)

func oneInput(t *testing.T) *harness {
	top, err := passThrough(numbers("a"))
	return newHarness(t, top, err)
}

// The interval counts from the first uncommitted record.
func TestCommitInterval(t *testing.T) {
	h := oneInput(t)
	h.start()
	h.send("a", sent{1, 1})
	h.settle()
	h.now = h.now.Add(h.cfg.CommitInterval - 1)
	h.send("a", sent{2, 2})
	h.settle()
	if n := h.end("out"); n != 0 {
		t.Fatalf("%d records are out before the interval is over", n)
	}
	h.now = h.now.Add(1)
	if p := h.turn(); !p.Committed || h.end("out") != 2 {
		t.Errorf("committed %v, %d records out, want both", p.Committed, h.end("out"))
	}
	h.now = h.now.Add(10 * h.cfg.CommitInterval)
	if p := h.turn(); p.Committed || len(h.commits) != 1 {
		t.Errorf("%d commits, want 1: nothing has happened since", len(h.commits))
	}
}

func TestCommitBytes(t *testing.T) {
	h := oneInput(t)
	h.cfg.CommitBytes = 300
	h.start()
	for i := range int64(60) {
		h.send("a", sent{i, i})
		h.turn()
	}
	if len(h.commits) < 2 || len(h.commits) > 12 {
		t.Errorf("%d commits for 60 small records, want one for about 300 bytes each", len(h.commits))
	}
}

func TestRequestCommit(t *testing.T) {
	b := topology.New("asks")
	topology.Process(topology.Source(b, numbers("a")), "ask", func() processor.Processor[string, int64, string, int64] {
		return processor.Func[string, int64, string, int64](func(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
			if r.Value == 3 {
				ctx.RequestCommit()
			}
			return ctx.Forward(r)
		})
	}).To(numbers("out"))
	top, err := b.Build()
	h := newHarness(t, top, err)
	h.start()
	for i := range int64(5) {
		h.send("a", sent{i, i})
		h.settle()
		want := int64(0)
		if i >= 3 {
			want = 4
		}
		if got := h.end("out"); got != want {
			t.Fatalf("after record %d there are %d results, want %d", i, got, want)
		}
	}
}

// A task that goes back to its last commit while its input is paused reads on.
func TestRewindEndsPause(t *testing.T) {
	b := topology.New("unlucky")
	topology.Process(topology.Source(b, numbers("a")), "check", func() processor.Processor[string, int64, string, int64] {
		return processor.Func[string, int64, string, int64](func(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
			if r.Value == 1 {
				return errors.New("unlucky")
			}
			return ctx.Forward(r)
		})
	}).To(numbers("out"))
	top, err := b.Build()
	h := newHarness(t, top, err)
	h.cfg.Poison, h.cfg.BufferBytes = worker.PoisonSkip, 100
	h.start()
	var many []sent
	for i := range int64(40) {
		many = append(many, sent{i, i})
	}
	h.sendBatch("a", many...) // larger than BufferBytes: it pauses the input
	for range 20 {
		h.turn()
	}
	h.must(h.w.Commit(t.Context()))
	if n := h.end("out"); n != 39 {
		t.Errorf("%d results, want 39: the input stayed paused", n)
	}
}

// A first start at the end of a topic is remembered even if nothing comes, so
// that what comes while the application is down is not skipped.
func TestLatestIsRemembered(t *testing.T) {
	topic := numbers("a")
	topic.Reset = topology.Latest
	top, err := passThrough(topic)
	h := newHarness(t, top, err)
	h.send("a", sent{1, 1})
	h.start()
	h.settle()
	h.now = h.now.Add(h.cfg.CommitInterval)
	h.turn()
	h.stop(closeCommitting)
	h.send("a", sent{2, 2})
	h.start()
	h.settle()
	h.must(h.w.Commit(t.Context()))
	if got := h.read("out"); !slices.Equal(got, []int64{2}) {
		t.Errorf("results %v, want only 2, which came after the first start", got)
	}
}

// A turn that is interrupted where it waits is no failure: closing commits.
func TestInterruptedTurnCommitsOnClose(t *testing.T) {
	h := oneInput(t)
	h.start()
	h.send("a", sent{1, 1})
	h.settle()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := h.w.Turn(ctx, time.Hour); err != nil {
		t.Fatalf("interrupted turn: %v", err)
	}
	h.stop(closeCommitting)
	if n := h.end("out"); n != 1 {
		t.Errorf("%d results after closing, want 1", n)
	}
}

// Only the tail of a changelog is replayed onto a store that has the rest.
func TestReplayIsTheTail(t *testing.T) {
	b := topology.New("counting")
	store := state.KeyValue("count", serde.String, serde.Int64)
	topology.Count(topology.Source(b, numbers("a")).GroupByKey(), store).ToStream().To(numbers("out"))
	top, err := b.Build()
	h := newHarness(t, top, err)
	live := memdb.New()
	var stale state.Engine
	h.cfg.OpenEngine = func(string) (state.Engine, error) { return live, nil }
	h.start()
	for i := range int64(10) {
		h.send("a", sent{i, i})
		h.settle()
		h.must(h.w.Commit(t.Context()))
		if i == 6 {
			stale = copyOf(t, live)
		}
	}
	h.stop(kill)
	last := worker.Status{}
	h.cfg.OpenEngine = func(string) (state.Engine, error) { return stale, nil }
	h.cfg.Hooks.Status = func(s worker.Status) { last = s }
	h.start()
	if last.State != worker.Running || last.Restored != 3 || last.ToGo != 0 {
		t.Errorf("%v, %d records replayed, %d to go; want the 3 behind the stored position", last.State, last.Restored, last.ToGo)
	}
	h.send("a", sent{11, 11})
	h.settle()
	h.must(h.w.Commit(t.Context()))
	if got := h.read("out"); !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
		t.Errorf("results %v", got)
	}
}

func copyOf(t *testing.T, from state.Engine) state.Engine {
	t.Helper()
	to := memdb.New()
	it, err := from.Iter(nil, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	b := to.NewBatch()
	for it.Next() {
		if err := b.Set(it.Key(), it.Value()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(it.Err(), to.Apply(b)); err != nil {
		t.Fatal(err)
	}
	return to
}
