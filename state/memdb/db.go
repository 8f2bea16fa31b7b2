// Package memdb is an ordered in-memory state engine: for tests, for small
// state that may be rebuilt at every start, and as the model that the durable
// engine is compared with.
//
// Nothing outlives the process. Flush has nothing to do, and a database that is
// opened again is empty, so its owner replays the whole changelog.
package memdb

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/RaduBerinde/btreemap"

	"github.com/tidemill/tidemill/state"
)

// degree of the tree: nodes of up to 63 rows. Copy-on-write copies whole nodes,
// so a larger degree makes small batches dearer; 32 is where reads stop gaining.
const degree = 32

type rows = btreemap.BTreeMap[[]byte, []byte]

// DB is an in-memory state.Engine. It is safe for use from several goroutines.
//
// Invariant: a published tree never changes. Apply works on a copy-on-write
// clone and publishes it at the end, so a reader that has loaded a tree holds a
// snapshot of the applied batches, without a lock and without blocking Apply.
type DB struct {
	current atomic.Pointer[rows] // nil once closed
	mu      struct {
		sync.Mutex // serialises Apply and Close
	}
}

var _ state.Engine = (*DB)(nil)

// New returns an empty database.
func New() *DB {
	d := &DB{}
	d.current.Store(btreemap.New[[]byte, []byte](degree, bytes.Compare))
	return d
}

// load returns the published tree, or state.ErrEngineClosed.
func (d *DB) load() (*rows, error) {
	tree := d.current.Load()
	if tree == nil {
		return nil, state.ErrEngineClosed
	}
	return tree, nil
}

// Get appends the value of key to dst. It fails only after Close.
func (d *DB) Get(dst, key []byte) ([]byte, bool, error) {
	tree, err := d.load()
	if err != nil {
		return dst, false, err
	}
	return get(tree, dst, key)
}

func get(tree *rows, dst, key []byte) ([]byte, bool, error) {
	_, value, ok := tree.Get(key)
	if !ok {
		return dst, false, nil
	}
	return append(dst, value...), true, nil
}

// Iter walks the rows with lower <= key < upper as they are now; later batches
// do not show. A nil upper means to the end.
func (d *DB) Iter(lower, upper []byte, reverse bool) (state.Iterator, error) {
	tree, err := d.load()
	if err != nil {
		return nil, err
	}
	return newIterator(d, tree, lower, upper, reverse), nil
}

// Apply makes the batch visible as a whole and releases it, also when it fails.
func (d *DB) Apply(b state.Batch) error {
	own, err := d.take(b)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tree, err := d.load()
	if err != nil {
		return err
	}
	next := tree.Clone()
	for _, op := range own {
		op.applyTo(next)
	}
	d.current.Store(next)
	return nil
}

// Snapshot returns a view of the batches applied so far.
func (d *DB) Snapshot() (state.Snapshot, error) {
	tree, err := d.load()
	if err != nil {
		return nil, err
	}
	s := &snapshot{db: d}
	s.tree.Store(tree)
	return s, nil
}

// Flush does nothing: there is no durable form. It fails only after Close.
func (d *DB) Flush() error {
	_, err := d.load()
	return err
}

// Close drops all rows. Every later call returns state.ErrEngineClosed.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current.Swap(nil) == nil {
		return state.ErrEngineClosed
	}
	return nil
}
