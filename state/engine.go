package state

import "errors"

// Reader reads rows by key. Keys are compared as bytes. An implementation is
// safe for use from several goroutines.
type Reader interface {
	// Get appends the value of key to dst and returns it. ok is false, and dst
	// returned as it was, if there is no such row.
	Get(dst, key []byte) (value []byte, ok bool, err error)
	// Iter walks the rows with lower <= key < upper; a nil upper means to the
	// end. It starts before the first row, or before the last if reverse.
	Iter(lower, upper []byte, reverse bool) (Iterator, error)
}

// Iterator walks rows. Key and Value are valid until the next call of Next.
type Iterator interface {
	Next() bool
	Key() []byte
	Value() []byte
	// Err is the error that ended the walk early.
	Err() error
	Close() error
}

// Batch collects the writes of one commit. Keys and values are copied.
type Batch interface {
	Set(key, value []byte) error
	Delete(key []byte) error
	// DeleteRange deletes the rows with lower <= key < upper.
	DeleteRange(lower, upper []byte) error
	// Size is about how many bytes the batch holds.
	Size() int
	// Close releases a batch that was not applied.
	Close() error
}

// Engine is an ordered byte store with atomic batches: the storage of one task.
//
// Apply makes a batch visible at once and durable at some later time: after a
// crash the store holds the batches of an exact prefix of the Apply calls. It
// needs no log of its own, because the changelog is one.
type Engine interface {
	Reader
	NewBatch() Batch
	// Apply applies a batch of this engine atomically and releases it.
	Apply(b Batch) error
	// Snapshot returns a consistent view of the applied batches.
	Snapshot() (Snapshot, error)
	// Flush makes everything applied so far durable.
	Flush() error
	// Close flushes and closes.
	Close() error
}

// Snapshot is a consistent view. Close it soon: it holds back clean-up.
type Snapshot interface {
	Reader
	Close() error
}

var (
	// ErrStoreDead: the engine met an unrecoverable fault. The store is refused
	// from now on and rebuilt from the changelog in a new directory.
	ErrStoreDead = errors.New("state store is dead after an unrecoverable fault")
	// ErrEngineClosed: the engine is closed.
	ErrEngineClosed = errors.New("state store is closed")
)
