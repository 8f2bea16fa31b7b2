package serde_test

import (
	"math"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

var times = []time.Time{time.UnixMilli(0), time.UnixMilli(-1), time.UnixMilli(1_700_000_000_123),
	time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)}

func TestTime(t *testing.T) {
	serdetest.Run(t, serde.Time, times, time.Time.Equal)
	wantHex(t, serde.Time, time.UnixMilli(258), "00 00 00 00 00 00 01 02")
	wantJSON(t, serde.Time, time.UnixMilli(1_700_000_000_120), `"2023-11-14T22:13:20.120Z"`)
	wantText(t, serde.Time, "2023-11-14T23:13:20+01:00", time.UnixMilli(1_700_000_000_000))
	wantText(t, serde.Time, "-5", time.UnixMilli(-5))
	wantNull(t, serde.Time)
	refusesJSON(t, serde.Time, "17", `"yesterday"`, `""`)
	refusesText(t, serde.Time, "", "yesterday")
}

func TestOrderedTime(t *testing.T) {
	serdetest.Run(t, serde.OrderedTime, times, time.Time.Equal)
	serdetest.RunOrdered(t, serde.OrderedTime, times, time.Time.Compare)
	wantHex(t, serde.OrderedTime, time.UnixMilli(-1), "7f ff ff ff ff ff ff ff")
	wantJSON(t, serde.OrderedTime, time.UnixMilli(-1), `"1969-12-31T23:59:59.999Z"`)
	wantText(t, serde.OrderedTime, "17", time.UnixMilli(17))
	wantNull(t, serde.OrderedTime)
	refusesJSON(t, serde.OrderedTime, "17")
	refusesText(t, serde.OrderedTime, "x")
}

func TestTimeIsCutToMillisecondsInUTC(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	for _, s := range []serde.Serde[time.Time]{serde.Time, serde.OrderedTime} {
		for in, want := range map[time.Time]time.Time{
			time.Unix(1, 999_999_999).In(berlin): time.UnixMilli(1999),
			time.Unix(-1, 1):                     time.UnixMilli(-1000),
		} {
			got, err := s.Decode(encode(t, s, in))
			if err != nil || !got.Equal(want) || got.Location() != time.UTC {
				t.Errorf("%s: %v comes back as %v, %v, want %v in UTC", s.Name(), in, got, err, want)
			}
		}
	}
}

func TestTimeOutOfRange(t *testing.T) {
	for _, s := range []serde.Serde[time.Time]{serde.Time, serde.OrderedTime} {
		for _, ms := range []int64{math.MaxInt64, math.MinInt64} {
			b := encode(t, s, time.UnixMilli(ms)) // the last ones that fit
			_, err := s.(serde.Transcoder).AppendJSON(nil, b)
			wantError(t, err, s.Name(), "RFC 3339")
		}
		for _, sec := range []int64{math.MaxInt64/1000 + 1, math.MinInt64/1000 - 1, math.MaxInt64 / 2} {
			_, err := s.Append(nil, time.Unix(sec, 0))
			wantError(t, err, s.Name(), "does not fit")
		}
	}
}
