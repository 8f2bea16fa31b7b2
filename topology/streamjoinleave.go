package topology

import (
	"cmp"
	"math"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// leaveBudget bounds how many rows leave without a partner inside one record. The
// others do so behind it, in portions, so that a clock which jumps over a million
// rows does not fill the memory before the next commit. None of them can be a
// partner of that record: their windows ended before its time.
const leaveBudget = 4 << 10

// leave looks at the rows that wait, if it is time to, and lets those leave that
// have waited long enough. lag is that of the side whose record is at hand.
//
// The rule is that of Kafka Streams, which looks only once stream time has passed
// Low by the lag, and then sets Low to the last row it has looked at: it stops
// behind the first rows of both sides that have to go on waiting, and otherwise
// goes to the end. Rows can leave late by it, but matching it record by record is
// what makes two engines agree, and the delay ends with the next look.
func (j *streamJoin[K, L, R, V]) leave(lag int64, t JoinTrigger) error {
	if !j.keepLeft && !j.keepRight || j.clock.Low == math.MaxInt64 || addTime(j.clock.Low, lag) >= j.clock.StreamTime {
		return nil
	}
	low, err := j.lastLookedAt(j.clock.StreamTime)
	if err != nil {
		return &NodeError{Node: j.n.name, Err: err}
	}
	trigger := t // t itself would be allocated for every record
	j.clock.Low, j.clock.Leaving = low, &trigger
	_, err = j.drain(leaveBudget)
	j.inst.at = j.n
	return err
}

// lastLookedAt is the time of the last row that Kafka Streams would visit.
func (j *streamJoin[K, L, R, V]) lastLookedAt(streamTime int64) (int64, error) {
	l, okLeft, err := waitingFrom(j.keepLeft, j.left, streamTime-j.leftReach.lag)
	if err != nil {
		return 0, err
	}
	r, okRight, err := waitingFrom(j.keepRight, j.right, streamTime-j.rightReach.lag)
	if err != nil {
		return 0, err
	}
	if !okLeft || !okRight {
		return j.lastOfAll()
	}
	// The row behind the later one of the two. Of equal times the right side comes
	// first.
	if l.Time < r.Time {
		return j.behind(r.Time, func() (state.WaitingKey, bool, error) { return j.right.WaitingBehind(r) },
			func() (state.WaitingKey, bool, error) { return j.left.WaitingFrom(r.Time) })
	}
	return j.behind(l.Time, func() (state.WaitingKey, bool, error) { return j.left.WaitingBehind(l) },
		func() (state.WaitingKey, bool, error) { return j.right.WaitingFrom(addTime(l.Time, 1)) })
}

// behind is the time of the first row that one of two searches finds, or else t.
func (j *streamJoin[K, L, R, V]) behind(t int64, searches ...func() (state.WaitingKey, bool, error)) (int64, error) {
	found := int64(math.MaxInt64)
	for _, search := range searches {
		k, ok, err := search()
		if err != nil {
			return 0, err
		}
		if ok {
			found = min(found, k.Time)
		}
	}
	if found == math.MaxInt64 {
		return t, nil
	}
	return found, nil
}

// lastOfAll is the time of the last row that waits, and the largest time if none
// does.
func (j *streamJoin[K, L, R, V]) lastOfAll() (int64, error) {
	last, found := int64(0), false
	for _, side := range []interface {
		LastWaiting() (int64, bool, error)
	}{j.left, j.right} {
		t, ok, err := side.LastWaiting()
		if err != nil {
			return 0, err
		}
		if ok {
			last, found = max(last, t), true
		}
	}
	if !found {
		return math.MaxInt64, nil
	}
	return last, nil
}

func waitingFrom[V any](keep bool, rows state.JoinRows[V], t int64) (k state.WaitingKey, ok bool, err error) {
	if !keep {
		return k, false, nil
	}
	return rows.WaitingFrom(max(t, 0))
}

// finish lets all rows leave that have to.
func (j *streamJoin[K, L, R, V]) finish() error {
	_, err := j.drain(math.MaxInt)
	return err
}

// drain lets rows leave by time, the right side first, then key, and returns what
// is left of the budget: none if others have to follow.
func (j *streamJoin[K, L, R, V]) drain(budget int) (left int, err error) {
	t := j.clock.Leaving
	if t == nil {
		return budget, nil
	}
	for {
		l, okLeft, err := waitingFrom(j.keepLeft, j.left, 0)
		if err != nil {
			return 0, &NodeError{Node: j.n.name, Err: err}
		}
		r, okRight, err := waitingFrom(j.keepRight, j.right, 0)
		if err != nil {
			return 0, &NodeError{Node: j.n.name, Err: err}
		}
		okLeft = okLeft && addTime(l.Time, j.leftReach.lag) < t.Time
		okRight = okRight && addTime(r.Time, j.rightReach.lag) < t.Time
		var n int
		switch {
		case !okLeft && !okRight:
			j.clock.Leaving = nil
			return budget, nil
		case budget <= 0:
			j.inst.closing = true
			return 0, nil
		case okRight && (!okLeft || cmp.Compare(r.Time, l.Time) <= 0):
			n, err = j.leaveRight(r, t)
		default:
			n, err = j.leaveLeft(l, t)
		}
		if err != nil {
			return 0, err
		}
		budget -= n
	}
}

func (j *streamJoin[K, L, R, V]) leaveLeft(k state.WaitingKey, t *JoinTrigger) (n int, err error) {
	if j.leftRows, err = j.left.Take(j.leftRows[:0], k); err != nil {
		return 0, &NodeError{Node: j.n.name, Err: err}
	}
	for _, row := range j.leftRows {
		if err := j.passOn(k, t, processor.Some(row.Value), processor.None[R]()); err != nil {
			return 0, err
		}
	}
	return len(j.leftRows), nil
}

func (j *streamJoin[K, L, R, V]) leaveRight(k state.WaitingKey, t *JoinTrigger) (n int, err error) {
	if j.rightRows, err = j.right.Take(j.rightRows[:0], k); err != nil {
		return 0, &NodeError{Node: j.n.name, Err: err}
	}
	for _, row := range j.rightRows {
		if err := j.passOn(k, t, processor.None[L](), processor.Some(row.Value)); err != nil {
			return 0, err
		}
	}
	return len(j.rightRows), nil
}

// passOn passes on a result without a partner.
func (j *streamJoin[K, L, R, V]) passOn(k state.WaitingKey, t *JoinTrigger, l processor.Opt[L], r processor.Opt[R]) error {
	j.inst.at = j.n
	key, err := j.store.Left().ResultKey(k.Key)
	if err != nil {
		return &NodeError{Node: j.n.name, Err: err}
	}
	return j.next(processor.Record[K, V]{Key: key, Value: j.join(l, r),
		Time: processor.Timestamp(k.Time), Headers: t.Headers, Origin: t.Origin})
}
