package state

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

func TestWaitingRoundTrip(t *testing.T) {
	values := waitingSerde[string]{serde.String}
	for _, w := range []Waiting[string]{
		{},
		{New: processor.Some("")},
		{New: processor.Some("new"), Old: processor.Some("old")},
		{Old: processor.Some("")},
		{New: processor.Some("v"), Headers: []processor.Header{{Key: "", Value: nil}, {Key: "a", Value: []byte{}}, {Key: "b", Value: []byte("x")}}},
		{New: processor.Some("v"), Origin: processor.Origin{Topic: "t", Partition: 3, Offset: 1 << 40}},
	} {
		raw, err := values.Append([]byte("before"), w)
		if err != nil {
			t.Fatal(err)
		}
		got, err := values.Decode(raw[len("before"):])
		if err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("%+v became %+v, %v", w, got, err)
		}
		for n := range len(raw) - len("before") {
			// Every cut must give an error or a value, never a panic.
			if _, err := values.Decode(raw[len("before") : len("before")+n]); err == nil && n == 0 {
				t.Error("nothing decodes as an update")
			}
		}
	}
}

// Whatever decodes is written again as bytes that mean the same.
func FuzzWaiting(f *testing.F) {
	values := waitingSerde[[]byte]{serde.Bytes}
	seed, err := values.Append(nil, Waiting[[]byte]{New: processor.Some([]byte("n")), Old: processor.Some([]byte("o")),
		Headers: []processor.Header{{Key: "h", Value: []byte("v")}}, Origin: processor.Origin{Topic: "t", Offset: 5}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, src []byte) {
		w, err := values.Decode(src)
		if err != nil {
			return
		}
		raw, err := values.Append(nil, w)
		if err != nil {
			t.Fatal(err)
		}
		again, err := values.Decode(raw)
		if err != nil || !bytes.Equal(again.New.Value, w.New.Value) || !reflect.DeepEqual(again, w) {
			t.Fatalf("%+v became %+v, %v", w, again, err)
		}
	})
}

func TestSpanKeys(t *testing.T) {
	for _, spec := range []Spec{{Kind: KindSession}, {Kind: KindBuffer}, {Kind: KindSliding, WindowSize: 5e6}} {
		for _, key := range []string{"", "k", "long key"} {
			start, end := int64(7), int64(12)
			s, e, k, err := spec.SplitSpanKey(spec.AppendSpanKey(nil, 3, start, end, []byte(key)))
			if s != start || e != end || string(k) != key || err != nil {
				t.Errorf("%s: row of %q: %d %d %q %v", spec.Kind, key, s, e, k, err)
			}
			s, e, k, err = spec.splitEndKey(spec.AppendEndKey(nil, 3, start, end, []byte(key)))
			if s != start || e != end || string(k) != key || err != nil {
				t.Errorf("%s: end of %q: %d %d %q %v", spec.Kind, key, s, e, k, err)
			}
			s, e, k, err = spec.SplitSpanChangelogKey(spec.AppendSpanChangelogKey(nil, start, end, []byte(key)))
			if s != start || e != end || string(k) != key || err != nil {
				t.Errorf("%s: changelog of %q: %d %d %q %v", spec.Kind, key, s, e, k, err)
			}
		}
		if _, _, _, err := spec.SplitSpanKey([]byte{0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err == nil {
			t.Errorf("%s: an entry of ends was taken for a row", spec.Kind)
		}
		for _, short := range [][]byte{nil, {0}, {0, 3, 0}, {0, 3, 0, 1, 2}} {
			_, _, _, err1 := spec.SplitSpanKey(short)
			_, _, _, err2 := spec.splitEndKey(short)
			_, _, _, err3 := spec.SplitSpanChangelogKey(short)
			if err1 == nil || err2 == nil || err3 == nil {
				t.Errorf("%s: %x was taken for a key: %v %v %v", spec.Kind, short, err1, err2, err3)
			}
		}
	}
}
