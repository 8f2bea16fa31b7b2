package memdb

import (
	"bytes"
	"errors"
	"sync/atomic"

	"github.com/RaduBerinde/btreemap"

	"github.com/tidemill/tidemill/state"
)

var errSnapshotClosed = errors.New("snapshot is closed: take a new one")

type snapshot struct {
	db   *DB
	tree atomic.Pointer[rows] // nil once closed
}

func (s *snapshot) load() (*rows, error) {
	if _, err := s.db.load(); err != nil {
		return nil, err
	}
	tree := s.tree.Load()
	if tree == nil {
		return nil, errSnapshotClosed
	}
	return tree, nil
}

func (s *snapshot) Get(dst, key []byte) ([]byte, bool, error) {
	tree, err := s.load()
	if err != nil {
		return dst, false, err
	}
	return get(tree, dst, key)
}

func (s *snapshot) Iter(lower, upper []byte, reverse bool) (state.Iterator, error) {
	tree, err := s.load()
	if err != nil {
		return nil, err
	}
	return newIterator(s.db, tree, lower, upper, reverse), nil
}

func (s *snapshot) Close() error {
	s.tree.Store(nil)
	return nil
}

// chunkRows is how many rows an iterator takes from the tree at a time.
const chunkRows = 64

type row struct{ key, value []byte }

// iterator walks an immutable tree in chunks. The tree only offers callbacks; a
// coroutine (iter.Pull) was rejected, as one that is never closed leaks.
type iterator struct {
	db           *DB
	tree         *rows
	lower, upper []byte // moves inwards as chunks are read
	started      bool   // the bound that moves is exclusive from now on
	reverse      bool
	chunk        []row // chunk[at] is the current row
	at           int
	err          error
}

func newIterator(d *DB, tree *rows, lower, upper []byte, reverse bool) *iterator {
	it := &iterator{db: d, tree: tree, lower: bytes.Clone(lower), upper: bytes.Clone(upper), reverse: reverse}
	if upper != nil && bytes.Compare(lower, upper) >= 0 {
		it.tree = nil
	}
	return it
}

func (it *iterator) Next() bool {
	if it.tree == nil {
		return false
	}
	if _, err := it.db.load(); err != nil {
		it.err, it.tree, it.chunk = err, nil, nil
		return false
	}
	if it.at++; it.at < len(it.chunk) {
		return true
	}
	it.fill()
	if len(it.chunk) == 0 {
		it.tree = nil
	}
	return len(it.chunk) > 0
}

// fill reads the next chunk and moves the bound to its last key.
func (it *iterator) fill() {
	it.chunk, it.at = it.chunk[:0], 0
	collect := func(key, value []byte) bool {
		it.chunk = append(it.chunk, row{key, value})
		return len(it.chunk) < chunkRows
	}
	low, high := btreemap.GE(it.lower), btreemap.Max[[]byte]()
	if it.upper != nil {
		high = btreemap.LT(it.upper)
	}
	if it.reverse {
		it.tree.DescendFunc(high, low, collect)
	} else {
		if it.started {
			low = btreemap.GT(it.lower)
		}
		it.tree.AscendFunc(low, high, collect)
	}
	it.started = true
	if len(it.chunk) == 0 {
		return
	}
	if last := it.chunk[len(it.chunk)-1].key; it.reverse {
		it.upper = last
	} else {
		it.lower = last
	}
}

func (it *iterator) Key() []byte   { return it.row().key }
func (it *iterator) Value() []byte { return it.row().value }

// row is the current row, or an empty one before the first and after the last.
func (it *iterator) row() row {
	if it.at < len(it.chunk) {
		return it.chunk[it.at]
	}
	return row{}
}

func (it *iterator) Err() error { return it.err }

func (it *iterator) Close() error {
	it.tree, it.chunk = nil, nil
	return nil
}
