package state

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// Instance is the untyped face of a store inside a task. It belongs to the
// task's goroutine.
type Instance interface {
	// Spec is the durable shape, with window size and retention filled in.
	Spec() Spec
	// Drain writes the rows that changed since the last commit, in key order and
	// each once, to the batch and to the changelog. Emission per commit has to be
	// done before.
	Drain(b Batch, log Recorder) error
	// Committed is called when a drained batch has been applied: rows become
	// clean, and the cache is cut to its budget.
	Committed()
	// Bytes is about the memory held, Dirty the number of changed rows.
	Bytes() int
	Dirty() int
	// Horizon is the start below which window rows have expired.
	Horizon() int64
}

// Recorder takes the changelog records of a commit. A nil value is a tombstone.
// The slices are copied.
type Recorder interface {
	Record(time int64, key, value []byte) error
}

// Env is what a store needs from its task.
type Env struct {
	// Spec is the handle's spec with window size and retention filled in.
	Spec Spec
	// ID keeps the store apart in the task's engine.
	ID uint16
	// View is the committed state.
	View Reader
	// CacheBytes bounds the clean part of the cache; what a commit has changed is
	// held beyond it until the commit.
	CacheBytes int
	// Now is the time that a row gets when a processor writes it: the time of the
	// record being processed.
	Now func() processor.Timestamp
	// Horizon is the restored horizon of a window store.
	Horizon int64
	// Version, if it is set, makes a key-value store follow rows that others write:
	// what it has read counts while Version returns the same. Version has to change
	// after each change of the rows.
	Version func() uint64
}

// Cells is a store as an aggregation uses it: rows by encoded key, and by window
// start in window stores (0 in others).
type Cells[V any] interface {
	Instance
	// Slot finds the place of a row, read from the store if it must be. hash is
	// HashKey(key). It is valid until the next call of a method of the same store.
	Slot(start int64, key []byte, hash uint32) (Slot[V], error)
	// Touch reads what the next Slot of a key with that hash is likely to read. The
	// result means nothing; it keeps the read from being left out.
	Touch(hash uint32) uint64
	// EachDirty visits the rows changed since the last commit in key order.
	EachDirty(visit func(Cell[V]) error) error
	// EachRow visits the rows of one window (of the whole store if it has none)
	// whose key is greater than after (nil: all), in key order, committed or not.
	// It ends early when visit returns false.
	EachRow(start int64, after []byte, visit func(Cell[V]) (more bool, err error)) error
	// Starts returns the window starts in [from, to) that may have rows,
	// ascending.
	Starts(from, to int64) []int64
	// ExpireBelow moves the horizon of a window store forward.
	ExpireBelow(start int64)
}

// Cell is one row. Key is never written to again, so it may be aliased.
type Cell[V any] struct {
	Start   int64
	Key     []byte
	Value   V
	Time    int64
	Present bool // false: the row was deleted
}

// Slot is the place of one row in the cache.
type Slot[V any] struct {
	table    *table[V]
	position int
}

// Load returns the row, if there is one.
func (s Slot[V]) Load() (v V, time int64, ok bool) {
	r := &s.table.rows[s.position]
	return r.value, r.time, r.flags&rowPresent != 0
}

// Store writes the row.
func (s Slot[V]) Store(v V, time int64) { s.table.set(s.position, v, time) }

// Delete removes the row.
func (s Slot[V]) Delete() { s.table.remove(s.position) }

// Key returns the key as the cache keeps it. It is never written to again.
func (s Slot[V]) Key() []byte { return s.table.keyOf(uint32(s.position)) }

// core is what both kinds of cells share.
type core[V any] struct {
	spec    Spec
	id      uint16
	view    Reader
	value   serde.Serde[V]
	budget  int
	rowKey  []byte
	rowVal  []byte
	logKey  []byte
	decoded func(src []byte) (V, error)
}

func newCore[V any](env Env, value serde.Serde[V]) core[V] {
	return core[V]{spec: env.Spec, id: env.ID, view: env.View, value: value, budget: env.CacheBytes, decoded: value.Decode}
}

// Spec implements Instance.
func (c *core[V]) Spec() Spec { return c.spec }

// load brings the row of a key that the table does not know into it.
func (c *core[V]) load(t *table[V], start int64, key []byte, hash uint32) (int, error) {
	position := t.insert(key, hash)
	if t.complete {
		return position, nil
	}
	c.rowKey = AppendRowKey(c.rowKey[:0], c.id, c.spec.Kind, start, key)
	stored, ok, err := c.view.Get(c.rowVal[:0], c.rowKey)
	if err != nil {
		return 0, fmt.Errorf("store %s: read: %w", c.spec.Name, err)
	}
	c.rowVal = stored[:0]
	if !ok {
		return position, nil
	}
	v, time, err := c.decode(stored)
	if err != nil {
		return 0, err
	}
	r := &t.rows[position]
	r.value, r.time, r.flags = v, time, rowPresent
	return position, nil
}

func (c *core[V]) decode(stored []byte) (v V, time int64, err error) {
	time, raw, err := SplitRowValue(stored)
	if err == nil {
		v, err = c.decoded(raw)
	}
	if err != nil {
		return v, 0, fmt.Errorf("store %s: stored value does not decode as %s: %w", c.spec.Name, c.value.Name(), err)
	}
	return v, time, nil
}

// drain writes the dirty rows of one table.
func (c *core[V]) drain(t *table[V], start int64, b Batch, log Recorder) error {
	for _, p := range t.sortDirty() {
		r := &t.rows[p]
		key := t.keys.get(r.key)
		c.rowKey = AppendRowKey(c.rowKey[:0], c.id, c.spec.Kind, start, key)
		logKey := key
		if c.spec.Kind == KindWindow {
			c.logKey = AppendChangelogKey(c.logKey[:0], c.spec.Kind, start, key)
			logKey = c.logKey
		}
		if err := c.drainRow(r, logKey, b, log); err != nil {
			return fmt.Errorf("store %s: %w", c.spec.Name, err)
		}
	}
	return nil
}

func (c *core[V]) drainRow(r *row[V], logKey []byte, b Batch, log Recorder) error {
	if r.flags&rowPresent == 0 {
		if err := b.Delete(c.rowKey); err != nil {
			return err
		}
		return log.Record(0, logKey, nil)
	}
	c.rowVal = AppendRowValue(c.rowVal[:0], r.time, nil)
	full, err := c.value.Append(c.rowVal, r.value)
	if err != nil {
		return fmt.Errorf("value does not encode as %s: %w", c.value.Name(), err)
	}
	c.rowVal = full
	if err := b.Set(c.rowKey, full); err != nil {
		return err
	}
	return log.Record(r.time, logKey, full[timeBytes:])
}

// eachDirty visits the dirty rows of one table in key order.
func eachDirty[V any](t *table[V], start int64, visit func(Cell[V]) error) error {
	for _, p := range t.sortDirty() {
		if err := visit(cellAt(t, start, p)); err != nil {
			return err
		}
	}
	return nil
}

func cellAt[V any](t *table[V], start int64, position uint32) Cell[V] {
	r := &t.rows[position]
	return Cell[V]{Start: start, Key: t.keys.get(r.key), Value: r.value, Time: r.time, Present: r.flags&rowPresent != 0}
}
