package state

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/processor/serde"
)

// windowCells is the cache of a window store: one table per window start. Rows
// of a window expire together, so a table is dropped whole; over budget the
// oldest windows go first, because they are written least.
type windowCells[V any] struct {
	core[V]
	tables map[int64]*table[V]
	last   *table[V] // table of lastStart: most records hit the window of the one before
	// lastStart is meaningful only while last is not nil.
	lastStart int64
	stored    map[int64]struct{} // starts with rows in the committed store
	horizon   int64
	deleted   int64 // rows below have been deleted physically
}

func openWindow[V any](env Env, value serde.Serde[V]) (Cells[V], error) {
	c := &windowCells[V]{
		core:    newCore(env, value),
		tables:  map[int64]*table[V]{},
		stored:  map[int64]struct{}{},
		horizon: env.Horizon,
	}
	// One seek per stored window, once: later every question whether a window has
	// rows is answered from memory.
	for from := int64(0); ; {
		start, ok, err := c.firstStored(from)
		if err != nil {
			return nil, err
		}
		if !ok {
			return c, nil
		}
		c.stored[start] = struct{}{}
		from = start + 1
	}
}

func (c *windowCells[V]) firstStored(from int64) (start int64, ok bool, err error) {
	_, upper := StoreRange(c.id)
	it, err := c.view.Iter(AppendRowKey(nil, c.id, KindWindow, from, nil), upper, false)
	if err != nil {
		return 0, false, fmt.Errorf("store %s: scan: %w", c.spec.Name, err)
	}
	defer it.Close()
	if !it.Next() {
		return 0, false, it.Err()
	}
	start, _, err = SplitRowKey(KindWindow, it.Key())
	return start, err == nil, err
}

func (c *windowCells[V]) table(start int64) *table[V] {
	if c.last != nil && c.lastStart == start {
		return c.last
	}
	t := c.tables[start]
	if t == nil {
		_, stored := c.stored[start]
		t = &table[V]{complete: !stored}
		c.tables[start] = t
	}
	c.last, c.lastStart = t, start
	return t
}

// Slot implements Cells.
func (c *windowCells[V]) Slot(start int64, key []byte, hash uint32) (Slot[V], error) {
	t := c.table(start)
	position := t.find(key, hash)
	if position >= 0 {
		return Slot[V]{t, position}, nil
	}
	position, err := c.load(t, start, key, hash)
	return Slot[V]{t, position}, err
}

// Touch implements Cells. It guesses that the window is that of the last record.
func (c *windowCells[V]) Touch(hash uint32) uint64 {
	if c.last == nil {
		return 0
	}
	return c.last.touch(hash)
}

// EachDirty implements Cells.
func (c *windowCells[V]) EachDirty(visit func(Cell[V]) error) error {
	for _, start := range c.cachedStarts() {
		if err := eachDirty(c.tables[start], start, visit); err != nil {
			return err
		}
	}
	return nil
}

// EachRow implements Cells.
func (c *windowCells[V]) EachRow(start int64, after []byte, visit func(Cell[V]) (bool, error)) error {
	if start < c.horizon {
		return nil
	}
	t := c.tables[start]
	if t == nil {
		if _, stored := c.stored[start]; !stored {
			return nil
		}
		return c.eachRow(nil, start, behind(after), nil, visit)
	}
	return c.eachRow([]*table[V]{t}, start, behind(after), nil, visit)
}

// Starts implements Cells.
func (c *windowCells[V]) Starts(from, to int64) []int64 {
	from = max(from, c.horizon)
	var out []int64
	add := func(start int64) {
		if start >= from && start < to {
			out = append(out, start)
		}
	}
	for start := range c.tables {
		add(start)
	}
	for start := range c.stored {
		if c.tables[start] == nil {
			add(start)
		}
	}
	slices.Sort(out)
	return out
}

// ExpireBelow implements Cells.
func (c *windowCells[V]) ExpireBelow(start int64) { c.horizon = max(c.horizon, start) }

// Horizon implements Instance.
func (c *windowCells[V]) Horizon() int64 { return c.horizon }

// Drain implements Instance. Rows that expired before they were ever committed
// are not written at all.
func (c *windowCells[V]) Drain(b Batch, log Recorder) error {
	for start := range c.tables {
		if start < c.horizon {
			c.drop(start)
		}
	}
	if err := c.deleteExpired(b); err != nil {
		return fmt.Errorf("store %s: %w", c.spec.Name, err)
	}
	for _, start := range c.cachedStarts() {
		t := c.tables[start]
		if len(t.dirty) == 0 {
			continue
		}
		if err := c.drain(t, start, b, log); err != nil {
			return err
		}
		c.stored[start] = struct{}{}
	}
	return nil
}

// deleteExpired deletes expired rows as one range per commit, and only if a
// stored window fell behind the horizon: what is expired is hidden in any case.
func (c *windowCells[V]) deleteExpired(b Batch) error {
	expired := false
	for start := range c.stored {
		if start < c.horizon {
			delete(c.stored, start)
			expired = true
		}
	}
	if !expired {
		return nil
	}
	lower, upper := WindowRange(c.id, c.deleted, c.horizon)
	c.deleted = c.horizon
	return b.DeleteRange(lower, upper)
}

// Committed implements Instance.
func (c *windowCells[V]) Committed() {
	for _, t := range c.tables {
		t.clean()
	}
	size := c.Bytes()
	if size <= c.budget {
		return
	}
	for _, start := range c.cachedStarts() {
		if size <= c.budget {
			return
		}
		size -= c.tables[start].bytes()
		c.drop(start)
	}
}

func (c *windowCells[V]) drop(start int64) {
	delete(c.tables, start)
	c.last = nil
}

func (c *windowCells[V]) cachedStarts() []int64 { return slices.Sorted(maps.Keys(c.tables)) }

// Bytes implements Instance.
func (c *windowCells[V]) Bytes() int {
	n := 0
	for _, t := range c.tables {
		n += t.bytes()
	}
	return n
}

// Dirty implements Instance.
func (c *windowCells[V]) Dirty() int {
	n := 0
	for _, t := range c.tables {
		n += len(t.dirty)
	}
	return n
}
