package serde_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

type windowKey = processor.Windowed[string]

var (
	hourly   = serde.TimeWindowed(serde.String, time.Hour)
	sessions = serde.SessionWindowed(serde.String)
)

func TestTimeWindowed(t *testing.T) {
	serdetest.Run(t, hourly, []windowKey{{Key: "", Start: 0, End: 3_600_000}, {Key: "m17", Start: 1_700_000_000_000, End: 1_700_003_600_000}}, nil)
	serdetest.Run(t, serde.TimeWindowed(serde.Bytes, time.Second), []processor.Windowed[[]byte]{{Key: []byte{0, 255}, End: 1000}}, nil)
	if got := hourly.Name(); got != "time-windowed(string,1h0m0s)" {
		t.Errorf("name %q", got)
	}
	wantHex(t, hourly, windowKey{Key: "m17", Start: 258, End: 3_600_258}, "6d3137 0000000000000102")
	wantHex(t, hourly, windowKey{Key: "m17", Start: 258}, "6d3137 0000000000000102")
	wantJSON(t, hourly, windowKey{Key: "m17"}, `{"key":"m17","start":"1970-01-01T00:00:00.000Z","end":"1970-01-01T01:00:00.000Z"}`)
	wantJSON(t, serde.TimeWindowed(serde.Bytes, time.Second), processor.Windowed[[]byte]{Key: []byte("m17")},
		`{"key_base64":"bTE3","start":"1970-01-01T00:00:00.000Z","end":"1970-01-01T00:00:01.000Z"}`)
	wantDecodeError(t, hourly, []byte("short"), "have 5 bytes", "at least 8")
	wantDecodeError(t, hourly, append([]byte("m17"), bytes.Repeat([]byte{255}, 8)...), "window start -1 ms")
	wantDecodeError(t, hourly, append([]byte{0x7f}, bytes.Repeat([]byte{255}, 7)...), "too far ahead")
	wantDecodeError(t, serde.TimeWindowed(serde.Int64, time.Hour), make([]byte, 9), "key", "have 1 bytes, want 8")
}

func TestTimeWindowedRefusesOtherWindows(t *testing.T) {
	for _, w := range []windowKey{{Key: "m17", Start: 0, End: 60_000}, {Key: "m17", Start: -1}, {Key: "m17", Start: math.MaxInt64}} {
		out, err := hourly.Append([]byte("dst"), w)
		if wantError(t, err, hourly.Name()); string(out) != "dst" {
			t.Errorf("Append(%v) returns %q, want dst", w, out)
		}
	}
	for _, size := range []time.Duration{0, -time.Second, time.Millisecond + 1, time.Microsecond} {
		s := serde.TimeWindowed(serde.String, size)
		wantError(t, serde.Check(s), s.Name(), "window size")
		_, err := s.Append(nil, windowKey{Key: "m17"})
		wantError(t, err, "window size")
		wantDecodeError(t, s, make([]byte, 8), "window size")
	}
	bad := serde.TimeWindowed(serde.String, 0)
	for name, s := range map[string]any{"nullable": serde.Nullable(bad), "session": serde.SessionWindowed(bad),
		"window": serde.TimeWindowed(bad, time.Hour), "first": serde.Tuple(bad, serde.String), "second": serde.Tuple(serde.String, bad)} {
		if err := serde.Check(s); err == nil {
			t.Errorf("Check does not find the bad window size inside %s", name)
		}
	}
	if err := serde.Check(hourly); err != nil {
		t.Error(err)
	}
}

func TestTimeWindowedFromJSON(t *testing.T) {
	tc := hourly.(serde.Transcoder)
	want := encode(t, hourly, windowKey{Key: "m17", Start: 3_600_000})
	for _, text := range []string{
		`{"key":"m17","start":"1970-01-01T01:00:00Z"}`,
		`{"key":"m17","start":"1970-01-01T02:00:00+01:00","end":"1970-01-01T02:00:00Z"}`,
		`{"key_base64":"bTE3","start":"1970-01-01T01:00:00.000Z"}`,
	} {
		if got, err := tc.FromJSON(nil, []byte(text)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("FromJSON(%s) = %x, %v, want %x", text, got, err, want)
		}
	}
	wantNull(t, hourly)
	refusesJSON(t, hourly, "", "[]", "{}", `{"key":"m17"}`, `{"start":"1970-01-01T01:00:00Z"}`,
		`{"key":"m17","start":"1970-01-01T01:00:00Z","end":"1970-01-01T01:30:00Z"}`,
		`{"key":"m17","start":"1970-01-01T01:00:00Z","end":"x"}`,
		`{"key":"m17","start":3600000}`, `{"key":"m17","start":"1969-01-01T00:00:00Z"}`,
		`{"key":17,"start":"1970-01-01T01:00:00Z"}`, `{"key":"m17","start":"1970-01-01T01:00:00Z","and":1}`)
	refusesJSON(t, serde.TimeWindowed(serde.Bytes, time.Hour), `{"key":"m17","start":"1970-01-01T01:00:00Z"}`)
}

func TestSessionWindowed(t *testing.T) {
	serdetest.Run(t, sessions, []windowKey{{}, {Key: "m17", Start: 5, End: 5}, {Key: "m17", Start: 5, End: 1_700_000_000_000}}, nil)
	if got := sessions.Name(); got != "session-windowed(string)" {
		t.Errorf("name %q", got)
	}
	wantHex(t, sessions, windowKey{Key: "m17", Start: 1, End: 2}, "6d3137 0000000000000002 0000000000000001")
	wantJSON(t, sessions, windowKey{Key: "m17", Start: 1, End: 2},
		`{"key":"m17","start":"1970-01-01T00:00:00.001Z","end":"1970-01-01T00:00:00.002Z"}`)
	wantDecodeError(t, sessions, make([]byte, 15), "have 15 bytes", "at least 16")
	wantDecodeError(t, sessions, append(make([]byte, 15), 1), "session [1,0]")
	for _, w := range []windowKey{{Start: 2, End: 1}, {Start: -1, End: 1}} {
		_, err := sessions.Append(nil, w)
		wantError(t, err, sessions.Name())
	}
	wantNull(t, sessions)
	refusesJSON(t, sessions, `{"key":"m17","start":"1970-01-01T00:00:00Z"}`,
		`{"key":"m17","start":"1970-01-01T01:00:00Z","end":"1970-01-01T00:00:00Z"}`)
}

func TestWindowedKeysArePlacedByTheirKey(t *testing.T) {
	for _, s := range []serde.Serde[windowKey]{hourly, sessions} {
		p := s.(serde.Partitioned)
		if got := p.PartitionKey(encode(t, s, windowKey{Key: "m17", Start: 0, End: 3_600_000})); string(got) != "m17" {
			t.Errorf("%s: placed by %q, want m17", s.Name(), got)
		}
		if got := p.PartitionKey([]byte("short")); string(got) != "short" {
			t.Errorf("%s: short bytes placed by %q, want themselves", s.Name(), got)
		}
	}
}
