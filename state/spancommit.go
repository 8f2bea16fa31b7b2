package state

import (
	"fmt"
	"slices"
)

// expirePerCommit bounds how many expired rows one commit deletes; what is left
// is hidden in any case.
const expirePerCommit = 64 << 10

// keepSpans is how many rows of a key stay in memory however old they are.
const keepSpans = 8

// Drain implements Instance. Rows that expired before they were ever committed
// are not written at all.
func (c *spanCells[V]) Drain(b Batch, log Recorder) error {
	if err := c.deleteExpired(b); err != nil {
		return fmt.Errorf("store %s: %w", c.spec.Name, err)
	}
	for _, p := range c.young.sortDirty() {
		if err := c.drainKey(c.young.keyOf(p), &c.young.rows[p].value, b, log); err != nil {
			return fmt.Errorf("store %s: %w", c.spec.Name, err)
		}
	}
	return nil
}

func (c *spanCells[V]) drainKey(key []byte, row *keySpans[V], b Batch, log Recorder) error {
	for _, gone := range row.dead {
		if err := c.deleteRow(b, gone.start, gone.end, key); err != nil {
			return err
		}
		c.logKey = c.spec.AppendSpanChangelogKey(c.logKey[:0], gone.start, gone.end, key)
		if err := log.Record(0, c.logKey, nil); err != nil {
			return err
		}
	}
	for i := range row.list {
		if s := &row.list[i]; s.flags&spanDirty != 0 && s.End >= c.horizon {
			if err := c.drainSpan(key, s, b, log); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *spanCells[V]) drainSpan(key []byte, s *cachedSpan[V], b Batch, log Recorder) error {
	c.rowVal = AppendRowValue(c.rowVal[:0], s.Time, nil)
	full, err := c.value.Append(c.rowVal, s.Value)
	if err != nil {
		return fmt.Errorf("value does not encode as %s: %w", c.value.Name(), err)
	}
	c.rowVal = full
	c.rowKey = c.spec.AppendSpanKey(c.rowKey[:0], c.id, s.Start, s.End, key)
	if err := b.Set(c.rowKey, full); err != nil {
		return err
	}
	if s.flags&spanStored == 0 {
		c.rowKey = c.spec.AppendEndKey(c.rowKey[:0], c.id, s.Start, s.End, key)
		if err := b.Set(c.rowKey, nil); err != nil {
			return err
		}
	}
	c.logKey = c.spec.AppendSpanChangelogKey(c.logKey[:0], s.Start, s.End, key)
	return log.Record(s.Time, c.logKey, full[timeBytes:])
}

func (c *spanCells[V]) deleteRow(b Batch, start, end int64, key []byte) error {
	c.rowKey = c.spec.AppendSpanKey(c.rowKey[:0], c.id, start, end, key)
	if err := b.Delete(c.rowKey); err != nil {
		return err
	}
	c.rowKey = c.spec.AppendEndKey(c.rowKey[:0], c.id, start, end, key)
	return b.Delete(c.rowKey)
}

// deleteExpired deletes committed rows that have expired, oldest first. One by
// one: few expire per commit, and a range tombstone with every commit would slow
// down the reads of all rows behind it.
func (c *spanCells[V]) deleteExpired(b Batch) error {
	if c.deleted >= c.horizon {
		return nil
	}
	it, err := c.view.Iter(c.seekEnd(c.deleted), c.seekEnd(c.horizon), false)
	if err != nil {
		return err
	}
	defer it.Close()
	for n := 0; it.Next(); n++ {
		start, end, key, err := c.spec.splitEndKey(it.Key())
		if err != nil {
			return err
		}
		if n == expirePerCommit {
			c.deleted = end
			return nil
		}
		if err := c.deleteRow(b, start, end, key); err != nil {
			return err
		}
	}
	c.deleted = c.horizon
	return it.Err()
}

// seekEnd is the engine key before the entries of rows that end at end or later.
func (c *spanCells[V]) seekEnd(end int64) []byte {
	start, end := int64(0), max(0, end)
	if c.spec.Kind.byStart() {
		start = max(0, end-c.spec.WindowSize.Milliseconds())
	}
	return c.spec.AppendEndKey(nil, c.id, start, end, nil)
}

// Committed implements Instance.
func (c *spanCells[V]) Committed() {
	for _, p := range c.young.dirty {
		c.settle(&c.young.rows[p].value)
	}
	c.young.clean()
	c.order.reset()
	if c.Bytes() <= c.budget {
		return
	}
	if c.young.complete && c.compact() {
		return
	}
	c.old, c.young = c.young, &spanTable[V]{}
	c.old.complete = false
	if c.old.bytes() > c.budget {
		c.old = nil
	}
}

// settle makes the rows of a key clean, and lets go of those that are far behind
// its newest one.
func (c *spanCells[V]) settle(row *keySpans[V]) {
	row.dead = row.dead[:0]
	keep := 0
	if n := len(row.list); n > keepSpans {
		keep = min(n-keepSpans, row.search(row.list[n-1].End-c.back))
	}
	expired := row.search(c.horizon)
	if keep > expired {
		// Without the rows before it, only what ends behind is known to be all.
		row.from = max(row.from, row.list[keep-1].End+1)
		keep = row.search(row.from)
	} else {
		keep = expired
	}
	if keep > 0 {
		row.list = slices.Delete(row.list, 0, keep)
	}
	for i := range row.list {
		row.list[i].flags = spanStored
	}
}

// compact drops the keys of a complete table that have no rows left, unless the
// table then still fills more than half of the budget. It stays complete, so that
// new keys need no read.
func (c *spanCells[V]) compact() bool {
	fresh := &spanTable[V]{}
	fresh.complete = true
	for i := range c.young.rows {
		row := &c.young.rows[i].value
		c.forgetExpired(row)
		if len(row.list) == 0 && row.from == allSpans {
			continue
		}
		key := c.young.keyOf(uint32(i))
		p := fresh.insert(key, HashKey(key))
		fresh.rows[p].value, fresh.rows[p].flags = *row, c.young.rows[i].flags
		fresh.listed += cap(row.list)
		if fresh.bytes() > c.budget/2 {
			return false
		}
	}
	c.young = fresh
	return true
}
