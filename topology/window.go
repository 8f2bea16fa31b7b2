package topology

import (
	"math"
	"time"
)

// Windows says how event time is cut into windows. Build values with [Tumbling],
// [Hopping], [Sliding], [Session] and [Unlimited].
//
// The rules are those of Kafka Streams 4.3. Stream time is the highest event time
// that reached the operator in its task, the record at hand included. Tumbling and
// hopping windows begin at multiples of the advance from the epoch and never below
// it, contain their start and not their end, and are closed once end + grace <=
// stream time. The others say their rules themselves.
type Windows struct {
	size, advance, grace time.Duration // size is the difference or the gap of sliding windows and sessions
	kind                 windowKind
	start                time.Time // of unlimited windows
}

// Tumbling cuts time into windows of the given size, one after the other.
func Tumbling(size time.Duration) Windows {
	return Windows{size: size, advance: size, kind: kindTumbling}
}

// Hopping makes windows of the given size begin every advance, so that each
// record belongs to about size/advance of them.
func Hopping(size, advance time.Duration) Windows {
	return Windows{size: size, advance: advance, kind: kindHopping}
}

// Grace accepts records for a window until stream time has passed its end by d.
// The default is none: a record is late as soon as its window has ended.
func (w Windows) Grace(d time.Duration) Windows {
	w.grace = d
	return w
}

// windowMath is Windows in milliseconds.
type windowMath struct {
	size, advance, grace int64
	unlimited            bool
	from                 int64 // of unlimited windows
}

func (w Windows) math() windowMath {
	m := windowMath{size: w.size.Milliseconds(), advance: w.advance.Milliseconds(), grace: w.grace.Milliseconds()}
	if w.kind == kindUnlimited {
		m = windowMath{size: math.MaxInt64, advance: math.MaxInt64, unlimited: true}
		if !w.start.IsZero() {
			m.from = w.start.UnixMilli()
		}
	}
	return m
}

// first returns the start of the oldest window that contains ts >= 0, or a
// negative number if none does.
func (m windowMath) first(ts int64) int64 {
	if m.unlimited {
		if ts < m.from {
			return -1
		}
		return m.from
	}
	from := max(0, ts-m.size+m.advance)
	return from - from%m.advance
}

// end returns the end of the window that begins at start.
func (m windowMath) end(start int64) int64 { return saturatingAdd(start, m.size) }

// closedThrough returns the largest start whose window is closed at a stream
// time, or a negative number if none is. It need not be a multiple of advance.
func (m windowMath) closedThrough(streamTime int64) int64 {
	if m.unlimited {
		return -1
	}
	return streamTime - m.grace - m.size
}
