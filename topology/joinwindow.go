package topology

import (
	"fmt"
	"math"
	"time"
)

// JoinWindow says how far the times of two records may lie apart for them to
// meet: a left record at t meets the right records from t - before to t + after,
// both ends included. Make it with [Within] or [Between].
type JoinWindow struct {
	before, after, grace time.Duration
}

// Within is a window of d to either side.
func Within(d time.Duration) JoinWindow { return JoinWindow{before: d, after: d} }

// Between is a window of its own length to each side of a left record. One of them
// may be negative: Between(-time.Minute, time.Hour) meets right records that come
// between a minute and an hour later.
func Between(before, after time.Duration) JoinWindow { return JoinWindow{before: before, after: after} }

// Grace returns the window with a grace period: how long, in stream time, records
// are remembered and wait for a partner beyond the window, for those that come out
// of order. The default is none.
func (w JoinWindow) Grace(d time.Duration) JoinWindow {
	w.grace = d
	return w
}

// String describes the window, as Describe shows it.
func (w JoinWindow) String() string {
	s := "within " + w.before.String()
	if w.before != w.after {
		s = fmt.Sprintf("%v before to %v after", w.before, w.after)
	}
	if w.grace > 0 {
		s += ", grace " + w.grace.String()
	}
	return s
}

// check names what is wrong, and the fix.
func (w JoinWindow) check() string {
	for _, d := range []time.Duration{w.before, w.after, w.grace} {
		if d%time.Millisecond != 0 {
			return fmt.Sprintf("the duration %v is not a whole number of milliseconds; round it", d)
		}
	}
	switch {
	case w.grace < 0:
		return fmt.Sprintf("the grace %v is negative; use 0 for none", w.grace)
	case w.before+w.after < 0:
		return fmt.Sprintf("no time lies between %v before and %v after; make their sum 0 or more", w.before, w.after)
	case max(w.before, w.after, w.grace) > maxJoinReach:
		return fmt.Sprintf("its parts are longer than %v; use shorter ones", maxJoinReach)
	}
	return ""
}

// maxJoinReach keeps the sum of the parts a time.Duration.
const maxJoinReach = math.MaxInt64 / 4 * time.Nanosecond

// span is how far apart the records of one key that meet can lie.
func (w JoinWindow) span() time.Duration { return max(0, w.before+w.after) }

// retention is how long a record is remembered behind the newest of its side.
func (w JoinWindow) retention() time.Duration { return w.span() + w.grace }

// sides are the window as each side sees it, in milliseconds.
func (w JoinWindow) sides() (left, right joinReach) {
	before, after, grace := w.before.Milliseconds(), w.after.Milliseconds(), w.grace.Milliseconds()
	retention := w.retention().Milliseconds()
	return joinReach{before, after, after + grace, retention}, joinReach{after, before, before + grace, retention}
}

// joinReach is where a record of one side looks for partners, and how long.
type joinReach struct {
	before, after int64
	lag           int64 // without a partner it leaves when stream time is beyond its time by more
	retention     int64
}

// partners are the times at which a record at t may meet one.
func (r joinReach) partners(t int64) (from, to int64) {
	return max(0, addTime(t, -r.before)), max(0, addTime(t, r.after))
}

// addTime adds a duration to a time, both in milliseconds, and stays at the
// largest time.
func addTime(t, d int64) int64 {
	if d > 0 && t > math.MaxInt64-d {
		return math.MaxInt64
	}
	return t + d
}
