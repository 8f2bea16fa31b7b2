package pebbledb

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tidemill/tidemill/state"
)

const (
	// maxBatchBytes is far below Pebble's own 4 GiB, at which it panics.
	maxBatchBytes = 1 << 30
	// retainBatchBytes: commits of ten thousands of rows reuse their buffer.
	retainBatchBytes = 4 << 20
)

var (
	errBatchReleased = errors.New("batch was applied or closed before: take a new one from NewBatch")
	// Pebble's columnar blocks assume that the first key is not empty.
	errEmptyKey = errors.New("empty key: every row's key starts with its store's prefix")
)

// smallestKey stands for the start of all keys, as an empty key cannot be stored.
var smallestKey = []byte{0}

// batch holds its writes in Pebble's own encoding, so that Set is one copy.
type batch struct {
	db     *DB
	writes *pebble.Batch // nil once released
}

// NewBatch returns an empty batch, for one goroutine at a time. Rows in key
// order are cheapest to apply.
func (d *DB) NewBatch() state.Batch {
	return &batch{db: d, writes: d.pebble.NewBatch(pebble.WithMaxRetainedSizeBytes(retainBatchBytes))}
}

// take checks that b belongs to d and takes its writes.
func (d *DB) take(b state.Batch) (*pebble.Batch, error) {
	own, ok := b.(*batch)
	if !ok || own.db != d {
		return nil, fmt.Errorf("state store %s: batch %T is not of this engine: take it from NewBatch of the same store", d.opts.Dir, b)
	}
	if own.writes == nil {
		return nil, errBatchReleased
	}
	writes := own.writes
	own.writes = nil
	return writes, nil
}

// roomFor checks that the batch can take a row.
func (b *batch) roomFor(key, value []byte) error {
	if len(key) == 0 {
		return errEmptyKey
	}
	return b.room(len(key) + len(value))
}

// room checks that the batch can take n more bytes.
func (b *batch) room(n int) error {
	if b.writes == nil {
		return errBatchReleased
	}
	if size := b.writes.Len(); n > maxBatchBytes-size {
		return fmt.Errorf("state store %s: batch of %d bytes cannot take %d more, the limit is %d: commit more often", b.db.opts.Dir, size, n, maxBatchBytes)
	}
	return nil
}

// Set writes a row; a later write of the same key in the batch wins. An empty
// key is refused.
func (b *batch) Set(key, value []byte) error {
	if err := b.roomFor(key, value); err != nil {
		return err
	}
	return b.writes.Set(key, value, nil)
}

// Delete removes a row; a row that does not exist is no error, an empty key is.
func (b *batch) Delete(key []byte) error {
	if err := b.roomFor(key, nil); err != nil {
		return err
	}
	return b.writes.Delete(key, nil)
}

// DeleteRange removes the rows with lower <= key < upper as one tombstone. An
// empty range does nothing: Pebble would store an inverted one. A nil upper is
// refused, as no key is the end.
func (b *batch) DeleteRange(lower, upper []byte) error {
	if err := b.room(len(lower) + len(upper)); err != nil {
		return err
	}
	if upper == nil {
		return fmt.Errorf("state store %s: DeleteRange from %q has no upper bound: give one", b.db.opts.Dir, lower)
	}
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	if len(lower) == 0 {
		lower = smallestKey
	}
	return b.writes.DeleteRange(lower, upper, nil)
}

// Size is the length of the encoded batch in bytes, 0 once released.
func (b *batch) Size() int {
	if b.writes == nil {
		return 0
	}
	return b.writes.Len()
}

// Close releases the batch. Closing twice, or after Apply, is no error.
func (b *batch) Close() error {
	if b.writes == nil {
		return nil
	}
	writes := b.writes
	b.writes = nil
	return writes.Close()
}
