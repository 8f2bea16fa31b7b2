package state

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// What waits is found in two places: slices in memory list it, all of it if they
// are complete; for the others the committed store has entries, of which some may
// be out of date until the next commit.

func (k WaitingKey) compare(o WaitingKey) int {
	return cmp.Or(cmp.Compare(k.Time, o.Time), bytes.Compare(k.Key, o.Key))
}

// WaitingFrom implements JoinRows.
func (c *joinRows[V]) WaitingFrom(time int64) (WaitingKey, bool, error) {
	return c.waitingAt(WaitingKey{Time: time})
}

// WaitingBehind implements JoinRows.
func (c *joinRows[V]) WaitingBehind(k WaitingKey) (WaitingKey, bool, error) {
	return c.waitingAt(WaitingKey{Time: k.Time, Key: behind(nonNil(k.Key))})
}

func nonNil(key []byte) []byte {
	if key == nil {
		return []byte{}
	}
	return key
}

func (c *joinRows[V]) waitingAt(point WaitingKey) (k WaitingKey, ok bool, err error) {
	for _, start := range c.cachedStarts() {
		if start+c.length-1 < point.Time {
			continue
		}
		if k, ok = c.cached[start].firstFrom(point); ok {
			break
		}
	}
	if !c.partial() {
		return k, ok, nil
	}
	stored, found, err := c.storedWaiting(point)
	if err != nil {
		return k, false, fmt.Errorf("store %s: scan: %w", c.spec.Name, err)
	}
	if found && (!ok || stored.compare(k) < 0) {
		return stored, true, nil
	}
	return k, ok, nil
}

// partial says whether the committed store may have entries that no list has.
func (c *joinRows[V]) partial() bool {
	for start := range c.stored {
		if s := c.cached[start]; start >= c.horizon && (s == nil || !s.keys.complete) {
			return true
		}
	}
	return false
}

// aheadWaits are the next entries of the committed store behind a point.
type aheadWaits struct {
	list   []WaitingKey
	from   WaitingKey // the point
	loaded bool
	more   bool // others follow
	chunk  int
}

const (
	firstWaits = 16
	mostWaits  = 1024
)

func (a *aheadWaits) reset() { *a = aheadWaits{} }

func (a *aheadWaits) bytes() int { return 64 * cap(a.list) }

// storedWaiting finds the first entry of the committed store at or behind a point
// that no complete list has and that is still true.
func (c *joinRows[V]) storedWaiting(point WaitingKey) (k WaitingKey, ok bool, err error) {
	point.Time = max(point.Time, c.horizon)
	a := &c.ahead
	if !a.loaded || point.compare(a.from) < 0 {
		if err := c.loadAhead(point); err != nil {
			return k, false, err
		}
	}
	for {
		i, _ := slices.BinarySearchFunc(a.list, point, WaitingKey.compare)
		for ; i < len(a.list); i++ {
			if c.entryHolds(a.list[i]) {
				return a.list[i], true, nil
			}
		}
		if !a.more {
			return k, false, nil
		}
		last := a.list[len(a.list)-1]
		if point.compare(last) < 0 {
			point = WaitingKey{Time: last.Time, Key: behind(last.Key)}
		}
		if err := c.loadAhead(point); err != nil {
			return k, false, err
		}
	}
}

func (c *joinRows[V]) loadAhead(from WaitingKey) error {
	_, upper := joinSlices(c.id, joinWaitsPart, 0, -1)
	it, err := c.view.Iter(appendWaitPrefix(nil, c.id, from.Time, from.Key), upper, false)
	if err != nil {
		return err
	}
	defer it.Close()
	a := &c.ahead
	a.chunk = min(max(2*a.chunk, firstWaits), mostWaits)
	a.list, a.from, a.loaded, a.more = a.list[:0:0], from, true, false
	for it.Next() {
		time, key, err := splitWaitKey(it.Key())
		if err != nil {
			return err
		}
		k := WaitingKey{Time: time, Key: key}
		if n := len(a.list); n > 0 && a.list[n-1].compare(k) == 0 {
			continue // another row of the same key and time
		}
		if len(a.list) == a.chunk {
			a.more = true
			break
		}
		a.list = append(a.list, k)
	}
	return it.Err()
}

// entryHolds says whether an entry of the committed store counts: its slice does
// not list it, or not for sure, and its rows have not stopped waiting.
func (c *joinRows[V]) entryHolds(k WaitingKey) bool {
	s := c.cached[c.spec.sliceOf(k.Time)]
	if s == nil {
		return true
	}
	if s.keys.complete {
		return false
	}
	p := s.keys.find(k.Key, HashKey(k.Key))
	if p < 0 || !s.keys.rows[p].value.known {
		return true
	}
	for next := s.keys.rows[p].value.newest; next != 0; {
		r := &s.rows[next-1]
		if r.time < k.Time {
			return false
		}
		if r.time == k.Time && r.flags&joinWaiting != 0 {
			return true
		}
		next = r.older
	}
	return false
}

// LastWaiting implements JoinRows.
func (c *joinRows[V]) LastWaiting() (time int64, ok bool, err error) {
	starts := c.cachedStarts()
	for i := len(starts) - 1; i >= 0 && !ok; i-- {
		s := c.cached[starts[i]]
		if s.order(); s.head < len(s.waits) {
			time, ok = s.waiting(len(s.waits)-1).Time, true
		}
	}
	if !c.partial() {
		return time, ok, nil
	}
	lower, upper := joinSlices(c.id, joinWaitsPart, c.horizon, -1)
	it, err := c.view.Iter(lower, upper, true)
	if err != nil {
		return 0, false, fmt.Errorf("store %s: scan: %w", c.spec.Name, err)
	}
	defer it.Close()
	for it.Next() {
		at, key, err := splitWaitKey(it.Key())
		if err != nil {
			return 0, false, fmt.Errorf("store %s: %w", c.spec.Name, err)
		}
		if ok && at <= time {
			break
		}
		if c.entryHolds(WaitingKey{Time: at, Key: key}) {
			return at, true, nil
		}
	}
	return time, ok, it.Err()
}

// Take implements JoinRows.
func (c *joinRows[V]) Take(dst []JoinRow[V], k WaitingKey) ([]JoinRow[V], error) {
	s := c.slice(c.spec.sliceOf(k.Time), true)
	next := k.row
	if next == 0 || !s.keys.complete {
		p, err := c.known(s, k.Key, HashKey(k.Key))
		if err != nil || p < 0 {
			return dst, err
		}
		next = s.keys.rows[p].value.newest
	}
	mark := len(dst)
	for next != 0 {
		r := &s.rows[next-1]
		if r.time < k.Time {
			break
		}
		if r.time == k.Time && r.flags&joinWaiting != 0 {
			r.flags &^= joinWaiting
			c.markDirty(s, next-1)
			dst = append(dst, JoinRow[V]{Time: r.time, Value: r.value})
		}
		next = r.older
	}
	slices.Reverse(dst[mark:])
	return dst, nil
}
