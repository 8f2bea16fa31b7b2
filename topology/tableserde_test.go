package topology

import (
	"bytes"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

// The layouts are durable: FORMAT.md draws them.
func TestInternalRecordsHaveTheirFormat(t *testing.T) {
	c := newChangeSerde(serde.String)
	layout(t, c, change[string]{Old: processor.Some("ab")}, "ab\x00")
	layout(t, c, change[string]{New: processor.Some("ab")}, "ab\x01")
	layout(t, c, change[string]{Old: processor.Some("a"), New: processor.Some("xyz")}, "\x06xyza\x02")
	h := rowHash{1, 15: 2}
	hash := "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
	layout(t, subscriptionSerde[string]{serde.String}, subscription[string]{instruction: answerAlways, hash: h, key: "k"}, "\x03"+hash+"k")
	layout(t, answerSerde[string]{serde.String}, answer[string]{hash: h}, "\x00"+hash)
	layout(t, answerSerde[string]{serde.String}, answer[string]{hash: h, right: processor.Some("")}, "\x01"+hash)
	if _, err := c.Append(nil, change[string]{}); err == nil {
		t.Error("a change of nothing has bytes")
	}
}

func layout[T comparable](t *testing.T, s serde.Serde[T], v T, want string) {
	t.Helper()
	got, err := s.Append([]byte("before"), v)
	if err != nil || string(got) != "before"+want {
		t.Errorf("%+v is %q, %v; want %q", v, got, err, "before"+want)
	}
	if back, err := s.Decode([]byte(want)); err != nil || back != v {
		t.Errorf("%q is %+v, %v; want %+v", want, back, err, v)
	}
}

func FuzzChange(f *testing.F) {
	fuzzInternal(f, newChangeSerde(serde.String), "ab\x00", "\x06xyza\x02", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02", "\x01\x02")
}

func FuzzSubscription(f *testing.F) {
	fuzzInternal(f, serde.Serde[subscription[string]](subscriptionSerde[string]{serde.String}), "\x030123456789abcdefkey", "\x04")
}

func FuzzAnswer(f *testing.F) {
	fuzzInternal(f, serde.Serde[answer[string]](answerSerde[string]{serde.String}), "\x010123456789abcdefvalue", "\x000123456789abcdef")
}

// fuzzInternal wants of any bytes that they are refused, or stand for a value that
// survives the way back.
func fuzzInternal[T comparable](f *testing.F, s serde.Serde[T], seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		kept := bytes.Clone(src)
		var v T
		var err error
		serdetest.Bounded(t, len(src), func() { v, err = s.Decode(src) })
		if !bytes.Equal(kept, src) {
			t.Fatalf("Decode changed %x to %x", kept, src)
		}
		if err != nil {
			return
		}
		again, err := s.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := s.Decode(again); err != nil || back != v {
			t.Fatalf("%+v comes back as %+v, %v", v, back, err)
		}
	})
}
