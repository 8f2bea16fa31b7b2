package topology

import (
	"errors"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
)

func TestEventTimeAndNegativeTimes(t *testing.T) {
	inModes(t, func(b *Builder) {
		in := numbers("in")
		in.EventTime = func(v int64) time.Time { return time.UnixMilli(v) }
		Source(b, in, numbers("plain")).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 77, 1)
		d.send("in", "a", -1, 2)
		d.send("plain", "a", 0, -5)
		d.send("plain", "a", 0, 0)
		d.expect("out: a=77@77", "out: a=0@0")
		if in, plain := d.dropped("in", DropNegativeTime), d.dropped("plain", DropNegativeTime); in != 1 || plain != 1 {
			t.Fatalf("dropped %d and %d, want 1 and 1", in, plain)
		}
	})
}

func TestZeroEventTimeIsDropped(t *testing.T) {
	d := newDriver(t, straight, func(b *Builder) {
		in := numbers("in")
		in.EventTime = func(int64) time.Time { return time.Time{} }
		Source(b, in).To(numbers("out"))
	})
	d.send("in", "a", 1, 1)
	d.expect()
	if n := d.dropped("in", DropNegativeTime); n != 1 {
		t.Fatalf("dropped %d, want 1", n)
	}
}

// A record that does not decode has no effect: neither on stream time, nor on
// the records behind it.
func TestDecodeErrors(t *testing.T) {
	for name, raw := range map[string]Raw{
		"null key":    {Value: make([]byte, 8), Time: 50},
		"null value":  {Key: []byte("a"), Time: 50},
		"short value": {Key: []byte("a"), Value: []byte{1}, Time: 50},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(t, straight, func(b *Builder) { Source(b, numbers("in")).To(numbers("out")) })
			d.send("in", "a", 1, 1)
			var failed *NodeError
			if err := d.feed("in", raw); !errors.As(err, &failed) || failed.Class != ClassDecode || failed.Node != "in" {
				t.Fatalf("error is %v", err)
			}
			d.send("in", "a", 2, 2)
			d.expect("out: a=1@1", "out: a=2@2")
			if now := d.tasks[0].inst.StreamTime(); now != 2 {
				t.Fatalf("stream time is %d", now)
			}
		})
	}
}

func TestDecodeErrorIsNotRemembered(t *testing.T) {
	calls := 0
	c := interner[string]{decode: func(b []byte) (string, error) {
		if calls++; calls == 1 {
			return "", errors.New("first try fails")
		}
		return string(b), nil
	}}
	if _, err := lookup(&c, []byte("a")); err == nil {
		t.Fatal("no error")
	}
	if k, err := lookup(&c, []byte("a")); err != nil || k != "a" {
		t.Fatalf("%q, %v", k, err)
	}
}

func TestHeadersReachProcessors(t *testing.T) {
	var got []processor.Header
	d := newDriver(t, straight, func(b *Builder) {
		Source(b, numbers("in")).Peek(func(r processor.Record[string, int64]) { got = r.Headers })
	})
	d.must(d.feed("in", Raw{Key: []byte("a"), Value: make([]byte, 8), Headers: []processor.Header{{Key: "trace"}}}))
	if len(got) != 1 || got[0].Key != "trace" || got[0].Value != nil {
		t.Fatalf("headers %v", got)
	}
}
