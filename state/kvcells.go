package state

import "github.com/tidemill/tidemill/processor/serde"

// kvCells is the cache of a key-value store: two generations of rows. Lookups
// move a row into the young one; when the two exceed the budget the old one is
// dropped and the young one takes its place. That approximates least recently
// used at the cost of a map lookup, and happens only between commits, when every
// row is clean. (A list per row was rejected: two pointers a row for the garbage
// collector to follow.)
type kvCells[V any] struct {
	core[V]
	young, old *table[V]
	version    func() uint64 // nil unless others write the rows
	seen       uint64        // the version that the rows were read at
}

func openKeyValue[V any](env Env, value serde.Serde[V]) (Cells[V], error) {
	c := &kvCells[V]{core: newCore(env, value), young: &table[V]{}, version: env.Version}
	if c.version != nil {
		return c, nil
	}
	lower, upper := StoreRange(env.ID)
	it, err := env.View.Iter(lower, upper, false)
	if err != nil {
		return nil, err
	}
	c.young.complete = !it.Next()
	if err := it.Err(); err != nil {
		it.Close()
		return nil, err
	}
	return c, it.Close()
}

// Slot implements Cells.
func (c *kvCells[V]) Slot(_ int64, key []byte, hash uint32) (Slot[V], error) {
	if c.version != nil {
		c.follow()
	}
	position := c.young.find(key, hash)
	if position >= 0 {
		return Slot[V]{c.young, position}, nil
	}
	if c.old != nil {
		if p := c.old.find(key, hash); p >= 0 {
			position = c.young.insert(key, hash)
			from, to := &c.old.rows[p], &c.young.rows[position]
			to.value, to.time, to.flags = from.value, from.time, from.flags
			return Slot[V]{c.young, position}, nil
		}
	}
	position, err := c.load(c.young, 0, key, hash)
	return Slot[V]{c.young, position}, err
}

// Touch implements Cells.
func (c *kvCells[V]) Touch(hash uint32) uint64 { return c.young.touch(hash) }

// EachDirty implements Cells. Only the young generation has dirty rows.
func (c *kvCells[V]) EachDirty(visit func(Cell[V]) error) error { return eachDirty(c.young, 0, visit) }

// EachRow implements Cells.
func (c *kvCells[V]) EachRow(_ int64, after []byte, visit func(Cell[V]) (bool, error)) error {
	return c.between(behind(after), nil, visit)
}

// follow forgets what may have changed. It asks for the version before anything is
// read, so a row that changes meanwhile is read again, not missed.
func (c *kvCells[V]) follow() {
	if v := c.version(); v != c.seen || c.young.bytes() > c.budget {
		c.young, c.seen = &table[V]{}, v
	}
}

// between visits the rows with lower <= key < upper.
func (c *kvCells[V]) between(lower, upper []byte, visit func(Cell[V]) (bool, error)) error {
	if c.version != nil {
		return c.eachRow(nil, 0, lower, upper, visit) // one view of all rows
	}
	tables := []*table[V]{c.young}
	if c.old != nil {
		tables = append(tables, c.old)
	}
	return c.eachRow(tables, 0, lower, upper, visit)
}

// Drain implements Instance.
func (c *kvCells[V]) Drain(b Batch, log Recorder) error { return c.drain(c.young, 0, b, log) }

// Committed implements Instance.
func (c *kvCells[V]) Committed() {
	c.young.clean()
	if c.Bytes() <= c.budget {
		return
	}
	c.old, c.young = c.young, &table[V]{}
	c.old.complete = false
	if c.old.bytes() > c.budget {
		c.old = nil
	}
}

// Bytes implements Instance.
func (c *kvCells[V]) Bytes() int {
	n := c.young.bytes()
	if c.old != nil {
		n += c.old.bytes()
	}
	return n
}

// Dirty implements Instance.
func (c *kvCells[V]) Dirty() int { return len(c.young.dirty) }

// Horizon implements Instance: rows of a key-value store do not expire.
func (c *kvCells[V]) Horizon() int64 { return 0 }

// Starts implements Cells.
func (c *kvCells[V]) Starts(_, _ int64) []int64 { return []int64{0} }

// ExpireBelow implements Cells.
func (c *kvCells[V]) ExpireBelow(int64) {}
