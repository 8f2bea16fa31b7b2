package processor

import (
	"fmt"
	"time"
)

// Timestamp is an event time in milliseconds since the Unix epoch, UTC. A valid
// record never has a negative one.
type Timestamp int64

// NoTime is the stream time of a party that has not seen a record yet.
const NoTime Timestamp = -1

// TimestampOf converts t, cutting it to the millisecond.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMilli()) }

// Time converts to a time in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add returns t+d, d cut to the millisecond.
func (t Timestamp) Add(d time.Duration) Timestamp { return t + Timestamp(d.Milliseconds()) }

// String formats as RFC 3339 with milliseconds.
func (t Timestamp) String() string { return t.Time().Format("2006-01-02T15:04:05.000Z07:00") }

// Header is a name and a value that travel with a record. A nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Origin says where in the log a record came from. A record made by the engine
// (a punctuation, a window close) has the zero Origin.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String formats as topic-partition@offset.
func (o Origin) String() string {
	if o.Topic == "" {
		return "(no origin)"
	}
	return fmt.Sprintf("%s-%d@%d", o.Topic, o.Partition, o.Offset)
}

// Record is one unit of a stream. It is passed by value; Headers and whatever
// Key and Value point to are shared and must not be changed.
type Record[K, V any] struct {
	Key     K
	Value   V
	Time    Timestamp
	Headers []Header
	Origin  Origin
}

// WithKey returns a record with the time, headers and origin of r and the given
// key and value: the way to derive a record without losing where it came from.
func WithKey[K, V, K2, V2 any](r Record[K, V], key K2, value V2) Record[K2, V2] {
	return Record[K2, V2]{Key: key, Value: value, Time: r.Time, Headers: r.Headers, Origin: r.Origin}
}

// Windowed is the key of a row that belongs to a window: the grouped key and
// the window [Start, End), End exclusive for tumbling and hopping windows.
type Windowed[K any] struct {
	Key        K
	Start, End Timestamp
}

// String formats as key@[start,end).
func (w Windowed[K]) String() string {
	return fmt.Sprintf("%v@[%d,%d)", w.Key, w.Start, w.End)
}
