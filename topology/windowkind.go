package topology

import (
	"fmt"
	"math"
	"time"

	"github.com/tidemill/tidemill/state"
)

type windowKind string

const (
	kindTumbling  windowKind = "tumbling"
	kindHopping   windowKind = "hopping"
	kindSliding   windowKind = "sliding"
	kindSession   windowKind = "session"
	kindUnlimited windowKind = "unlimited"
)

// Sliding makes windows of records that are at most difference apart. A window
// holds both its ends. For each record there is one that ends with it and, if
// others of its key follow within the difference, one that begins 1 ms behind it;
// records before time difference share the window that begins at 0.
//
// A window changes until stream time has passed its end by more than the grace; a
// record is late once its time plus difference lies that far back. Records with a
// null value are dropped.
//
// As in Kafka Streams, the aggregate of a new window is taken over from its
// neighbours and not computed from records. A record that came so late that the
// window which ends with it had closed already can therefore be missing from
// windows that appear later.
func Sliding(difference time.Duration) Windows { return Windows{size: difference, kind: kindSliding} }

// Session makes a window of each run of records of a key that are at most gap
// apart: it begins and ends with a record. A record that lies between two sessions
// makes them one, and the aggregator needs a Merge for that.
//
// A record is late if the session that it would make, or be part of, ended more
// than gap + grace before stream time. Records with a null value count.
func Session(gap time.Duration) Windows { return Windows{size: gap, kind: kindSession} }

// Unlimited makes one window of all time, or of all time from [Windows.From]
// onwards, which never closes and never expires.
func Unlimited() Windows { return Windows{size: math.MaxInt64, kind: kindUnlimited} }

// From lets unlimited windows begin at start. Records before it are dropped and
// counted as late.
func (w Windows) From(start time.Time) Windows {
	w.start = start
	return w
}

// String describes the windows in words.
func (w Windows) String() string {
	switch w.kind {
	case kindUnlimited:
		if w.start.IsZero() {
			return string(w.kind)
		}
		return fmt.Sprintf("%s from %s", w.kind, w.start.UTC().Format(time.RFC3339Nano))
	case kindHopping:
		return fmt.Sprintf("%s %v by %v, grace %v", w.kind, w.size, w.advance, w.grace)
	case kindSession:
		return fmt.Sprintf("%s gap %v, grace %v", w.kind, w.size, w.grace)
	}
	return fmt.Sprintf("%s %v, grace %v", w.kind, w.size, w.grace)
}

// check returns what is wrong with the windows, or "".
func (w Windows) check() string {
	whole := func(d time.Duration) bool { return d%time.Millisecond == 0 }
	if problem := w.checkKind(); problem != "" {
		return problem
	}
	switch {
	case w.grace < 0:
		return fmt.Sprintf("grace %v is negative; use 0 or more", w.grace)
	case w.kind == kindUnlimited:
		return ""
	case w.size > (math.MaxInt64-w.grace)/2:
		return fmt.Sprintf("size %v plus grace %v is too long; choose a shorter grace", w.size, w.grace)
	case !whole(w.size) || !whole(w.advance) || !whole(w.grace):
		return "size, advance and grace must be whole milliseconds"
	}
	return ""
}

func (w Windows) checkKind() string {
	switch {
	case w.kind == "":
		return "the windows are empty; use Tumbling, Hopping, Sliding, Session or Unlimited"
	case w.kind != kindUnlimited && !w.start.IsZero():
		return fmt.Sprintf("From does not apply to %s windows; use it with Unlimited", w.kind)
	case w.kind == kindUnlimited && w.grace != 0:
		return "unlimited windows never close; remove Grace"
	case w.kind == kindUnlimited && !w.start.IsZero() && w.start.UnixMilli() < 0:
		return fmt.Sprintf("unlimited windows cannot begin at %v, before the epoch", w.start)
	case w.kind == kindSession && w.size < 0:
		return fmt.Sprintf("session gap %v is negative; use 0 or more", w.size)
	case w.kind != kindSession && w.size < time.Millisecond:
		return fmt.Sprintf("window size %v is too short; use at least 1ms", w.size)
	case (w.kind == kindTumbling || w.kind == kindHopping) && (w.advance < time.Millisecond || w.advance > w.size):
		return fmt.Sprintf("advance %v must be between 1ms and the window size %v", w.advance, w.size)
	}
	return ""
}

// spans says that the windows depend on the records of their key.
func (w *Windows) spans() bool { return w != nil && (w.kind == kindSession || w.kind == kindSliding) }

// leastRetention is how long rows must be kept for the aggregation itself.
func (w *Windows) leastRetention() time.Duration {
	switch w.kind {
	case kindUnlimited:
		return math.MaxInt64
	case kindSliding:
		return 2*w.size + w.grace
	}
	return w.size + w.grace
}

func (w *Windows) retentionRule() string {
	switch w.kind {
	case kindSession:
		return "gap plus grace"
	case kindSliding:
		return "twice the difference plus grace"
	}
	return "window size plus grace"
}

// storeKind is the shape of the store that the windows need, and the function that
// makes its handle.
func (w *Windows) storeKind() (kind state.Kind, handle string) {
	switch {
	case w == nil:
		return state.KindKeyValue, "state.KeyValue"
	case w.kind == kindSession:
		return state.KindSession, "state.Session"
	case w.kind == kindSliding:
		return state.KindSliding, "state.Window"
	}
	return state.KindWindow, "state.Window"
}

// closeLag is how far stream time must have passed the end of a window for it to
// change no more. Time windows are closed when it has come so far, sliding windows
// and sessions when it has gone further.
func (w *Windows) closeLag() int64 {
	if w.kind == kindSession {
		return (w.size + w.grace).Milliseconds()
	}
	return w.grace.Milliseconds()
}

// saturatingAdd returns a + b for b >= 0, or the largest number if that is larger.
func saturatingAdd(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
