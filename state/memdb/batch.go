package memdb

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/RaduBerinde/btreemap"

	"github.com/tidemill/tidemill/state"
)

var (
	errBatchReleased = errors.New("batch was applied or closed before: take a new one from NewBatch")
	// The tree could hold it, but the durable engine cannot.
	errEmptyKey = errors.New("empty key: every row's key starts with its store's prefix")
)

type opKind uint8

const (
	opSet opKind = iota
	opDelete
	opDeleteRange
)

// op is one write. Its slices are owned by the batch and then by the tree.
type op struct {
	kind       opKind
	key, value []byte // of a range: lower, upper
}

func (o op) applyTo(tree *rows) {
	switch o.kind {
	case opSet:
		tree.ReplaceOrInsert(o.key, o.value)
	case opDelete:
		tree.Delete(o.key)
	case opDeleteRange:
		// The tree must not change under a walk, so the keys are taken first.
		var keys [][]byte
		for key := range tree.Ascend(btreemap.GE(o.key), btreemap.LT(o.value)) {
			keys = append(keys, key)
		}
		for _, key := range keys {
			tree.Delete(key)
		}
	}
}

type batch struct {
	db       *DB
	ops      []op
	size     int
	released bool
}

// NewBatch returns an empty batch, for one goroutine at a time.
func (d *DB) NewBatch() state.Batch { return &batch{db: d} }

// take checks that b belongs to d, releases it, and returns its writes.
func (d *DB) take(b state.Batch) ([]op, error) {
	own, ok := b.(*batch)
	if !ok || own.db != d {
		return nil, fmt.Errorf("batch %T is not of this engine: take it from NewBatch of the same store", b)
	}
	if own.released {
		return nil, errBatchReleased
	}
	ops := own.ops
	own.ops, own.released = nil, true
	return ops, nil
}

func (b *batch) add(kind opKind, key, value []byte) error {
	if b.released {
		return errBatchReleased
	}
	b.ops = append(b.ops, op{kind, bytes.Clone(key), bytes.Clone(value)})
	b.size += len(key) + len(value)
	return nil
}

// Set writes a row; a later write of the same key in the batch wins.
// An empty key is refused.
func (b *batch) Set(key, value []byte) error {
	if len(key) == 0 {
		return errEmptyKey
	}
	return b.add(opSet, key, value)
}

// Delete removes a row; a row that does not exist is no error, an empty key is.
func (b *batch) Delete(key []byte) error {
	if len(key) == 0 {
		return errEmptyKey
	}
	return b.add(opDelete, key, nil)
}

// DeleteRange removes the rows with lower <= key < upper. An empty range does
// nothing. A nil upper is refused: no engine can write it as one tombstone.
func (b *batch) DeleteRange(lower, upper []byte) error {
	if upper == nil {
		return fmt.Errorf("DeleteRange from %q has no upper bound: give one", lower)
	}
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	return b.add(opDeleteRange, lower, upper)
}

// Size is the number of key and value bytes.
func (b *batch) Size() int { return b.size }

// Close drops the writes. Closing twice, or after Apply, is no error.
func (b *batch) Close() error {
	b.ops, b.released = nil, true
	return nil
}
