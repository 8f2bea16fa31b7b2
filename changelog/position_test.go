package changelog_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

func TestPositionRoundTrip(t *testing.T) {
	p := changelog.Position{Version: changelog.PositionVersion, Task: "app_3", Inputs: map[string]int64{"in": 7, "other": 0},
		StreamTime: 1_748_736_000_000, Clocks: json.RawMessage(`{"stream_time":5}`)}
	raw, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := changelog.DecodePosition(raw)
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Fatalf("got %+v, %v; want %+v", got, err, p)
	}
}

func TestNewerPositionIsRefused(t *testing.T) {
	for _, raw := range []string{`{"version":2,"task":"app_0"}`, `{"task":"app_0"}`} {
		if _, err := changelog.DecodePosition([]byte(raw)); err == nil || !strings.Contains(err.Error(), "app_0") {
			t.Errorf("%s: %v; want an error that names the task", raw, err)
		}
	}
}

func FuzzDecodePosition(f *testing.F) {
	f.Add([]byte(`{"version":1,"task":"app_0","inputs":{"in":1},"stream_time":-1,"clocks":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p changelog.Position
		var err error
		serdetest.Bounded(t, len(raw), func() { p, err = changelog.DecodePosition(raw) })
		if err != nil || p.Version != changelog.PositionVersion {
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatalf("%q decodes and does not encode: %v", raw, err)
		}
		if _, err := changelog.DecodePosition(again); err != nil {
			t.Fatalf("%q: its encoding does not decode: %v", raw, err)
		}
	})
}
