package serde_test

import (
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// allocs holds Append into a buffer of enough capacity at no allocation, and
// decode at no more than the given number.
func allocs[T any](t *testing.T, s serde.Serde[T], v T, decoding float64, decode func([]byte) (T, error)) {
	t.Helper()
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(200, func() { buf, _ = s.Append(buf[:0], v) }); n != 0 {
		t.Errorf("%s: Append allocates %v times, want 0", s.Name(), n)
	}
	if n := testing.AllocsPerRun(200, func() { _, _ = decode(buf) }); n > decoding {
		t.Errorf("%s: decoding allocates %v times, want %v", s.Name(), n, decoding)
	}
}

func alias[T any](s serde.Serde[T]) func([]byte) (T, error) {
	return any(s).(serde.Aliaser[T]).DecodeAlias
}

func TestAllocations(t *testing.T) {
	const key = "a meter of some other town" // too long for the small strings of the run-time
	w := windowKey{Key: key, Start: 0, End: 3_600_000}
	allocs(t, serde.Int64, 1<<40, 0, serde.Int64.Decode)
	allocs(t, serde.Int32, 1<<20, 0, serde.Int32.Decode)
	allocs(t, serde.Float64, 2.5, 0, serde.Float64.Decode)
	allocs(t, serde.Bool, true, 0, serde.Bool.Decode)
	allocs(t, serde.Time, time.UnixMilli(1), 0, serde.Time.Decode)
	allocs(t, serde.OrderedInt64, 1<<40, 0, serde.OrderedInt64.Decode)
	allocs(t, serde.OrderedFloat64, 2.5, 0, serde.OrderedFloat64.Decode)
	allocs(t, serde.OrderedTime, time.UnixMilli(1), 0, serde.OrderedTime.Decode)
	allocs(t, serde.String, key, 1, serde.String.Decode)
	allocs(t, serde.String, key, 0, alias(serde.String))
	allocs(t, serde.Bytes, []byte(key), 1, serde.Bytes.Decode)
	allocs(t, serde.Bytes, []byte(key), 0, alias(serde.Bytes))
	allocs(t, serde.Nullable(serde.String), processor.Some(key), 0, alias(serde.Nullable(serde.String)))
	allocs(t, hourly, w, 1, hourly.Decode)
	allocs(t, hourly, w, 0, alias(hourly))
	allocs(t, sessions, w, 0, alias(sessions))
	allocs[orderKey](t, orderKeys, serde.MakeTuple2(key, int64(1)), 1, orderKeys.Decode)
	allocs[orderKey](t, orderKeys, serde.MakeTuple2(key, int64(1)), 0, orderKeys.DecodeAlias)
}
