package processor

import (
	"time"
)

// Processor is a node written by hand. The engine calls it from one goroutine
// at a time; one value serves one task. An error, like a panic, is the error of
// the record being processed and follows the poison policy.
//
// A Processor that also has Init(Context[KO, VO]) error is initialised before
// its first record, also after a restart; one that is an io.Closer is closed
// with its task.
type Processor[KI, VI, KO, VO any] interface {
	Process(ctx Context[KO, VO], r Record[KI, VI]) error
}

// Initer is implemented by a [Processor] that has work to do before its first
// record, such as scheduling a punctuation.
type Initer[KO, VO any] interface {
	Init(ctx Context[KO, VO]) error
}

// Func adapts a function to [Processor].
type Func[KI, VI, KO, VO any] func(ctx Context[KO, VO], r Record[KI, VI]) error

// Process calls f.
func (f Func[KI, VI, KO, VO]) Process(ctx Context[KO, VO], r Record[KI, VI]) error { return f(ctx, r) }

// Clock names the time on which a punctuation runs.
type Clock uint8

const (
	// StreamTime advances with the event times of the task's records.
	StreamTime Clock = iota
	// WallClock is the machine's time.
	WallClock
)

// String names the clock.
func (c Clock) String() string {
	if c == WallClock {
		return "wall-clock time"
	}
	return "stream time"
}

// Context is what a [Processor] may do besides computing. It is valid only
// during the call that received it.
type Context[K, V any] interface {
	TaskContext
	// Forward hands a record to the nodes below, in the order in which they were
	// declared, and returns the first error.
	Forward(Record[K, V]) error
	// Schedule calls punctuate every interval. Stream time is aligned to the
	// epoch and due at once with the first record; wall-clock time is first due
	// one interval from now. Several missed intervals give one call. The name
	// identifies the schedule across restarts: its due time is part of the
	// committed position. It may only be called from Init.
	Schedule(name string, interval time.Duration, clock Clock, punctuate func(Context[K, V], Timestamp) error) error
}

// TaskContext is the part of [Context] without types. Typed stores are reached
// through it with state.Of.
type TaskContext interface {
	// StreamTime is the highest event time that the task has processed, or
	// [NoTime].
	StreamTime() Timestamp
	// Partition is the partition of the task.
	Partition() int32
	// RequestCommit asks for a commit soon after the current record.
	RequestCommit()
	// Store returns the store of that name, for state.Of to give it its type.
	Store(name string) (any, error)
}
