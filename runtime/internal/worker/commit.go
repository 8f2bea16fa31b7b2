package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/internal/task"
)

// lowSpaceRetry is the pause between attempts to commit on a full disk.
const lowSpaceRetry = 250 * time.Millisecond

// taskCommit is a task with what it wants to commit.
type taskCommit struct {
	slot   *slot
	commit *task.Commit
}

// Commit makes everything that the tasks have done durable: outputs, changelogs,
// positions and group offsets in one transaction of the log, and after it has
// been acknowledged one batch to the store of each task. After an error the
// worker is finished.
func (w *Worker) Commit(ctx context.Context) error {
	if !w.uncommitted() {
		w.uncommittedSince = time.Time{}
		return nil
	}
	stats := CommitStats{}
	began, cpu := w.cfg.Now(), w.threadCPU()
	commits, err := w.collect(&stats)
	if err != nil || commits == nil {
		w.discard(commits)
		return err
	}
	built := w.cfg.Now()
	stats.BuildTook = built.Sub(began)
	ranges, err := w.transaction(ctx, commits)
	if err != nil {
		w.discard(commits)
		return fmt.Errorf("worker %s: commit: %w", w.cfg.WriterID, err)
	}
	logged := w.cfg.Now()
	stats.LogTook = logged.Sub(built)
	for _, c := range commits {
		if err := w.apply(c, ranges); err != nil {
			return fmt.Errorf("task %s: the commit is in the log but not in its store, a restart repairs that: %w", c.slot.id, err)
		}
	}
	w.uncommittedSince = time.Time{}
	now := w.cfg.Now()
	stats.ApplyTook, stats.Took = now.Sub(logged), now.Sub(began)
	stats.CPU = w.threadCPU() - cpu
	if w.cfg.Hooks.Committed != nil {
		w.cfg.Hooks.Committed(stats)
	}
	return w.flushStores(now)
}

func (w *Worker) threadCPU() time.Duration {
	if w.cfg.ThreadCPU == nil {
		return 0
	}
	return w.cfg.ThreadCPU()
}

// collect asks every task that has done something for its commit. A record that
// fails while results are emitted may send its task back to the last commit; the
// commit then leaves the task out.
func (w *Worker) collect(stats *CommitStats) ([]taskCommit, error) {
	var commits []taskCommit
	for _, s := range w.slots {
		if !s.task.Uncommitted() {
			continue
		}
		c, err := s.task.Commit()
		if err != nil {
			if err := w.poisoned(s, err); err != nil {
				return commits, err
			}
			continue
		}
		commits = append(commits, taskCommit{s, c})
		stats.Tasks++
		stats.OutputRecords += c.OutputRecords
		stats.ChangelogRecords += c.ChangelogRecords
		for tp, next := range c.Inputs {
			stats.Records += next - s.committedOffset(tp.Topic)
		}
	}
	return commits, nil
}

func (s *slot) committedOffset(topic string) int64 {
	if s.position != nil {
		if offset, ok := s.position.Inputs[topic]; ok {
			return offset
		}
	}
	return s.start[topic]
}

func (w *Worker) discard(commits []taskCommit) {
	for _, c := range commits {
		c.commit.Batch.Close()
	}
}

// transaction writes everything to the log. While the disk is nearly full it
// waits: nothing is lost, and reads go on.
func (w *Worker) transaction(ctx context.Context, commits []taskCommit) (map[commitlog.TopicPartition]commitlog.Range, error) {
	for attempt := 0; ; attempt++ {
		ranges, err := w.tryTransaction(ctx, commits)
		if !errors.Is(err, commitlog.ErrLowSpace) {
			return ranges, err
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
		for _, a := range c.commit.Changelog {
			if _, err := w.writer.AppendExclusive(a.TopicPartition, a.Builder); err != nil {
				return nil, fmt.Errorf("append to %s: %w", a.TopicPartition, err)
			}
		}
		for _, a := range c.commit.Outputs {
			if err := w.writer.Append(a.TopicPartition, a.Builder); err != nil {
				return nil, fmt.Errorf("append to %s: %w", a.TopicPartition, err)
			}
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
	if err := w.writer.Offsets(w.cfg.App, commitlog.Membership{}, offsets); err != nil {
		return nil, err
	}
	return w.writer.Commit(ctx)
}

// apply applies a task's store batch, with the changelog offsets that the log
// gave.
func (w *Worker) apply(c taskCommit, ranges map[commitlog.TopicPartition]commitlog.Range) error {
	for i, a := range c.commit.Changelog {
		if err := changelog.SetApplied(c.commit.Batch, c.commit.Stores[i], ranges[a.TopicPartition].Next); err != nil {
			return err
		}
	}
	if err := c.slot.engine.Apply(c.commit.Batch); err != nil {
		return err
	}
	position, err := changelog.DecodePosition(c.commit.Position)
	if err != nil {
		return err
	}
	c.slot.position, c.slot.commit = &position, w.cfg.Now()
	c.slot.task.Committed()
	c.slot.forgetLetters()
	w.report(c.slot)
	return nil
}

// flushStores flushes stores from time to time, so that the replay after a crash
// stays short even for a store that is seldom written.
func (w *Worker) flushStores(now time.Time) error {
	for _, s := range w.slots {
		if now.Sub(s.flushed) < w.cfg.FlushInterval {
			continue
		}
		s.flushed = now
		flush := s.engine.Flush
		if f, ok := s.engine.(interface{ FlushAsync() error }); ok {
			flush = f.FlushAsync
		}
		if err := flush(); err != nil {
			return fmt.Errorf("task %s: flush: %w", s.id, err)
		}
	}
	return nil
}
