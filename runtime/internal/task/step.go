package task

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/topology"
)

// RecordError is an error that one record caused. Nothing of the task's
// uncommitted work may be kept after it, except when Undecoded is set.
type RecordError struct {
	Task   string
	Origin processor.Origin // zero for a window close, a punctuation or a commit
	Err    *topology.NodeError
	Raw    topology.Raw // the record, for a dead letter
	// Undecoded says that the record had no effect yet: LeaveOut passes over it, and
	// the task goes on. Otherwise it has to go back to the last commit.
	Undecoded bool
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("task %s: record %s: %v", e.Task, e.Origin, e.Err)
}

// Unwrap returns the error of the node.
func (e *RecordError) Unwrap() error { return e.Err }

// closeBudget bounds how many results of closed windows one step emits, so that
// a commit can come in between.
const closeBudget = 16 << 10

// Step processes up to maxRecords records and returns how many it has taken. It
// stops early when an input is empty that has to be waited for; idle permits to
// go on without such inputs.
func (t *Task) Step(maxRecords int, idle bool) (taken int, err error) {
	if t.instance.Closing() {
		if err := t.closeWindows(); err != nil || t.instance.Closing() {
			return 0, err
		}
	}
	if len(t.inputs) == 1 {
		taken, err = t.stepSingle(t.inputs[0], maxRecords)
	} else {
		taken, err = t.stepMerged(maxRecords, idle)
	}
	t.steps += int64(taken)
	return taken, err
}

func (t *Task) closeWindows() error {
	t.changed = true
	if err := t.instance.Close(closeBudget); err != nil {
		return t.recordError(nil, err)
	}
	return nil
}

// stepSingle is the straight way through: no choice among inputs.
func (t *Task) stepSingle(in *input, maxRecords int) (taken int, err error) {
	for taken < maxRecords {
		ok, err := in.advance()
		if err != nil || !ok {
			return taken, err
		}
		time, kept, err := t.decode(in)
		if err != nil {
			return taken, err
		}
		taken++
		if kept {
			if err := t.instance.Process(in.source, time); err != nil {
				return taken, t.recordError(in, err)
			}
		}
		in.done()
		if kept && t.instance.Closing() {
			if err := t.closeWindows(); err != nil || t.instance.Closing() {
				return taken, err
			}
		}
	}
	return taken, nil
}

// stepMerged takes the record with the smallest time among the heads of all
// inputs. Within one input the order is that of the log, whatever the times are.
func (t *Task) stepMerged(maxRecords int, idle bool) (taken int, err error) {
	for taken < maxRecords {
		dropped, blocked, err := t.stageHeads()
		taken += dropped
		if err != nil || (blocked && !idle) {
			return taken, err
		}
		in := t.smallestHead()
		if in == nil {
			return taken, nil
		}
		taken++
		if err := t.instance.Process(in.source, in.headTime); err != nil {
			return taken, t.recordError(in, err)
		}
		in.done()
		if t.instance.Closing() {
			if err := t.closeWindows(); err != nil || t.instance.Closing() {
				return taken, err
			}
		}
	}
	return taken, nil
}

// Blocked says that an input is empty although the log has more of it, so that
// the others of the task have to wait for it.
func (t *Task) Blocked() bool {
	return len(t.inputs) > 1 && slices.ContainsFunc(t.inputs, func(in *input) bool {
		return !in.head && len(in.queue) == 0 && in.behind()
	})
}

// stageHeads decodes the next record of each input that has none staged. blocked
// says that an input is empty although the log has more of it: whether it holds
// an earlier record is not known yet.
func (t *Task) stageHeads() (dropped int, blocked bool, err error) {
	for _, in := range t.inputs {
		for !in.head {
			ok, err := in.advance()
			if err != nil {
				return dropped, false, err
			}
			if !ok {
				blocked = blocked || in.behind()
				break
			}
			time, kept, err := t.decode(in)
			if err != nil {
				return dropped, false, err
			}
			if !kept {
				dropped++
				in.done()
				continue
			}
			in.head, in.headTime = true, time
		}
	}
	return dropped, blocked, nil
}

// decode stages the record at hand in its source. kept is false if it is dropped
// or excluded.
func (t *Task) decode(in *input) (time processor.Timestamp, kept bool, err error) {
	if t.excluded != nil && t.excluded(in.tp.Topic, in.raw.Offset) {
		return 0, false, nil
	}
	time, kept, err = in.source.Decode(in.raw)
	if err != nil {
		return 0, false, t.decodeError(in, err)
	}
	return time, kept, nil
}

func (t *Task) smallestHead() *input {
	var best *input
	for _, in := range t.inputs {
		if in.head && (best == nil || in.headTime < best.headTime) {
			best = in
		}
	}
	return best
}

// LeaveOut passes over the staged record of an input that did not decode.
func (t *Task) LeaveOut(topic string) {
	t.byTopic[topic].done()
	t.steps++
}

func (t *Task) decodeError(in *input, err error) error {
	e := t.recordError(in, err)
	var record *RecordError
	if errors.As(e, &record) {
		record.Undecoded = record.Err.Class == topology.ClassDecode
	}
	return e
}

func (t *Task) recordError(in *input, err error) error {
	var node *topology.NodeError
	if !errors.As(err, &node) {
		return fmt.Errorf("task %s: %w", t.id, err)
	}
	e := &RecordError{Task: t.id, Err: node}
	if in != nil {
		e.Raw = *in.raw
		e.Origin = processor.Origin{Topic: in.tp.Topic, Partition: in.tp.Partition, Offset: in.raw.Offset}
	}
	return e
}
