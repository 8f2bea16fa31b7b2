package worker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// slowLog hands out a topic's ends but, while it is held, none of its records.
type slowLog struct {
	commitlog.Log
	topic string
	held  bool
	polls int
}

type slowReader struct {
	commitlog.Reader
	log *slowLog
}

func (l *slowLog) NewReader(o commitlog.ReaderOptions) (commitlog.Reader, error) {
	r, err := l.Log.NewReader(o)
	return &slowReader{r, l}, err
}

func (r *slowReader) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	r.log.polls++
	tp := commitlog.TopicPartition{Topic: r.log.topic}
	if r.log.held {
		r.Pause(tp)
		defer r.Resume(tp)
	}
	return r.Reader.Poll(ctx)
}

// Of the heads of all inputs the one with the smallest time is taken; within an
// input the order is that of the log.
func TestSmallestTimestampFirst(t *testing.T) {
	h := newTwoInputs(t)
	h.send("b", sent{20, 1}, sent{5, 2}, sent{50, 3})
	h.send("a", sent{10, 4}, sent{30, 5}, sent{20, 6}, sent{60, 7})
	h.start()
	h.settle()
	h.must(h.w.Commit(t.Context()))
	if got, want := h.read("out"), []int64{4, 1, 2, 5, 6, 3, 7}; !slices.Equal(got, want) {
		t.Errorf("taken in the order %v, want %v", got, want)
	}
}

func newTwoInputs(t *testing.T) *harness {
	top, err := passThrough(numbers("a"), numbers("b"))
	return newHarness(t, top, err)
}

// An input that has records, but not at hand, holds up the others for MaxIdle and
// no longer; then they go on without it until its records come.
func TestMaxIdle(t *testing.T) {
	h := newTwoInputs(t)
	slow := &slowLog{Log: h.log, topic: "b", held: true}
	h.cfg.Log = slow
	h.send("a", sent{10, 1}, sent{30, 2})
	h.send("b", sent{5, 3})
	h.start()
	if n := h.settle(); n != 0 {
		t.Fatalf("%d records were taken although an earlier one may come", n)
	}
	h.now = h.now.Add(h.cfg.MaxIdle - time.Millisecond)
	if n := h.settle(); n != 0 {
		t.Fatalf("%d records were taken before MaxIdle was over", n)
	}
	h.now = h.now.Add(time.Millisecond)
	if n := h.settle(); n != 2 {
		t.Fatalf("%d records were taken after MaxIdle, want 2", n)
	}
	h.send("a", sent{40, 4})
	if n := h.settle(); n != 1 {
		t.Fatalf("%d records were taken: the missing input holds up the others once more", n)
	}
	slow.held = false
	h.send("b", sent{6, 5})
	if n := h.settle(); n != 2 {
		t.Fatalf("%d records were taken, want the two late ones", n)
	}
	slow.held = true
	h.send("a", sent{70, 6})
	h.send("b", sent{60, 7})
	if n := h.settle(); n != 0 {
		t.Fatalf("%d records were taken: the wait does not begin anew", n)
	}
	slow.held = false
	h.settle()
	h.must(h.w.Commit(t.Context()))
	if got, want := h.read("out"), []int64{1, 2, 4, 3, 5, 7, 6}; !slices.Equal(got, want) {
		t.Errorf("taken in the order %v, want %v", got, want)
	}
}

// An input that is at its end holds up nobody.
func TestEmptyInputDoesNotWait(t *testing.T) {
	h := newTwoInputs(t)
	h.send("a", sent{10, 1})
	h.start()
	if n := h.settle(); n != 1 {
		t.Errorf("%d records were taken, want 1", n)
	}
}

// While records wait for an empty input, turns wait too, instead of spinning.
func TestHeldUpTurnsDoNotSpin(t *testing.T) {
	h := newTwoInputs(t)
	slow := &slowLog{Log: h.log, topic: "b", held: true}
	h.cfg.Log, h.cfg.Now, h.cfg.MaxIdle = slow, time.Now, 150*time.Millisecond
	h.send("a", sent{10, 1})
	h.send("b", sent{5, 2})
	h.start()
	for taken := 0; taken == 0; {
		p, err := h.w.Turn(t.Context(), time.Second)
		h.must(err)
		taken = p.Records
	}
	if slow.polls > 20 {
		t.Errorf("%d polls in %v of waiting", slow.polls, h.cfg.MaxIdle)
	}
}
