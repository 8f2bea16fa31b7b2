package topology

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Env is what an instance gets from its task. Applications do not use it.
type Env struct {
	Partition int32
	// View is the committed state, StoreID the number of a store in it.
	View    state.Reader
	StoreID func(name string) uint16
	// CacheBytes bounds the clean part of each store's cache.
	CacheBytes int
	// Output takes the encoded records of a topic.
	Output func(topic string) Output
	// Placement returns the partitioner and the partition count of a topic.
	Placement func(*TopicDecl) (place func(key []byte, n int32) int32, partitions int32)
	// Now is the wall clock.
	Now func() time.Time
	// Clocks are the restored clocks; nil is a new task.
	Clocks *Clocks
	// RowFailed is told about a result that could not be passed on when its window
	// closed or at a commit, or about a punctuation that failed. The row counts as
	// emitted. If RowFailed is nil, the error ends the step instead.
	RowFailed func(RowFailure)
	// Released is called, from any goroutine, when a record that was held is released
	// (see Held). nil keeps processors from holding records: it says that whoever
	// runs the instance commits without asking Held.
	Released func()

	stores      map[string]*storeDecl
	globalDecls map[string]*globalDecl
	globals     Globals
}

// ownerOf is the node of the table whose rows a store holds, or "".
func (e *Env) ownerOf(store string) string {
	if owner := e.stores[store].owner; owner != nil {
		return owner.name
	}
	return ""
}

func (e *Env) store(name string) *storeDecl { return e.stores[name] }

// Output takes encoded records of one topic. The slices are copied; nil is null.
type Output interface {
	Append(partition int32, time int64, key, value []byte, headers []processor.Header) error
}

// Clocks is the part of a task's position that its nodes own. It has a JSON form,
// which is durable.
type Clocks struct {
	StreamTime   processor.Timestamp       `json:"stream_time"`
	Operators    map[string]*OperatorClock `json:"operators,omitempty"`    // by store name
	Joins        map[string]*JoinClock     `json:"joins,omitempty"`        // of joins that hold records, by the name of the (left) store
	Punctuations map[string]int64          `json:"punctuations,omitempty"` // next due time, by processor/schedule
}

// Horizon is the start below which the rows of a window store have expired, and 0
// for other stores.
func (c Clocks) Horizon(store string) int64 {
	if clock := c.Operators[store]; clock != nil {
		return clock.Horizon
	}
	return 0
}

// OperatorClock is the time of one windowed aggregation, or of a window store
// that processors write.
type OperatorClock struct {
	// StreamTime is the highest event time that reached the operator.
	StreamTime int64 `json:"stream_time"`
	// ClosedThrough is the start of the newest window whose result has left, for
	// emission on close.
	ClosedThrough int64 `json:"closed_through"`
	// Closing is how far the window behind it has been emitted.
	Closing ClosingPoint `json:"closing,omitzero"`
	// Horizon is the start below which rows have expired. It is kept rather than
	// computed from StreamTime, because rows whose result has not left yet must
	// outlive their retention.
	Horizon int64 `json:"horizon,omitempty"`
}

// ClosingPoint is a place inside the emission of a window: behind AfterKey of the
// window that begins at Start.
type ClosingPoint struct {
	Start    int64  `json:"start"`
	AfterKey []byte `json:"after_key"`
}

// Reasons for which records are dropped, as metrics show them.
const (
	DropNullKey      = "null-key"
	DropNullValue    = "null-value"
	DropLate         = "late"
	DropNegativeTime = "negative-time"
)

// Instance is a sub-topology wired for one task: a pure state machine over its
// stores. It belongs to one goroutine.
type Instance struct {
	env         *Env
	sources     []*SourceTask
	stores      []state.Instance
	storeByName map[string]state.Instance
	globals     map[string]state.Instance
	closers     []closing
	emitters    []emitter
	inits       []initializer
	userClosers []userCloser
	schedules   []*punctuation
	counters    []*Counter
	clocks      Clocks

	at              *node // node whose user code runs, for errors
	streamTime      processor.Timestamp
	now             processor.Timestamp // time of the record or punctuation at hand
	rawKey          []byte              // encoded key of the source record at hand
	rawHash         uint32              // its state.HashKey
	warmers         []func(hash uint32) uint64
	holds           holds
	closing         bool // windows wait to be closed
	commitRequested bool
	newSchedules    bool // a wall-clock punctuation is not part of the position yet
}

type (
	closing struct {
		node  int
		drain func(budget int) (left int, err error)
	}
	emitter struct {
		node int
		emit func() error
	}
	userCloser struct {
		node *node
		io.Closer
	}
	initializer struct {
		node int
		init func() error
	}
)

// Counter counts the records that one node dropped for one reason.
type Counter struct {
	Node, Reason string
	N            uint64
}

func (i *Instance) counter(n *node, reason string) *uint64 {
	c := &Counter{Node: n.name, Reason: reason}
	i.counters = append(i.counters, c)
	return &c.N
}

func (i *Instance) addStore(s state.Instance) {
	i.stores = append(i.stores, s)
	i.storeByName[s.Spec().Name] = s
}

func (i *Instance) recordTime() processor.Timestamp { return max(i.now, 0) }

// Sources returns the inputs in the order of their declaration.
func (i *Instance) Sources() []*SourceTask { return i.sources }

// Stores returns the stores of the task.
func (i *Instance) Stores() []state.Instance { return i.stores }

// Counters returns the counts of dropped records since the instance was made.
func (i *Instance) Counters() []*Counter { return i.counters }

// StreamTime is the highest time of the records processed.
func (i *Instance) StreamTime() processor.Timestamp { return i.streamTime }

// Clocks returns the clocks as they are now. The value shares memory with the
// instance: encode it before the next step.
func (i *Instance) Clocks() Clocks {
	i.clocks.StreamTime = i.streamTime
	for _, s := range i.stores {
		if s.Horizon() > 0 {
			i.operatorClock(s.Spec().Name).Horizon = s.Horizon()
		}
	}
	i.clocks.Punctuations = map[string]int64{}
	for _, p := range i.schedules {
		i.clocks.Punctuations[p.id] = p.due
	}
	return i.clocks
}

// Init initialises the processors, upstream first. It is called once, before the
// first record.
func (i *Instance) Init() (err error) {
	defer i.recovered(&err)
	for _, n := range i.inits {
		if err := n.init(); err != nil {
			return err
		}
	}
	return nil
}

// Process runs the record staged in s, whose time is t, through the topology,
// and the stream-time punctuations behind it. If Closing is true afterwards,
// Close must finish before the next record.
func (i *Instance) Process(s *SourceTask, t processor.Timestamp) (err error) {
	defer i.recovered(&err)
	i.now = t
	if t > i.streamTime {
		i.streamTime = t
	}
	if err := s.process(); err != nil {
		return err
	}
	if i.closing || len(i.schedules) == 0 {
		return nil
	}
	return i.punctuateStream()
}

// Closing says that results of closed windows wait to be emitted.
func (i *Instance) Closing() bool { return i.closing }

// Close emits up to budget results of closed windows. When it is done Closing is
// false, and the punctuations of the record that closed them have run.
func (i *Instance) Close(budget int) (err error) {
	defer i.recovered(&err)
	// Results of one operator may close windows of another further down; since
	// those come later in the order, one pass finds them.
	// Until that pass has ended it stays closing, also after an error or a panic.
	i.closing = true
	for _, c := range i.closers {
		if budget, err = c.drain(budget); err != nil || budget == 0 {
			return err
		}
	}
	i.closing = false
	return i.punctuateStream()
}

// EmitPerCommit passes on what operators emit per commit. It precedes the drain
// of the stores.
func (i *Instance) EmitPerCommit() (err error) {
	defer i.recovered(&err)
	for _, e := range i.emitters {
		if err := e.emit(); err != nil {
			return err
		}
	}
	return nil
}

// CommitRequested reports, once, whether a processor asked for a commit.
func (i *Instance) CommitRequested() bool {
	asked := i.commitRequested
	i.commitRequested = false
	return asked
}

// Shutdown closes the processors that want to be closed.
func (i *Instance) Shutdown() (err error) {
	for _, c := range i.userClosers {
		err = errors.Join(err, i.closeProcessor(c))
	}
	return err
}

func (i *Instance) closeProcessor(c userCloser) (err error) {
	defer i.recovered(&err)
	i.at = c.node
	return c.Close()
}

// recovered turns a panic of user code into the error of its node.
func (i *Instance) recovered(err *error) {
	if p := recover(); p != nil {
		*err = newPanicError(i.at, p)
	}
}

func (i *Instance) operatorClock(store string) *OperatorClock {
	c := i.clocks.Operators[store]
	if c == nil {
		c = &OperatorClock{StreamTime: int64(processor.NoTime), ClosedThrough: -1}
		i.clocks.Operators[store] = c
	}
	return c
}

func (w *wirer) storeEnv(spec state.Spec) state.Env {
	return state.Env{Spec: spec, ID: w.env.StoreID(spec.Name), View: w.env.View, CacheBytes: w.env.CacheBytes,
		Now: w.instance.recordTime, Horizon: w.instance.clocks.Horizon(spec.Name)}
}

// openShared opens the store of a processor unless another one has done so.
func (w *wirer) openShared(name string) error {
	if w.instance.storeByName[name] != nil {
		return nil
	}
	decl := w.env.store(name)
	s, err := decl.handle.Open(w.storeEnv(decl.spec))
	if err != nil {
		return err
	}
	w.instance.addStore(s)
	return nil
}

// order puts everything that runs per commit or close into the order of the
// declaration, in which inputs precede what is below them.
func (i *Instance) order() {
	slices.SortFunc(i.closers, func(a, b closing) int { return cmp.Compare(a.node, b.node) })
	slices.SortFunc(i.emitters, func(a, b emitter) int { return cmp.Compare(a.node, b.node) })
	slices.SortFunc(i.inits, func(a, b initializer) int { return cmp.Compare(a.node, b.node) })
	slices.SortFunc(i.stores, func(a, b state.Instance) int { return cmp.Compare(a.Spec().Name, b.Spec().Name) })
}

var errNoSource = fmt.Errorf("the sub-topology has no source")
