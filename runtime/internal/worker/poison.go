package worker

import (
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/internal/task"
	"github.com/tidemill/tidemill/topology"
)

// TaskError is why a worker stopped: an error that the poison policy does not
// let pass.
type TaskError struct {
	Task   string
	Node   string
	Origin processor.Origin
	Err    error
}

func (e *TaskError) Error() string {
	where := fmt.Sprintf("record %s", e.Origin)
	if e.Origin.Topic == "" {
		where = "initialising, a window close, a punctuation or a commit"
	}
	return fmt.Sprintf("task %s stopped at node %s by %s: %v; mend the record or the node, or set Config.Poison to skip "+
		"such records or to send them to a dead-letter topic", e.Task, e.Node, where, e.Err)
}

// Unwrap returns the cause.
func (e *TaskError) Unwrap() error { return e.Err }

// poisoned decides about the error of a task. It returns nil if the worker may go
// on: then the record has had no effect, either because it did not decode, or
// because the task has gone back to the last commit and will leave it out.
func (w *Worker) poisoned(s *slot, err error) error {
	var record *task.RecordError
	if !errors.As(err, &record) {
		return err
	}
	if w.cfg.Poison == PoisonFail || record.Origin.Topic == "" {
		return &TaskError{Task: s.id, Node: record.Err.Node, Origin: record.Origin, Err: record.Err}
	}
	w.count(s, record.Err, record.Origin)
	if record.Undecoded {
		s.letters = append(s.letters, recordLetter(record))
		s.task.LeaveOut(record.Origin.Topic)
		return nil
	}
	return w.rewind(s, record)
}

// rewind drops everything that the task has done since the last commit and starts
// it there again, with the record excluded. Letters of rows and of undecodable
// records come about again on the way.
func (w *Worker) rewind(s *slot, record *task.RecordError) error {
	if s.excluded == nil {
		s.excluded = map[string]map[int64]bool{}
	}
	topic := record.Origin.Topic
	if s.excluded[topic] == nil {
		s.excluded[topic] = map[int64]bool{}
	}
	if s.excluded[topic][record.Origin.Offset] {
		return fmt.Errorf("task %s: record %s failed although it is left out: %w", s.id, record.Origin, record.Err)
	}
	s.excluded[topic][record.Origin.Offset] = true
	kept := s.letters[:0]
	for _, l := range s.letters {
		if l.excluded {
			kept = append(kept, l)
		}
	}
	l := recordLetter(record)
	l.excluded = true
	s.letters = append(kept, l)
	if err := s.task.Close(); err != nil {
		return fmt.Errorf("task %s: close after a failed record: %w", s.id, err)
	}
	if err := w.newTask(s); err != nil {
		return fmt.Errorf("task %s: start again at its last commit: %w", s.id, err)
	}
	return nil
}

// leftOut says whether the task is to leave a record out.
func (s *slot) leftOut(topic string, offset int64) bool { return s.excluded[topic][offset] }

// rowFailed is what a task tells about rows and punctuations that failed.
func (w *Worker) rowFailed(s *slot) func(topology.RowFailure) {
	if w.cfg.Poison == PoisonFail {
		return nil
	}
	return func(f topology.RowFailure) {
		w.count(s, f.Err, processor.Origin{})
		s.letters = append(s.letters, rowLetter(f))
	}
}

func (w *Worker) count(s *slot, err *topology.NodeError, origin processor.Origin) {
	w.cfg.Logger.Warn("left out by the poison policy", "task", s.id, "node", err.Node, "record", origin.String(), "error", err.Err.Error())
	if w.cfg.Hooks.Poisoned != nil {
		w.cfg.Hooks.Poisoned(s.id, err.Node, className(err), origin)
	}
}

func className(err *topology.NodeError) string {
	if err.Class == "" {
		return string(topology.ClassProcess)
	}
	return string(err.Class)
}
