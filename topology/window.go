package topology

import (
	"fmt"
	"math"
	"time"
)

// Windows says how event time is cut into windows. Build values with [Tumbling]
// and [Hopping].
//
// The rules are those of Kafka Streams 4.3: windows begin at multiples of the
// advance from the epoch and never below it, contain their start and not their
// end, and are closed once end + grace <= stream time, where stream time is the
// highest event time that reached the operator in its task, the record at hand
// included.
type Windows struct {
	size, advance, grace time.Duration
	kind                 string
}

// Tumbling cuts time into windows of the given size, one after the other.
func Tumbling(size time.Duration) Windows {
	return Windows{size: size, advance: size, kind: "tumbling"}
}

// Hopping makes windows of the given size begin every advance, so that each
// record belongs to about size/advance of them.
func Hopping(size, advance time.Duration) Windows {
	return Windows{size: size, advance: advance, kind: "hopping"}
}

// Grace accepts records for a window until stream time has passed its end by d.
// The default is none: a record is late as soon as its window has ended.
func (w Windows) Grace(d time.Duration) Windows {
	w.grace = d
	return w
}

// String describes the windows in words.
func (w Windows) String() string {
	s := fmt.Sprintf("%s %v", w.kind, w.size)
	if w.kind == "hopping" {
		s += fmt.Sprintf(" by %v", w.advance)
	}
	return fmt.Sprintf("%s, grace %v", s, w.grace)
}

// check returns what is wrong with the windows, or "".
func (w Windows) check() string {
	whole := func(d time.Duration) bool { return d%time.Millisecond == 0 }
	switch {
	case w.kind == "":
		return "the windows are empty; use Tumbling or Hopping"
	case w.size < time.Millisecond:
		return fmt.Sprintf("window size %v is too short; use at least 1ms", w.size)
	case w.advance < time.Millisecond || w.advance > w.size:
		return fmt.Sprintf("advance %v must be between 1ms and the window size %v", w.advance, w.size)
	case w.grace < 0:
		return fmt.Sprintf("grace %v is negative; use 0 or more", w.grace)
	case w.size > math.MaxInt64-w.grace:
		return fmt.Sprintf("size %v plus grace %v is too long; choose a shorter grace", w.size, w.grace)
	case !whole(w.size) || !whole(w.advance) || !whole(w.grace):
		return "size, advance and grace must be whole milliseconds"
	}
	return ""
}

// windowMath is Windows in milliseconds.
type windowMath struct{ size, advance, grace int64 }

func (w Windows) math() windowMath {
	return windowMath{w.size.Milliseconds(), w.advance.Milliseconds(), w.grace.Milliseconds()}
}

// first returns the start of the oldest window that contains ts >= 0.
func (m windowMath) first(ts int64) int64 {
	from := max(0, ts-m.size+m.advance)
	return from - from%m.advance
}

// closedThrough returns the largest start whose window is closed at a stream
// time, or a negative number if none is. It need not be a multiple of advance.
func (m windowMath) closedThrough(streamTime int64) int64 { return streamTime - m.grace - m.size }
