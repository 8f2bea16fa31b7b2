package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// stepRecords bounds how many records a task processes before the next one's
// turn, and before commits and punctuations are looked at.
const stepRecords = 4096

// Progress says what a turn has done.
type Progress struct {
	Records   int  // taken from the inputs
	Pending   bool // tasks have work that needs no further input
	Committed bool
}

// Turn does one round: poll, step every task, punctuate, commit if it is due. It
// waits up to wait for input when there is nothing to do, and does nothing more
// when ctx ends meanwhile. After an error the worker is finished: Close it.
func (w *Worker) Turn(ctx context.Context, wait time.Duration) (Progress, error) {
	p, err := w.turn(ctx, wait)
	if err != nil {
		w.failed = err
	}
	return p, err
}

func (w *Worker) turn(ctx context.Context, wait time.Duration) (p Progress, err error) {
	if err := w.obey(ctx); err != nil || ctx.Err() != nil {
		return p, err
	}
	if err := w.poll(ctx, wait); err != nil || ctx.Err() != nil {
		return p, err
	}
	now := w.cfg.Now()
	for _, s := range w.slots {
		taken, err := w.stepTask(s, now)
		if err != nil {
			return p, err
		}
		p.Records += taken
		p.Pending = p.Pending || s.task.Pending()
	}
	if w.uncommittedSince.IsZero() && w.uncommitted() {
		w.uncommittedSince = now
	}
	w.reportLag(now)
	if w.commitDue(now) || w.gapsDue(now) {
		p.Committed = true
		return p, w.Commit(ctx)
	}
	return p, nil
}

// poll fetches input and hands it to the tasks.
func (w *Worker) poll(ctx context.Context, wait time.Duration) error {
	wait = w.boundWait(wait)
	polled, cancel := context.WithTimeout(ctx, max(wait, time.Nanosecond))
	defer cancel()
	if wait <= 0 {
		// Nothing may be waited for, but what is there is to be had: an expired
		// context would give nothing.
		polled = ctx
		w.reader.Wake()
	}
	began := w.cfg.Now()
	fetched, err := w.reader.Poll(polled)
	if err != nil {
		// That the wait or ctx has ended is no failure of the worker: it has lost
		// nothing, and commits what it has done when it is closed.
		if ended := polled.Err(); ended != nil && (errors.Is(err, ended) || errors.Is(err, context.Cause(polled))) {
			return nil
		}
		return fmt.Errorf("worker %s: read input: %w", w.cfg.WriterID, err)
	}
	brought := false
	for _, f := range fetched {
		s := w.byInput[f.TopicPartition]
		s.stable[f.Topic] = f.StableEnd
		brought = brought || len(f.Batches) > 0
		if s.task.Feed(f) && !s.task.Uncommitted() {
			w.report(s) // nobody would hear of it: there is nothing to commit
		}
		w.throttle(s, f.TopicPartition)
	}
	if brought && w.cfg.Hooks.Fetched != nil {
		w.cfg.Hooks.Fetched(w.cfg.Now().Sub(began))
	}
	return nil
}

// boundWait shortens a wait to the next commit or punctuation that is due.
func (w *Worker) boundWait(wait time.Duration) time.Duration {
	now := w.cfg.Now()
	if !w.uncommittedSince.IsZero() {
		wait = min(wait, w.uncommittedSince.Add(w.cfg.CommitInterval).Sub(now))
	}
	for _, s := range w.slots {
		if s.waits {
			continue // nothing is done for it before its release, which wakes
		}
		if due, ok := s.task.NextWall(); ok {
			wait = min(wait, due.Sub(now))
		}
		if s.task.Pending() {
			wait = 0
		} else if w.holds(s) {
			wait = min(wait, w.heldUpFor(s, now))
		}
	}
	return max(wait, 0)
}

// holds says that a task has input queued.
func (w *Worker) holds(s *slot) bool {
	for _, topic := range s.topics() {
		if s.task.Buffered(topic) > 0 {
			return true
		}
	}
	return false
}

// throttle pauses an input that holds too much, and resumes it at half of that.
func (w *Worker) throttle(s *slot, tp commitlog.TopicPartition) {
	held := s.task.Buffered(tp.Topic)
	switch {
	case held >= w.cfg.BufferBytes && !s.paused[tp.Topic]:
		s.paused[tp.Topic] = true
		w.reader.Pause(tp)
	case held <= w.cfg.BufferBytes/2 && s.paused[tp.Topic]:
		s.paused[tp.Topic] = false
		w.reader.Resume(tp)
	}
}

// stepTask processes some of a task's input and runs its wall-clock
// punctuations.
func (w *Worker) stepTask(s *slot, now time.Time) (taken int, err error) {
	if err := heldError(s); err != nil || s.waits {
		return 0, err
	}
	taken, err = s.task.Step(stepRecords, w.idleOver(s, now))
	if err == nil {
		if due, ok := s.task.NextWall(); ok && !now.Before(due) {
			err = s.task.PunctuateWall(now)
		}
	}
	if err != nil {
		return taken, w.poisoned(s, err)
	}
	for _, source := range s.assigned.Sub.Sources {
		w.throttle(s, commitlog.TopicPartition{Topic: source.Name, Partition: s.assigned.Partition})
	}
	return taken, nil
}

// lagInterval is how old the ends of the inputs may be that others see.
const lagInterval = time.Second

// reportLag publishes the state of the tasks from time to time also without a
// commit: a worker that waits for disk space or for an input falls behind, and its
// lag has to show that.
func (w *Worker) reportLag(now time.Time) {
	if now.Sub(w.reported) < lagInterval {
		return
	}
	w.reported = now
	for _, s := range w.slots {
		w.report(s)
	}
}

// idleOver says that an empty input has held up the others of its task for the
// configured time. They go on without it until it has records again.
func (w *Worker) idleOver(s *slot, now time.Time) bool {
	if !s.task.Blocked() {
		s.waitingSince = time.Time{}
		return false
	}
	if s.waitingSince.IsZero() {
		if !w.holds(s) {
			return false // nobody waits for it yet
		}
		s.waitingSince = now
	}
	return now.Sub(s.waitingSince) >= w.cfg.MaxIdle
}

// heldUpFor is how much longer the queued input of a task has to wait for an
// empty one.
func (w *Worker) heldUpFor(s *slot, now time.Time) time.Duration {
	if s.waitingSince.IsZero() || !s.task.Blocked() {
		return 0
	}
	return s.waitingSince.Add(w.cfg.MaxIdle).Sub(now)
}

func (w *Worker) uncommitted() bool {
	for _, s := range w.slots {
		if s.task.Uncommitted() && !s.heldBack() {
			return true
		}
	}
	return false
}

// gapInterval is the time between commits that only move positions over gaps.
const gapInterval = time.Second

// gapsDue says that, while there is nothing else to commit, a task has moved over
// offsets that are no records, such as markers. Its place is committed so that
// tools which compare offsets see no lag. That appends to no input, so it brings
// about no further gap.
func (w *Worker) gapsDue(now time.Time) bool {
	if !w.uncommittedSince.IsZero() {
		return false
	}
	for _, s := range w.slots {
		if s.task.Moved() && !s.heldBack() && now.Sub(s.commit) >= gapInterval {
			return true
		}
	}
	return false
}

func (w *Worker) commitDue(now time.Time) bool {
	if w.uncommittedSince.IsZero() {
		return false
	}
	if now.Sub(w.uncommittedSince) >= w.cfg.CommitInterval {
		return true
	}
	bytes := 0
	for _, s := range w.slots {
		if s.task.CommitRequested() || s.waits && !s.heldBack() {
			return true
		}
		bytes += s.task.UncommittedBytes()
	}
	return bytes >= w.cfg.CommitBytes
}
