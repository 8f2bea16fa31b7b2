package state

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/processor/serde"
)

// joinRows is the cache of one side of a join: one joinSlice per slice of time.
// Rows of a slice expire together, so it is dropped whole; over budget the oldest
// slices go first.
type joinRows[V any] struct {
	core[V]
	cached    map[int64]*joinSlice[V]
	last      *joinSlice[V]      // the slice used last: most records share it
	starts    []int64            // of slices, ascending; nil if it has to be made again
	stored    map[int64]struct{} // slices with rows in the committed store
	ahead     aheadWaits
	length    int64
	expired   int64 // rows of an earlier time may go
	horizon   int64 // start of the first slice that is left
	deleted   int64 // slices before have been deleted physically
	scratch   []uint32
	dirtyRows int
}

func openJoinRows[V any](env Env, value serde.Serde[V]) (*joinRows[V], error) {
	c := &joinRows[V]{core: newCore(env, value), cached: map[int64]*joinSlice[V]{}, stored: map[int64]struct{}{},
		length: env.Spec.WindowSize.Milliseconds(), horizon: env.Horizon, expired: env.Horizon}
	if c.length <= 0 || c.length&(c.length-1) != 0 {
		return nil, fmt.Errorf("store %s: slices of %d ms are not a power of two", env.Spec.Name, c.length)
	}
	// One seek per stored slice, once: later every question whether a slice has rows
	// is answered from memory.
	for from := int64(0); ; {
		start, ok, err := c.firstStored(from)
		if err != nil {
			return nil, fmt.Errorf("store %s: scan: %w", c.spec.Name, err)
		}
		if !ok {
			return c, nil
		}
		c.stored[start] = struct{}{}
		from = start + c.length
	}
}

func (c *joinRows[V]) firstStored(from int64) (start int64, ok bool, err error) {
	lower, _ := joinSlices(c.id, joinRowsPart, from, 0)
	upper, _ := joinSlices(c.id, joinWaitsPart, 0, 0)
	it, err := c.view.Iter(lower, upper, false)
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	if !it.Next() {
		return 0, false, it.Err()
	}
	start, _, err = SplitRowKey(KindWindow, it.Key()[1:]) // behind the part, a slice is like a window
	return start, err == nil, err
}

// slice returns the slice that begins at start, or nil if it has no rows and none
// are to be added.
func (c *joinRows[V]) slice(start int64, add bool) *joinSlice[V] {
	if c.last != nil && c.last.start == start {
		return c.last
	}
	s := c.cached[start]
	if s == nil {
		_, stored := c.stored[start]
		if !stored && !add {
			return nil
		}
		s = &joinSlice[V]{start: start}
		s.keys.complete = !stored
		c.cached[start], c.starts = s, nil
	}
	if add {
		c.last = s
	}
	return s
}

// cachedStarts returns the starts of the cached slices, ascending.
func (c *joinRows[V]) cachedStarts() []int64 {
	if c.starts == nil {
		c.starts = slices.Sorted(maps.Keys(c.cached))
	}
	return c.starts
}

func (c *joinRows[V]) drop(start int64) {
	delete(c.cached, start)
	c.last, c.starts = nil, nil
}

// Touch implements JoinRows. It guesses that the slice is that of the last record.
func (c *joinRows[V]) Touch(hash uint32) uint64 {
	if c.last == nil {
		return 0
	}
	return c.last.keys.touch(hash)
}

// Put implements JoinRows.
func (c *joinRows[V]) Put(row JoinRow[V], sequence uint32, key []byte, hash uint32, waits bool) error {
	s := c.slice(c.spec.sliceOf(row.Time), true)
	p := s.keys.find(key, hash)
	if p < 0 {
		p = s.keys.insert(key, hash)
		s.keys.rows[p].value.known = s.keys.complete
	}
	r := joinRow[V]{time: row.Time, value: row.Value, sequence: sequence, key: uint32(p)}
	if waits {
		r.flags = joinWaiting | joinMarked
	}
	at := s.chain(r)
	c.markDirty(s, at)
	if waits {
		s.list(at)
	}
	return nil
}

func (c *joinRows[V]) markDirty(s *joinSlice[V], at uint32) {
	r := &s.rows[at]
	if r.flags&joinDirty != 0 {
		return
	}
	r.flags |= joinDirty
	c.dirtyRows++
	k := &s.keys.rows[r.key]
	k.value.dirty++
	s.keys.markDirty(int(r.key), k.flags|rowPresent)
}

// Fetch implements JoinRows.
func (c *joinRows[V]) Fetch(dst []JoinRow[V], key []byte, hash uint32, from, to int64) ([]JoinRow[V], error) {
	from = max(from, c.horizon, 0)
	for start := c.spec.sliceOf(from); start <= to && start >= 0; start += c.length {
		s := c.slice(start, false)
		if s == nil {
			continue
		}
		p, err := c.known(s, key, hash)
		if err != nil {
			return dst, err
		}
		if p >= 0 {
			dst = c.collect(dst, s, p, from, to)
		}
	}
	return dst, nil
}

func (c *joinRows[V]) collect(dst []JoinRow[V], s *joinSlice[V], p int, from, to int64) []JoinRow[V] {
	mark := len(dst)
	for next := s.keys.rows[p].value.newest; next != 0; {
		r := &s.rows[next-1]
		if r.time < from {
			break
		}
		if r.time <= to {
			if r.flags&joinWaiting != 0 {
				r.flags &^= joinWaiting
				c.markDirty(s, next-1)
			}
			dst = append(dst, JoinRow[V]{Time: r.time, Value: r.value})
		}
		next = r.older
	}
	slices.Reverse(dst[mark:])
	return dst
}

// known returns the position of a key all of whose rows are in the slice, reading
// them if it must, or -1 if it has none.
func (c *joinRows[V]) known(s *joinSlice[V], key []byte, hash uint32) (p int, err error) {
	p = s.keys.find(key, hash)
	if s.keys.complete || p >= 0 && s.keys.rows[p].value.known {
		return p, nil
	}
	if p < 0 {
		p = s.keys.insert(key, hash)
	}
	if err := c.read(s, p, key); err != nil {
		return -1, fmt.Errorf("store %s: read: %w", c.spec.Name, err)
	}
	s.keys.rows[p].value.known = true
	return p, nil
}

// read adds the committed rows of a key that the slice does not have. Rows of
// other keys may lie between them; their length tells.
func (c *joinRows[V]) read(s *joinSlice[V], p int, key []byte) error {
	lower := c.spec.AppendJoinKey(nil, c.id, s.start, 0, key)
	upper := c.spec.AppendJoinKey(nil, c.id, s.start+c.length-1, 1<<32-1, key)
	it, err := c.view.Iter(lower, append(upper, 0), false)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		if len(it.Key()) != len(lower) {
			continue
		}
		time, sequence, _, err := SplitJoinChangelogKey(it.Key())
		if err != nil {
			return err
		}
		if s.has(p, time, sequence) {
			continue
		}
		r, err := c.decodeRow(it.Value())
		if err != nil {
			return err
		}
		r.time, r.sequence, r.key = time, sequence, uint32(p)
		r.flags |= joinStored
		if r.flags&joinWaiting != 0 {
			if err := c.checkWaiting(&r, key); err != nil {
				return err
			}
		}
		if at := s.chain(r); r.flags&joinWaiting != 0 {
			s.list(at)
		}
	}
	return it.Err()
}

func (c *joinRows[V]) decodeRow(stored []byte) (r joinRow[V], err error) {
	_, raw, err := SplitRowValue(stored)
	if err != nil {
		return r, err
	}
	waits, waited, err := WaitChange(raw)
	if err != nil {
		return r, err
	}
	switch {
	case waits:
		r.flags = joinWaiting | joinMarked
	case waited:
		r.flags = joinMarked
	}
	if r.value, err = c.decoded(raw[1:]); err != nil {
		return r, fmt.Errorf("stored value does not decode as %s: %w", c.value.Name(), err)
	}
	return r, nil
}

// checkWaiting asks the entry of a row that was written as waiting: rows are not
// written again when they stop.
func (c *joinRows[V]) checkWaiting(r *joinRow[V], key []byte) (err error) {
	c.rowKey = AppendWaitKey(c.rowKey[:0], c.id, r.time, r.sequence, key)
	_, waits, err := c.view.Get(c.rowVal[:0], c.rowKey)
	if err == nil && !waits {
		r.flags &^= joinWaiting
	}
	return err
}

// ExpireBelow implements JoinRows.
func (c *joinRows[V]) ExpireBelow(time int64) { c.expired = max(c.expired, time) }

// Horizon implements Instance: the start of the first slice that is left.
func (c *joinRows[V]) Horizon() int64 { return c.horizon }

// Dirty implements Instance.
func (c *joinRows[V]) Dirty() int { return c.dirtyRows }

// Bytes implements Instance.
func (c *joinRows[V]) Bytes() int {
	n := c.ahead.bytes()
	for _, s := range c.cached {
		n += s.bytes()
	}
	return n
}
