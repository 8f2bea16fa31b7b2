package task

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Commit is everything that has to become durable together. The order of the
// effects is the log's transaction first, then the store batch.
type Commit struct {
	Outputs []Appended
	// Changelog partitions have one writer, so their batches are appended
	// exclusively.
	Changelog []Appended
	// Inputs is the next offset of each input: the group offsets.
	Inputs map[commitlog.TopicPartition]int64
	// Position is the value of the task's position record.
	Position []byte
	// Stores names the store of each entry of Changelog, for SetApplied.
	Stores []string
	// Batch is the store batch. The owner adds the changelog offsets that the log
	// gave, applies it, and then calls Committed.
	Batch state.Batch
	// OutputRecords and ChangelogRecords count what is in it.
	OutputRecords, ChangelogRecords int64
}

// Commit hands out what has happened since the last commit. The builders in it
// belong to the task: they must have been written when Committed is called.
func (t *Task) Commit() (*Commit, error) {
	if err := t.instance.EmitPerCommit(); err != nil {
		return nil, t.recordError(nil, err)
	}
	c := &Commit{Inputs: t.Inputs(), Batch: t.cfg.Engine.NewBatch(), OutputRecords: t.outRecords}
	if err := t.fill(c); err != nil {
		c.Batch.Close()
		return nil, t.recordError(nil, fmt.Errorf("commit: %w", err))
	}
	return c, nil
}

func (t *Task) fill(c *Commit) error {
	for i, s := range t.instance.Stores() {
		log := t.logs[i]
		if err := drain(s, c.Batch, log); err != nil {
			return err
		}
		if log.Builder.Empty() {
			continue
		}
		c.ChangelogRecords += int64(log.Builder.Count())
		c.Changelog = append(c.Changelog, Appended{log.TopicPartition, &log.Builder})
		c.Stores = append(c.Stores, s.Spec().Name)
	}
	for _, o := range t.outputs {
		c.Outputs = o.appended(c.Outputs)
	}
	sortAppended(c.Outputs)
	var err error
	if c.Position, err = t.position(); err != nil {
		return err
	}
	return changelog.SetPosition(c.Batch, c.Position)
}

// drain runs the serde of the store's values, which is the user's: its panic is
// an error that names the store.
func drain(s state.Instance, b state.Batch, log *changelog.Recorder) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &topology.NodeError{Node: "store " + s.Spec().Name, Class: topology.ClassPanic, Stack: debug.Stack(),
				Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return s.Drain(b, log)
}

func (t *Task) position() ([]byte, error) {
	clocks, err := json.Marshal(t.instance.Clocks())
	if err != nil {
		return nil, err
	}
	p := changelog.Position{Task: t.id, Inputs: map[string]int64{}, StreamTime: t.instance.StreamTime(), Clocks: clocks}
	for _, in := range t.inputs {
		p.Inputs[in.tp.Topic] = in.next
	}
	return p.Encode()
}

// Committed is called when the effects of the last Commit have been performed.
func (t *Task) Committed() {
	for _, s := range t.instance.Stores() {
		s.Committed()
	}
	for _, o := range t.outputs {
		o.reset()
	}
	for _, l := range t.logs {
		l.Builder.Reset()
	}
	for _, in := range t.inputs {
		in.gap = false
	}
	t.steps, t.outRecords, t.outputBytes, t.changed = 0, 0, 0, false
}
