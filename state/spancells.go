package state

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/tidemill/tidemill/processor/serde"
)

// spanCells is the cache of a store of spans: a table of keys, each with the rows
// that were asked for lately, in two generations as in kvCells.
type spanCells[V any] struct {
	core[V]
	young, old *spanTable[V]
	order      endOrder[V]
	horizon    int64
	deleted    int64 // rows that end before have been deleted physically
	back       int64 // see Remember
}

// spanTable counts what its lists occupy.
type spanTable[V any] struct {
	table[keySpans[V]]
	listed int // places in the lists
}

func (t *spanTable[V]) bytes() int {
	var s cachedSpan[V]
	return t.table.bytes() + t.listed*int(unsafe.Sizeof(s))
}

func openSpans[V any](env Env, value serde.Serde[V]) (*spanCells[V], error) {
	c := &spanCells[V]{core: newCore(env, value), young: &spanTable[V]{}, horizon: env.Horizon}
	c.order.cells = c
	c.order.reset()
	lower, upper := StoreRange(env.ID)
	it, err := env.View.Iter(lower, upper, false)
	if err != nil {
		return nil, fmt.Errorf("store %s: scan: %w", env.Spec.Name, err)
	}
	defer it.Close()
	c.young.complete = !it.Next()
	return c, it.Err()
}

// Of implements Spans.
func (c *spanCells[V]) Of(key []byte, hash uint32, from int64) (KeySpans[V], error) {
	position := c.find(key, hash)
	row := &c.young.rows[position].value
	if row.from > from && row.from != allSpans {
		if err := c.read(row, key, from); err != nil {
			return KeySpans[V]{}, err
		}
	}
	c.forgetExpired(row)
	return KeySpans[V]{cells: c, position: uint32(position)}, nil
}

// find returns the position of a key in the young generation, bringing it there.
func (c *spanCells[V]) find(key []byte, hash uint32) int {
	if position := c.young.find(key, hash); position >= 0 {
		return position
	}
	position := c.young.insert(key, hash)
	row := &c.young.rows[position].value
	row.from = allSpans
	if c.young.complete {
		return position
	}
	row.from = noSpans
	if c.old != nil {
		if p := c.old.find(key, hash); p >= 0 {
			*row = c.old.rows[p].value
			c.old.rows[p].value = keySpans[V]{}
			c.old.listed -= cap(row.list)
			c.young.listed += cap(row.list)
		}
	}
	return position
}

// read adds the rows of the committed store with from <= end < row.from, none of
// which has changed: a change asks for them first.
func (c *spanCells[V]) read(row *keySpans[V], key []byte, from int64) error {
	from = max(from, 0)
	var found []cachedSpan[V]
	err := c.eachStored(key, from, row.from, func(s Span[V]) {
		found = append(found, cachedSpan[V]{Span: s, flags: spanStored})
	})
	if err != nil {
		return fmt.Errorf("store %s: read: %w", c.spec.Name, err)
	}
	before := cap(row.list)
	row.list = slices.Insert(row.list, 0, found...)
	c.grew(cap(row.list) - before)
	row.from = from
	if from == 0 {
		row.from = allSpans
	}
	return nil
}

// eachStored visits the committed rows of a key with from <= end < to. Rows of
// longer keys may lie between them; their length tells.
func (c *spanCells[V]) eachStored(key []byte, from, to int64, visit func(Span[V])) error {
	c.rowKey = c.seekKey(c.rowKey[:0], key, from)
	upper := c.seekKey(nil, key, to)
	it, err := c.view.Iter(c.rowKey, upper, false)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		if len(it.Key()) != len(upper) {
			continue
		}
		start, end, _, err := c.spec.SplitSpanKey(it.Key())
		if err != nil {
			return err
		}
		v, time, err := c.decode(it.Value())
		if err != nil {
			return err
		}
		visit(Span[V]{Start: start, End: end, Time: time, Value: v})
	}
	return it.Err()
}

// seekKey is the engine key before the rows of a key that end at end or later.
func (c *spanCells[V]) seekKey(dst, key []byte, end int64) []byte {
	start := int64(0)
	if c.spec.Kind.byStart() {
		start = max(0, end-c.spec.WindowSize.Milliseconds())
	}
	return c.spec.AppendSpanKey(dst, c.id, start, end, key)
}

// forgetExpired drops the expired rows of a key that nothing waits to be done
// with. What remains of them is behind every search.
func (c *spanCells[V]) forgetExpired(row *keySpans[V]) {
	n := 0
	for n < len(row.list) && row.list[n].End < c.horizon && row.list[n].flags&spanDirty == 0 {
		n++
	}
	if n > 0 {
		row.list = slices.Delete(row.list, 0, n)
	}
}

func (c *spanCells[V]) changed(position uint32) {
	c.young.markDirty(int(position), c.young.rows[position].flags|rowPresent)
}

func (c *spanCells[V]) grew(places int) { c.young.listed += places }

// Touch implements Spans.
func (c *spanCells[V]) Touch(hash uint32) uint64 { return c.young.touch(hash) }

// EachDirty implements Spans.
func (c *spanCells[V]) EachDirty(visit func(SpanCell[V]) error) error {
	for _, p := range c.young.sortDirty() {
		key, row := c.young.keyOf(p), &c.young.rows[p].value
		for _, gone := range row.dead {
			if err := visit(SpanCell[V]{Key: key, Span: Span[V]{Start: gone.start, End: gone.end, Time: gone.end}}); err != nil {
				return err
			}
		}
		for i := range row.list {
			if row.list[i].flags&spanDirty == 0 {
				continue
			}
			if err := visit(SpanCell[V]{Key: key, Span: row.list[i].Span, Present: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stored implements Spans.
func (c *spanCells[V]) Stored() (rows, bytes int64, err error) {
	lower, upper := SpanRows(c.id)
	it, err := c.view.Iter(lower, upper, false)
	if err != nil {
		return 0, 0, fmt.Errorf("store %s: scan: %w", c.spec.Name, err)
	}
	defer it.Close()
	for it.Next() {
		rows++
		bytes += int64(len(it.Key()) - len(lower) - c.spec.Kind.boundsBytes() + len(it.Value()) - timeBytes)
	}
	return rows, bytes, it.Err()
}

// Remember implements Spans.
func (c *spanCells[V]) Remember(back int64) { c.back = back }

// ExpireBelow implements Spans.
func (c *spanCells[V]) ExpireBelow(end int64) { c.horizon = max(c.horizon, end) }

// Horizon implements Instance: the end below which rows have expired.
func (c *spanCells[V]) Horizon() int64 { return c.horizon }

// Dirty implements Instance. It counts keys.
func (c *spanCells[V]) Dirty() int { return len(c.young.dirty) }

// Bytes implements Instance.
func (c *spanCells[V]) Bytes() int {
	n := c.young.bytes() + c.order.bytes()
	if c.old != nil {
		n += c.old.bytes()
	}
	return n
}
