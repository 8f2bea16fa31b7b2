package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
)

// lowSpaceRetry is the pause between attempts to commit on a full disk.
const lowSpaceRetry = 250 * time.Millisecond

// transaction writes everything to the log. While the disk is nearly full it
// waits: nothing is lost, and reads go on.
func (w *Worker) transaction(ctx context.Context, commits []taskCommit) (map[commitlog.TopicPartition]commitlog.Range, error) {
	for attempt := 0; ; attempt++ {
		ranges, err := w.tryTransaction(ctx, commits)
		if err == nil {
			return ranges, nil
		}
		if w.cfg.Hooks.Aborted != nil {
			w.cfg.Hooks.Aborted()
		}
		if !errors.Is(err, commitlog.ErrLowSpace) {
			return nil, err
		}
		if attempt == 0 {
			w.cfg.Logger.Error("commits wait for disk space", "worker", w.cfg.WriterID, "error", err.Error())
		}
		if err := w.writer.Abort(); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(lowSpaceRetry):
		}
	}
}

func (w *Worker) tryTransaction(ctx context.Context, commits []taskCommit) (map[commitlog.TopicPartition]commitlog.Range, error) {
	if err := w.writer.Begin(); err != nil {
		return nil, err
	}
	positions := commitlog.TopicPartition{Topic: changelog.PositionsTopic(w.cfg.App)}
	offsets := map[commitlog.TopicPartition]commitlog.GroupOffset{}
	w.positions.Reset()
	w.deadLetters.Reset()
	for _, c := range commits {
		if err := w.appendTask(c); err != nil {
			return nil, err
		}
		for tp, next := range c.commit.Inputs {
			offsets[tp] = commitlog.GroupOffset{Offset: next}
		}
		w.positions.Append(w.cfg.Now().UnixMilli(), []byte(c.slot.id), c.commit.Position, nil)
		w.addLetters(c)
	}
	if !w.deadLetters.Empty() {
		tp := commitlog.TopicPartition{Topic: w.cfg.DeadLetter}
		if err := w.writer.Append(tp, &w.deadLetters); err != nil {
			return nil, fmt.Errorf("append to %s: %w", tp, err)
		}
	}
	if err := w.writer.Append(positions, &w.positions); err != nil {
		return nil, fmt.Errorf("append to %s: %w", positions, err)
	}
	ctx, cancel := lingering(ctx, commitGrace)
	defer cancel()
	return w.finish(ctx, offsets)
}

func (w *Worker) appendTask(c taskCommit) error {
	for _, a := range c.commit.Changelog {
		if _, err := w.writer.AppendExclusive(a.TopicPartition, a.Builder); err != nil {
			return fmt.Errorf("append to %s: %w", a.TopicPartition, err)
		}
	}
	for _, a := range c.commit.Outputs {
		if err := w.writer.Append(a.TopicPartition, a.Builder); err != nil {
			return fmt.Errorf("append to %s: %w", a.TopicPartition, err)
		}
	}
	return nil
}

// finish adds the group offsets and commits. In the middle of a rebalance the
// membership may be of a generation that is over. That is definite: nothing was
// committed and the transaction is open. As long as this process is a member its
// tasks are its own, those included that it has to give up: nobody gets them
// before it has joined without them. So it commits as a member of the new
// generation.
func (w *Worker) finish(ctx context.Context, offsets map[commitlog.TopicPartition]commitlog.GroupOffset) (map[commitlog.TopicPartition]commitlog.Range, error) {
	var as commitlog.Membership
	if w.cfg.Group != nil {
		as = w.cfg.Group.Membership()
	}
	for {
		err := w.writer.Offsets(w.cfg.App, as, offsets)
		var ranges map[commitlog.TopicPartition]commitlog.Range
		if err == nil {
			ranges, err = w.writer.Commit(ctx)
		}
		if w.cfg.Group == nil || !errors.Is(err, commitlog.ErrStaleGeneration) {
			return ranges, err
		}
		next, gone := w.cfg.Group.Renewed(ctx, as)
		if gone != nil {
			return nil, errors.Join(gone, err, w.writer.Abort())
		}
		as = next
	}
}

// commitGrace is how much longer a commit may take that has begun when the worker
// is stopped. Cut off, its outcome would be unknown.
const commitGrace = 5 * time.Second

// lingering returns a context that ends some time after its parent.
func lingering(parent context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	var timer atomic.Pointer[time.Timer]
	stop := context.AfterFunc(parent, func() {
		timer.Store(time.AfterFunc(by, func() { cancel(context.Cause(parent)) }))
	})
	return ctx, func() {
		stop()
		if t := timer.Load(); t != nil {
			t.Stop()
		}
		cancel(nil)
	}
}
