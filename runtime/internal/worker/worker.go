package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/runtime/internal/task"
	"github.com/tidemill/tidemill/state"
)

// Worker runs tasks. It belongs to one goroutine; what others may call says so.
type Worker struct {
	base
	writer  commitlog.Writer
	reader  commitlog.Reader
	slots   []*slot
	byInput map[commitlog.TopicPartition]*slot

	commands commands
	closing  sync.WaitGroup // stores of tasks that were given up

	reported         time.Time // when all tasks were last reported
	uncommittedSince time.Time // zero if everything is committed
	positions        recordbatch.Builder
	deadLetters      recordbatch.Builder
	failed           error
}

// slot is one task and what the worker knows about it.
type slot struct {
	assigned Assigned
	id       string
	state    State
	engine   state.Engine
	ids      changelog.StoreIDs
	task     *task.Task
	position *changelog.Position                           // the committed one
	settled  map[commitlog.TopicPartition]commitlog.Bounds // of the changelogs, before the restore
	start    map[string]int64                              // where inputs begin that the position does not name
	stable   map[string]int64
	paused   map[string]bool
	letters  []letter                  // poison that no commit has covered yet
	excluded map[string]map[int64]bool // offsets that the task leaves out, by topic
	restored int64
	toGo     int64
	commit   time.Time
	flushed  time.Time
	// waitingSince is since when others wait for an input that is empty although
	// the log has more of it.
	waitingSince time.Time
	// waits says that a commit has left the task out because it holds a record. It
	// takes no further input until it has been committed.
	waits bool
}

// New returns a worker that has not started.
func New(cfg Config) *Worker {
	return &Worker{base: base{cfg}, byInput: map[commitlog.TopicPartition]*slot{}}
}

// Start takes over the writer identity, which aborts and fences whatever an
// earlier holder left, and only then prepares the tasks of the configuration and
// runs them.
func (w *Worker) Start(ctx context.Context) error {
	var err error
	if w.writer, err = w.cfg.Log.OpenWriter(ctx, w.cfg.WriterID); err != nil {
		return fmt.Errorf("worker %s: open its writer: %w", w.cfg.WriterID, err)
	}
	// One poll must not bring more of a partition than may be held.
	options := commitlog.ReaderOptions{MaxPartitionBytes: min(maxPollBytes, w.cfg.BufferBytes)}
	if w.reader, err = w.cfg.Log.NewReader(options); err != nil {
		return fmt.Errorf("worker %s: open its reader: %w", w.cfg.WriterID, err)
	}
	if len(w.cfg.Tasks) == 0 {
		return nil
	}
	groups, err := w.cfg.Log.GroupOffsets(ctx, w.cfg.App)
	if err != nil {
		return fmt.Errorf("worker %s: read the offsets of group %s: %w", w.cfg.WriterID, w.cfg.App, err)
	}
	for _, a := range w.cfg.Tasks {
		p, err := Prepare(ctx, w.cfg, a, groups)
		if err != nil {
			return err
		}
		if err := w.attach(ctx, p.slot); err != nil {
			return fmt.Errorf("task %s: %w", p.slot.id, err)
		}
	}
	return nil
}

// ID is the identity of the worker's writer, Epoch its epoch. They are there after
// Start.
func (w *Worker) ID() string { return w.cfg.WriterID }

// Epoch grows with every start of a worker of this identity.
func (w *Worker) Epoch() int64 { return w.writer.Epoch() }

// maxPollBytes bounds what one poll returns of a partition.
const maxPollBytes = 1 << 20

// Close commits what is uncommitted, unless the worker has failed, and closes
// tasks and stores.
func (w *Worker) Close(ctx context.Context) error {
	var errs []error
	if w.failed == nil {
		errs = append(errs, w.Commit(ctx))
	}
	return errors.Join(append(errs, w.end(true))...)
}

// Kill drops everything uncommitted, as a crash would.
func (w *Worker) Kill() error { return w.end(false) }

func (w *Worker) end(flush bool) error {
	w.refuse()
	var errs []error
	for _, s := range w.slots {
		s.state = Closed
		w.report(s)
		if s.task != nil {
			errs = append(errs, s.task.Close())
		}
		errs = append(errs, s.closeStore(flush))
	}
	w.closing.Wait()
	if w.reader != nil {
		errs = append(errs, w.reader.Close())
	}
	if w.writer != nil {
		errs = append(errs, w.writer.Close())
	}
	return errors.Join(errs...)
}

// closeStore closes a task's store; without flush it is dropped as it is. A store
// that cannot be killed is closed: it holds whole commits only, and left open it
// would keep its directory locked and its goroutines running.
func (s *slot) closeStore(flush bool) error {
	if s.engine == nil {
		return nil
	}
	if k, ok := s.engine.(interface{ Kill() error }); ok && !flush {
		return k.Kill()
	}
	return s.engine.Close()
}

// Wake makes a waiting Turn return. It may be called from any goroutine after
// Start has returned.
func (w *Worker) Wake() { w.reader.Wake() }

// report publishes the state of a task.
func (w *base) report(s *slot) {
	if w.cfg.Hooks.Status == nil {
		return
	}
	st := Status{Task: s.id, Sub: s.assigned.Sub.Name, Partition: s.assigned.Partition, State: s.state,
		StoreIDs: s.ids, Stores: s.assigned.Sub.Stores, Restored: s.restored, ToGo: s.toGo, CommittedAt: s.commit,
		Inputs: map[string]int64{}, StableEnds: map[string]int64{}}
	if s.state == Running {
		st.Engine = s.engine
	}
	for topic, offset := range s.start {
		st.Inputs[topic] = offset
	}
	if s.position != nil {
		st.StreamTime = s.position.StreamTime
		for topic, offset := range s.position.Inputs {
			st.Inputs[topic] = offset
		}
	}
	for topic, end := range s.stable {
		st.StableEnds[topic] = end
	}
	if s.task != nil {
		if !s.task.Uncommitted() {
			// Between the committed position and this one there are no records: the end
			// of the log is reached also where it is a marker.
			for tp, next := range s.task.Inputs() {
				st.Inputs[tp.Topic] = next
			}
		}
		st.Pending = s.task.Pending()
		st.CacheBytes = s.task.CacheBytes()
		for _, c := range s.task.Counters() {
			st.Dropped = append(st.Dropped, *c)
		}
	}
	w.cfg.Hooks.Status(st)
}
