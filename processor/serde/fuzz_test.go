package serde_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

// fuzzDecode wants of any bytes that they are either refused or stand for a
// value that survives the way back; in an exact format for the very same bytes,
// as a key must have one encoding. Then the JSON form of the value is sent back.
func fuzzDecode[T any](f *testing.F, s serde.Serde[T], exact bool, seeds ...T) {
	for _, v := range seeds {
		f.Add(encode(f, s, v))
	}
	f.Add([]byte{})
	f.Add([]byte("\x00\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, src []byte) {
		kept := bytes.Clone(src)
		var v T
		var err error
		serdetest.Bounded(t, len(src), func() { v, err = s.Decode(src) })
		if !bytes.Equal(src, kept) {
			t.Fatalf("Decode changed %x to %x", kept, src)
		}
		if err != nil {
			return
		}
		again := encode(t, s, v)
		if exact && !bytes.Equal(again, src) {
			t.Fatalf("%x stands for %v, which is encoded as %x", src, v, again)
		}
		w, err := s.Decode(again)
		if err != nil || !bytes.Equal(encode(t, s, w), again) {
			t.Fatalf("%v comes back as %v, %v", v, w, err)
		}
		roundTripJSON(t, s, again)
	})
}

// roundTripJSON accepts that bytes have no JSON form, but not that they have the
// form of others.
func roundTripJSON[T any](t *testing.T, s serde.Serde[T], encoded []byte) {
	c, ok := s.(serde.Transcoder)
	if !ok {
		return
	}
	text, err := c.AppendJSON(nil, encoded)
	if err != nil {
		return
	}
	if !json.Valid(text) {
		t.Fatalf("%x is shown as %q, which is no JSON", encoded, text)
	}
	back, err := c.FromJSON(nil, text)
	if err != nil || !bytes.Equal(back, encoded) {
		t.Fatalf("%x is shown as %s, which reads back as %x, %v", encoded, text, back, err)
	}
}

func FuzzString(f *testing.F)         { fuzzDecode(f, serde.String, true, texts...) }
func FuzzBytes(f *testing.F)          { fuzzDecode(f, serde.Bytes, true, []byte("bytes")) }
func FuzzInt64(f *testing.F)          { fuzzDecode(f, serde.Int64, true, int64s...) }
func FuzzInt32(f *testing.F)          { fuzzDecode(f, serde.Int32, true, 1, -1) }
func FuzzBool(f *testing.F)           { fuzzDecode(f, serde.Bool, true, true, false) }
func FuzzFloat64(f *testing.F)        { fuzzDecode(f, serde.Float64, false, float64s...) }
func FuzzTime(f *testing.F)           { fuzzDecode(f, serde.Time, true, times...) }
func FuzzOrderedInt64(f *testing.F)   { fuzzDecode(f, serde.OrderedInt64, true, int64s...) }
func FuzzOrderedFloat64(f *testing.F) { fuzzDecode(f, serde.OrderedFloat64, true, float64s...) }
func FuzzOrderedTime(f *testing.F)    { fuzzDecode(f, serde.OrderedTime, true, times...) }

func FuzzJSON(f *testing.F) {
	fuzzDecode(f, jsonReading, false, reading{}, reading{Meter: "m17", KWh: 2.5, Tags: map[string]int{"a": 1}, Raw: []byte("raw")})
}

func FuzzTuple(f *testing.F) {
	fuzzDecode[orderKey](f, orderKeys, true, allOrderKeys()...)
}

func FuzzTupleOfTuples(f *testing.F) {
	s := serde.Tuple(serde.Tuple(serde.Bytes, serde.Bytes), serde.Bytes)
	fuzzDecode[serde.Tuple2[serde.Tuple2[[]byte, []byte], []byte]](f, s, true,
		serde.MakeTuple2(serde.MakeTuple2([]byte{0}, []byte{0, 1}), []byte{0, 255}))
}

func FuzzNullable(f *testing.F) {
	fuzzDecode(f, serde.Nullable(serde.Int64), true, processor.Some(int64(1)))
}

func FuzzTimeWindowed(f *testing.F) {
	fuzzDecode(f, hourly, true, windowKey{Key: "m17", Start: 17})
}

func FuzzSessionWindowed(f *testing.F) {
	fuzzDecode(f, sessions, true, windowKey{Key: "m17", Start: 17, End: 18})
}

// FuzzTexts feeds one text to every parser: what it accepts must decode, and the
// value must be encoded as the parser encoded it.
func FuzzTexts(f *testing.F) {
	for _, seed := range []string{"", "null", "true", "-1", "1e3", `"NaN"`, `"2024-02-29T12:00:00.5Z"`, "2024-02-29T12:00:00Z", `{"meter":"m17","kwh":2}`,
		`{"first":"a","second":1}`, `{"key":"k","start":"2024-02-29T12:00:00Z","end":"2024-02-29T13:00:00Z"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parses(t, serde.String, text)
		parses(t, serde.Int64, text)
		parses(t, serde.Int32, text)
		parses(t, serde.Bool, text)
		parses(t, serde.Float64, text)
		parses(t, serde.Time, text)
		parses(t, serde.OrderedInt64, text)
		parses(t, serde.OrderedFloat64, text)
		parses(t, serde.OrderedTime, text)
		parses(t, jsonReading, text)
		parses[orderKey](t, orderKeys, text)
		parses(t, hourly, text)
		parses(t, sessions, text)
		parses(t, serde.TimeWindowed(serde.Bytes, time.Second), text)
	})
}

func parses[T any](t *testing.T, s serde.Serde[T], text string) {
	check := func(method string, out []byte, err error) {
		if err != nil {
			if string(out) != "dst" {
				t.Fatalf("%s: %s(%q) fails and returns %q instead of its dst", s.Name(), method, text, out)
			}
			return
		}
		encoded := out[len("dst"):]
		v, err := s.Decode(encoded)
		if err != nil || !bytes.Equal(encode(t, s, v), encoded) {
			t.Fatalf("%s: %s(%q) = %x, which decodes to %v, %v", s.Name(), method, text, encoded, v, err)
		}
	}
	if p, ok := s.(serde.TextParser); ok {
		out, err := p.FromText([]byte("dst"), text)
		check("FromText", out, err)
	}
	if c, ok := s.(serde.Transcoder); ok {
		out, err := c.FromJSON([]byte("dst"), []byte(text))
		check("FromJSON", out, err)
	}
}
