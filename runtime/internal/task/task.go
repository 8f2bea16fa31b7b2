package task

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Config is what a task is made of.
type Config struct {
	App       string
	Sub       topology.Sub
	Partition int32
	// Engine holds the committed state. The task reads it, and makes batches for
	// it that its owner applies.
	Engine   state.Engine
	StoreIDs changelog.StoreIDs
	// Position is the committed position; nil for a new task. Start holds the
	// offset to begin at for inputs that it does not name.
	Position *changelog.Position
	Start    map[string]int64
	// Ends are the known ends of the inputs: a reader may not know them yet when the
	// first records of another input are there.
	Ends map[string]int64
	// CacheBytes bounds the clean part of each store's cache.
	CacheBytes int
	// MaxRecordBytes bounds key plus value of an output record.
	MaxRecordBytes int
	Placement      func(*topology.TopicDecl) (place func(key []byte, n int32) int32, partitions int32)
	Now            func() time.Time
	// RowFailed is passed on to the topology; nil lets such failures end the step.
	RowFailed func(topology.RowFailure)
	// Released is called, from any goroutine, when a record that was held is
	// released. nil keeps processors from holding records.
	Released func()
}

// Task is one sub-topology on one partition. It belongs to one goroutine.
type Task struct {
	id       string
	cfg      Config
	instance *topology.Instance
	inputs   []*input
	byTopic  map[string]*input
	outputs  map[string]*output
	logs     []*changelog.Recorder // by index of instance.Stores()

	steps       int64 // records processed or dropped since the last commit
	outRecords  int64
	outputBytes int
	changed     bool // something other than a record happened: a punctuation
	// excluded decides which records to leave out; nil leaves out none.
	excluded func(topic string, offset int64) bool
}

// New wires a task.
func New(cfg Config) (*Task, error) {
	t := &Task{id: changelog.TaskID(cfg.Sub.Name, cfg.Partition), cfg: cfg,
		byTopic: map[string]*input{}, outputs: map[string]*output{}}
	env := topology.Env{
		Partition: cfg.Partition, View: cfg.Engine, CacheBytes: cfg.CacheBytes, Now: cfg.Now, Placement: cfg.Placement,
		StoreID:   func(name string) uint16 { return cfg.StoreIDs[name] },
		RowFailed: cfg.RowFailed, Released: cfg.Released,
		Output: func(topic string) topology.Output { return t.output(topic) },
	}
	if cfg.Position != nil {
		clocks := &topology.Clocks{}
		if err := json.Unmarshal(cfg.Position.Clocks, clocks); err != nil {
			return nil, fmt.Errorf("task %s: clocks of its position: %w", t.id, err)
		}
		clocks.StreamTime = cfg.Position.StreamTime
		env.Clocks = clocks
	}
	instance, err := cfg.Sub.Instantiate(env)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", t.id, err)
	}
	t.instance = instance
	for _, s := range instance.Sources() {
		t.addInput(s)
	}
	for _, s := range instance.Stores() {
		tp := commitlog.TopicPartition{Topic: changelog.TopicOf(cfg.App, s.Spec()), Partition: cfg.Partition}
		t.logs = append(t.logs, &changelog.Recorder{TopicPartition: tp})
	}
	if err := instance.Init(); err != nil {
		return nil, fmt.Errorf("task %s: initialising: %w", t.id, err)
	}
	// The first due time of a wall-clock punctuation counts from now. It has to be
	// committed even if no record comes, or each restart would put it off.
	t.changed = instance.NewSchedules() || slices.ContainsFunc(instance.Sources(), t.beginsAtEnd)
	return t, nil
}

// beginsAtEnd says that an input begins behind what is there. The place has to be
// committed even if no record comes, or a restart would skip what came meanwhile.
func (t *Task) beginsAtEnd(s *topology.SourceTask) bool {
	if s.Reset != topology.Latest || s.Internal {
		return false
	}
	if t.cfg.Position == nil {
		return true
	}
	_, committed := t.cfg.Position.Inputs[s.Topic]
	return !committed
}

func (t *Task) addInput(s *topology.SourceTask) {
	in := &input{tp: commitlog.TopicPartition{Topic: s.Topic, Partition: t.cfg.Partition}, source: s}
	in.next = t.cfg.Start[s.Topic]
	if t.cfg.Position != nil {
		if offset, ok := t.cfg.Position.Inputs[s.Topic]; ok {
			in.next = offset
		}
	}
	in.fetched, in.stableEnd = in.next, t.cfg.Ends[s.Topic]
	t.inputs = append(t.inputs, in)
	t.byTopic[s.Topic] = in
}

func (t *Task) output(topic string) *output {
	o := t.outputs[topic]
	if o == nil {
		o = &output{topic: topic, maxBytes: t.cfg.MaxRecordBytes, records: &t.outRecords, bytes: &t.outputBytes}
		t.outputs[topic] = o
	}
	return o
}

// ID is the durable name of the task.
func (t *Task) ID() string { return t.id }

// Partition is the partition of the task.
func (t *Task) Partition() int32 { return t.cfg.Partition }

// Inputs returns where each input is to be read from.
func (t *Task) Inputs() map[commitlog.TopicPartition]int64 {
	m := make(map[commitlog.TopicPartition]int64, len(t.inputs))
	for _, in := range t.inputs {
		m[in.tp] = in.next
	}
	return m
}

// Feed queues what a poll brought for one of the inputs. It reports whether the
// input moved over offsets that are no records.
func (t *Task) Feed(f commitlog.Fetched) (moved bool) { return t.byTopic[f.Topic].feed(f) }

// Moved says that an input has moved over offsets that are no records since the
// last commit. That alone is no reason to commit at once.
func (t *Task) Moved() bool {
	return slices.ContainsFunc(t.inputs, func(in *input) bool { return in.gap })
}

// Buffered is the size of the batches queued for an input, in bytes.
func (t *Task) Buffered(topic string) int { return t.byTopic[topic].bytes }

// Pending says that there is work which needs no further input: windows to close.
func (t *Task) Pending() bool { return t.instance.Closing() }

// Held says that a processor holds a record: until it releases it there must be no
// commit. After an error there never may be one.
func (t *Task) Held() (bool, *topology.HoldError) { return t.instance.Held() }

// Uncommitted says that something has happened since the last commit.
func (t *Task) Uncommitted() bool { return t.steps > 0 || t.changed }

// UncommittedBytes is about the memory that a commit will free.
func (t *Task) UncommittedBytes() int {
	n := t.outputBytes
	for _, s := range t.instance.Stores() {
		n += s.Dirty() * dirtyRowBytes
	}
	return n
}

// dirtyRowBytes is a rough size of a changed row in changelog and batch.
const dirtyRowBytes = 128

// CommitRequested reports, once, whether a processor asked for a commit.
func (t *Task) CommitRequested() bool { return t.instance.CommitRequested() }

// StreamTime is the highest event time processed.
func (t *Task) StreamTime() processor.Timestamp { return t.instance.StreamTime() }

// Counters returns the counts of dropped records since the task was made.
func (t *Task) Counters() []*topology.Counter { return t.instance.Counters() }

// CacheBytes is the memory held by the stores' caches.
func (t *Task) CacheBytes() int {
	n := 0
	for _, s := range t.instance.Stores() {
		n += s.Bytes()
	}
	return n
}

// NextWall returns when a wall-clock punctuation is due.
func (t *Task) NextWall() (time.Time, bool) { return t.instance.NextWall() }

// PunctuateWall runs the wall-clock punctuations that are due.
func (t *Task) PunctuateWall(now time.Time) error {
	ran, err := t.instance.PunctuateWall(now)
	t.changed = t.changed || ran
	if err != nil {
		return t.recordError(nil, err)
	}
	return nil
}

// Exclude sets which records are left out without any effect, as if they were not
// there; nil ends that.
func (t *Task) Exclude(excluded func(topic string, offset int64) bool) { t.excluded = excluded }

// Close closes the user's processors.
func (t *Task) Close() error { return t.instance.Shutdown() }
