package state

import (
	"bytes"
	"fmt"
)

// eachRow visits the rows of a table and of the store below it, in key order,
// the table's version winning: those with lower <= key < upper, nil being no
// bound.
func (c *core[V]) eachRow(tables []*table[V], start int64, lower, upper []byte, visit func(Cell[V]) (bool, error)) error {
	cached := c.cachedRows(tables, lower, upper)
	complete := len(tables) > 0 && tables[0].complete
	if complete {
		for _, r := range cached {
			more, err := visitPresent(r.cell(start), visit)
			if err != nil || !more {
				return err
			}
		}
		return nil
	}
	return c.mergeRows(cached, start, lower, upper, visit)
}

// cachedRow is a row of one of the generations of a cache.
type cachedRow[V any] struct {
	table    *table[V]
	position uint32
}

func (r cachedRow[V]) key() []byte              { return r.table.keyOf(r.position) }
func (r cachedRow[V]) cell(start int64) Cell[V] { return cellAt(r.table, start, r.position) }

// cachedRows returns the cached rows with lower <= key < upper in key order.
func (c *core[V]) cachedRows(tables []*table[V], lower, upper []byte) []cachedRow[V] {
	var out []cachedRow[V]
	for _, t := range tables {
		positions := make([]uint32, 0, len(t.rows))
		for i := range t.rows {
			k := t.keyOf(uint32(i))
			if bytes.Compare(k, lower) >= 0 && (upper == nil || bytes.Compare(k, upper) < 0) {
				positions = append(positions, uint32(i))
			}
		}
		t.sortPositions(positions)
		out = mergeCached(out, t, positions)
	}
	return out
}

// mergeCached merges the rows of an older generation below those of a newer one:
// of equal keys the newer stays.
func mergeCached[V any](newer []cachedRow[V], t *table[V], positions []uint32) []cachedRow[V] {
	out := make([]cachedRow[V], 0, len(newer)+len(positions))
	for _, p := range positions {
		k := t.keyOf(p)
		for len(newer) > 0 && bytes.Compare(newer[0].key(), k) < 0 {
			out, newer = append(out, newer[0]), newer[1:]
		}
		if len(newer) > 0 && bytes.Equal(newer[0].key(), k) {
			continue
		}
		out = append(out, cachedRow[V]{t, p})
	}
	return append(out, newer...)
}

// mergeRows merges the cached rows over those of the store.
func (c *core[V]) mergeRows(cached []cachedRow[V], start int64, lower, upper []byte, visit func(Cell[V]) (bool, error)) error {
	it, err := c.view.Iter(c.bounds(start, lower, upper))
	if err != nil {
		return fmt.Errorf("store %s: scan: %w", c.spec.Name, err)
	}
	defer it.Close()
	stored := it.Next()
	for stored || len(cached) > 0 {
		var cell Cell[V]
		order := -1 // the stored row comes first
		if !stored {
			order = 1
		} else {
			_, key, err := SplitRowKey(c.spec.Kind, it.Key())
			if err != nil {
				return fmt.Errorf("store %s: %w", c.spec.Name, err)
			}
			if len(cached) > 0 {
				order = bytes.Compare(key, cached[0].key())
			}
			if order < 0 {
				v, time, err := c.decode(it.Value())
				if err != nil {
					return err
				}
				cell = Cell[V]{Start: start, Key: bytes.Clone(key), Value: v, Time: time, Present: true}
			}
		}
		if order >= 0 {
			cell, cached = cached[0].cell(start), cached[1:]
		}
		if order <= 0 {
			stored = it.Next()
		}
		if more, err := visitPresent(cell, visit); err != nil || !more {
			return err
		}
	}
	return it.Err()
}

func (c *core[V]) bounds(start int64, lower, upper []byte) (from, to []byte, reverse bool) {
	from = AppendRowKey(nil, c.id, c.spec.Kind, start, lower)
	if upper != nil {
		return from, AppendRowKey(nil, c.id, c.spec.Kind, start, upper), false
	}
	return from, PrefixEnd(AppendRowKey(nil, c.id, c.spec.Kind, start, nil)), false
}

// behind returns the smallest key greater than after, nil staying no bound.
func behind(after []byte) []byte {
	if after == nil {
		return nil
	}
	return append(after[:len(after):len(after)], 0)
}

func visitPresent[V any](cell Cell[V], visit func(Cell[V]) (bool, error)) (bool, error) {
	if !cell.Present {
		return true, nil
	}
	return visit(cell)
}
