package state

import "fmt"

// Drain implements Instance. Slices that expired before they were ever committed
// are not written at all.
func (c *joinRows[V]) Drain(b Batch, log Recorder) error {
	if err := c.expire(); err != nil {
		return err
	}
	if err := c.deleteExpired(b); err != nil {
		return fmt.Errorf("store %s: %w", c.spec.Name, err)
	}
	for _, start := range c.cachedStarts() {
		s := c.cached[start]
		if len(s.keys.dirty) == 0 {
			continue
		}
		for _, p := range s.keys.sortDirty() {
			if err := c.drainKey(s, p, b, log); err != nil {
				return fmt.Errorf("store %s: %w", c.spec.Name, err)
			}
		}
		c.stored[start] = struct{}{}
	}
	return nil
}

// expire moves the horizon to the first slice that is needed: one with a row that
// may be asked for, or that waits.
func (c *joinRows[V]) expire() error {
	if c.spec.sliceOf(c.expired) <= c.horizon {
		return nil
	}
	horizon := c.spec.sliceOf(c.expired)
	first, ok, err := c.WaitingFrom(0)
	if err != nil {
		return err
	}
	if ok {
		horizon = min(horizon, c.spec.sliceOf(first.Time))
	}
	c.horizon = max(c.horizon, horizon)
	for start, s := range c.cached {
		if start < c.horizon {
			for _, p := range s.keys.dirty {
				c.dirtyRows -= int(s.keys.rows[p].value.dirty)
			}
			c.drop(start)
		}
	}
	return nil
}

// deleteExpired deletes expired slices as one range, and only if a stored slice
// fell behind the horizon.
func (c *joinRows[V]) deleteExpired(b Batch) error {
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
	for _, part := range []byte{joinRowsPart, joinWaitsPart} {
		if err := b.DeleteRange(joinSlices(c.id, part, c.deleted, c.horizon)); err != nil {
			return err
		}
	}
	c.deleted = c.horizon
	return nil
}

// drainKey writes the dirty rows of a key in the order of time and arrival. The
// newest come first in the chain, and nearly all dirty rows are new.
func (c *joinRows[V]) drainKey(s *joinSlice[V], p uint32, b Batch, log Recorder) error {
	k := &s.keys.rows[p].value
	c.scratch = c.scratch[:0]
	for next, left := k.newest, k.dirty; next != 0 && left > 0; next = s.rows[next-1].older {
		if s.rows[next-1].flags&joinDirty != 0 {
			c.scratch = append(c.scratch, next-1)
			left--
		}
	}
	key := s.keys.keyOf(p)
	for i := len(c.scratch) - 1; i >= 0; i-- {
		if err := c.drainRow(key, &s.rows[c.scratch[i]], b, log); err != nil {
			return err
		}
	}
	return nil
}

func (c *joinRows[V]) drainRow(key []byte, r *joinRow[V], b Batch, log Recorder) error {
	if c.spec.Kind == KindHeld && r.flags&joinWaiting == 0 {
		return c.removeRow(key, r, b, log)
	}
	state := joinNeverWaited
	switch {
	case r.flags&joinWaiting != 0:
		state = joinWaits
	case r.flags&joinMarked != 0:
		state = joinHasWaited
	}
	c.rowVal = append(AppendRowValue(c.rowVal[:0], r.time, nil), state)
	full, err := c.value.Append(c.rowVal, r.value)
	if err != nil {
		return fmt.Errorf("value does not encode as %s: %w", c.value.Name(), err)
	}
	c.rowVal = full
	if r.flags&joinStored == 0 { // a stored row has only stopped waiting, which its entry says
		c.rowKey = c.spec.AppendJoinKey(c.rowKey[:0], c.id, r.time, r.sequence, key)
		if err := b.Set(c.rowKey, full); err != nil {
			return err
		}
	}
	if state != joinNeverWaited {
		c.rowKey = AppendWaitKey(c.rowKey[:0], c.id, r.time, r.sequence, key)
		if state == joinWaits {
			err = b.Set(c.rowKey, nil)
		} else {
			err = b.Delete(c.rowKey)
		}
		if err != nil {
			return err
		}
	}
	c.logKey = AppendJoinChangelogKey(c.logKey[:0], r.time, r.sequence, key)
	return log.Record(r.time, c.logKey, full[timeBytes:])
}

// removeRow writes that a row has been taken, if it was ever written.
func (c *joinRows[V]) removeRow(key []byte, r *joinRow[V], b Batch, log Recorder) error {
	if r.flags&joinStored == 0 {
		return nil
	}
	c.rowKey = c.spec.AppendJoinKey(c.rowKey[:0], c.id, r.time, r.sequence, key)
	if err := b.Delete(c.rowKey); err != nil {
		return err
	}
	c.rowKey = AppendWaitKey(c.rowKey[:0], c.id, r.time, r.sequence, key)
	if err := b.Delete(c.rowKey); err != nil {
		return err
	}
	c.logKey = AppendJoinChangelogKey(c.logKey[:0], r.time, r.sequence, key)
	return log.Record(0, c.logKey, nil)
}

// Committed implements Instance.
func (c *joinRows[V]) Committed() {
	for _, s := range c.cached {
		s.settle()
	}
	c.dirtyRows = 0
	c.ahead.reset()
	size := c.Bytes()
	for _, start := range c.cachedStarts() {
		if size <= c.budget {
			return
		}
		size -= c.cached[start].bytes()
		c.drop(start)
	}
}

// settle makes the rows clean.
func (s *joinSlice[V]) settle() {
	for _, p := range s.keys.dirty {
		k := &s.keys.rows[p].value
		for next := k.newest; next != 0 && k.dirty > 0; next = s.rows[next-1].older {
			if r := &s.rows[next-1]; r.flags&joinDirty != 0 {
				r.flags = r.flags&^joinDirty | joinStored
				k.dirty--
			}
		}
	}
	s.keys.clean()
}
