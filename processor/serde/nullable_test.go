package serde_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

// textOnly is a serde with a text form and no JSON form.
type textOnly struct{ serde.Serde[[]byte] }

func (textOnly) FromText(dst []byte, text string) ([]byte, error) { return append(dst, text...), nil }

func TestNullable(t *testing.T) {
	s := serde.Nullable(serde.String)
	serdetest.Run(t, s, []processor.Opt[string]{processor.Some(""), processor.Some("x")}, nil)
	serdetest.Run(t, serde.Nullable(serde.Bytes), []processor.Opt[[]byte]{processor.Some([]byte{}), processor.Some([]byte("x"))}, nil)
	serdetest.Run(t, serde.Nullable(jsonReading), []processor.Opt[reading]{processor.Some(reading{Meter: "x"})}, nil)
	if s.Name() != "string" {
		t.Errorf("name %q, want that of the inner serde", s.Name())
	}
	if got, err := s.Decode(nil); err != nil || got.OK {
		t.Errorf("Decode(nil) = %v, %v, want null", got, err)
	}
	if got, err := s.Decode([]byte{}); err != nil || got != processor.Some("") {
		t.Errorf("Decode of no bytes = %v, %v, want the empty string", got, err)
	}
	out, err := s.Append([]byte("dst"), processor.None[string]())
	if wantError(t, err, "string", "append called for null"); string(out) != "dst" {
		t.Errorf("Append(null) returns %q, want dst", out)
	}
	wantDecodeError(t, serde.Nullable(serde.Int64), []byte{}, "want 8")
}

func TestNullableJSON(t *testing.T) {
	s := serde.Nullable(serde.JSON[*reading]())
	tc := s.(serde.Transcoder)
	if got, err := tc.AppendJSON(nil, nil); err != nil || string(got) != "null" {
		t.Errorf("AppendJSON(nil) = %s, %v, want null", got, err)
	}
	wantNull(t, s) // although JSON[*reading] itself accepts it
}

func TestNullableHasTheFormsOfItsSerde(t *testing.T) {
	for _, c := range []struct {
		s          any
		json, text bool
	}{
		{serde.Nullable(serde.String), true, true},
		{serde.Nullable(jsonReading), true, false},
		{serde.Nullable(serde.Bytes), false, false},
		{serde.Nullable[[]byte](textOnly{serde.Bytes}), false, true},
	} {
		_, json := c.s.(serde.Transcoder)
		_, text := c.s.(serde.TextParser)
		if json != c.json || text != c.text {
			t.Errorf("%T: JSON %v, text %v, want %v, %v", c.s, json, text, c.json, c.text)
		}
		if !serde.IsNullable(c.s) {
			t.Errorf("%T is not nullable", c.s)
		}
	}
	wantText(t, serde.Nullable(serde.Int64), "42", processor.Some(int64(42)))
	for _, s := range []any{serde.String, jsonReading, orderKeys, nil} {
		if serde.IsNullable(s) {
			t.Errorf("%T is nullable", s)
		}
	}
}

func TestNullableKeepsThePlacement(t *testing.T) {
	windowed := serde.TimeWindowed(serde.String, time.Hour)
	s := serde.Nullable(windowed)
	b := encode(t, s, processor.Some(processor.Windowed[string]{Key: "m17"}))
	if got := s.(serde.Partitioned).PartitionKey(b); string(got) != "m17" {
		t.Errorf("placed by %q, want the inner key", got)
	}
	if got := s.(serde.Partitioned).PartitionKey(nil); got != nil {
		t.Errorf("null is placed by %q, want nil", got)
	}
	if got := serde.Nullable(serde.String).(serde.Partitioned).PartitionKey([]byte("m17")); !bytes.Equal(got, []byte("m17")) {
		t.Errorf("placed by %q, want the whole key", got)
	}
}

func TestErrNullNamesTheSerde(t *testing.T) {
	for _, f := range []func() (string, error){
		func() (string, error) { _, err := serde.String.Decode(nil); return "string", err },
		func() (string, error) { _, err := serde.Int64.Decode(nil); return "int64", err },
		func() (string, error) { _, err := jsonReading.Decode(nil); return "json", err },
		func() (string, error) { _, err := orderKeys.Decode(nil); return orderKeys.Name(), err },
	} {
		name, err := f()
		if wantError(t, err, name); !errors.Is(err, serde.ErrNull) {
			t.Errorf("%v is not ErrNull", err)
		}
	}
}
