package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/internal/task"
)

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
	if !w.uncommitted() && !w.moved() {
		w.uncommittedSince = time.Time{}
		return nil
	}
	stats := CommitStats{}
	began, cpu := w.cfg.Now(), w.threadCPU()
	commits, err := w.collect(&stats)
	if err == nil && commits == nil && !w.uncommitted() {
		w.uncommittedSince = time.Time{} // the tasks that are left wait for a release
	}
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

// moved says that a task has passed over gaps that no commit covers yet.
func (w *Worker) moved() bool {
	return slices.ContainsFunc(w.slots, func(s *slot) bool { return s.task.Moved() && !s.heldBack() })
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
		if !s.task.Uncommitted() && !s.task.Moved() || w.leaveHeld(s) {
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
	c.slot.waits = false
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
