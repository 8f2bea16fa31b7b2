package serde_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

type reading struct {
	Meter string         `json:"meter"`
	KWh   float64        `json:"kwh"`
	Tags  map[string]int `json:"tags,omitempty"`
	Raw   []byte         `json:"raw,omitempty"`
}

// celsius writes its own JSON, by a method of the pointer.
type celsius struct{ degrees string }

func (c *celsius) MarshalJSON() ([]byte, error) { return json.Marshal(c.degrees + "C") }

func (c *celsius) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	c.degrees = strings.TrimSuffix(s, "C")
	return nil
}

var jsonReading = serde.JSON[reading]()

func TestJSON(t *testing.T) {
	serdetest.Run(t, jsonReading, []reading{{}, {Meter: "<m17>", KWh: 2.5},
		{Meter: "m\n\u2028", Tags: map[string]int{"b": 1, "a": 2}, Raw: []byte{0, 255}}}, nil)
	serdetest.Run(t, serde.JSON[*reading](), []*reading{nil, {}, {Meter: "m17"}}, nil)
	serdetest.Run(t, serde.JSON[[]int](), [][]int{nil, {}, {1, 2}}, nil)
	serdetest.Run(t, serde.JSON[any](), []any{nil, "x", 1.5, []any{true}}, nil)
	serdetest.Run(t, serde.JSON[json.RawMessage](), []json.RawMessage{[]byte(`{"a":12345678901234567890}`)}, nil)
	serdetest.Run(t, serde.JSON[celsius](), []celsius{{"20"}, {""}}, nil)
	if b := encode(t, jsonReading, reading{Meter: "<m17>", KWh: 1}); string(b) != `{"meter":"<m17>","kwh":1}` {
		t.Errorf("encoding %s", b)
	}
}

func TestJSONNullIsNotAZeroValue(t *testing.T) {
	for _, text := range []string{"null", " null\n"} {
		if _, err := jsonReading.Decode([]byte(text)); !errors.Is(err, serde.ErrNull) {
			t.Errorf("Decode(%q) = %v, want ErrNull", text, err)
		}
	}
	wantNull(t, jsonReading)
}

func TestJSONErrors(t *testing.T) {
	wantDecodeError(t, jsonReading, []byte{}, "decode 0 bytes")
	wantDecodeError(t, jsonReading, []byte(`{"meter":17}`), "decode 12 bytes", "meter")
	refusesJSON(t, jsonReading, "", "{", `{"metre":"m17"}`, `{} {}`, `{"kwh":"2"}`, "{\"meter\":\"\xff\"}")
	dst := []byte("dst")
	out, err := serde.JSON[float64]().Append(dst, math.NaN())
	if err == nil || string(out) != "dst" {
		t.Errorf("Append(NaN) = %q, %v, want an error and dst", out, err)
	}
	if got, err := jsonReading.Decode([]byte(`{"meter":"m","kwh":"x"}`)); err == nil || got.Meter != "" {
		t.Errorf("Decode = %v, %v, want an error and the zero value", got, err)
	}
}

func TestJSONOverHTTP(t *testing.T) {
	tc := jsonReading.(serde.Transcoder)
	stored := []byte("{\"kwh\": 1.50,\n \"unit\": \"kWh\"}") // written by another program
	if got, err := tc.AppendJSON(nil, stored); err != nil || string(got) != `{"kwh":1.50,"unit":"kWh"}` {
		t.Errorf("AppendJSON = %s, %v, want the stored text, compact", got, err)
	}
	for _, bad := range []string{"", "{", "{}x", "\"\xff\""} {
		if got, err := tc.AppendJSON([]byte("dst"), []byte(bad)); err == nil || string(got) != "dst" {
			t.Errorf("AppendJSON(%q) = %q, %v, want an error and dst", bad, got, err)
		}
	}
	sent := `{"kwh": 1.50, "meter": "m17"}`
	if got, err := tc.FromJSON(nil, []byte(sent)); err != nil || string(got) != `{"meter":"m17","kwh":1.5}` {
		t.Errorf("FromJSON = %s, %v, want the bytes that Append writes", got, err)
	}
}
