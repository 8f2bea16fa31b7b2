package topology

import (
	"testing"

	"github.com/tidemill/tidemill/processor"
)

func TestFilterAndFilterNotAreComplements(t *testing.T) {
	even := func(_ string, v int64) bool { return v%2 == 0 }
	inModes(t, func(b *Builder) {
		in := Source(b, numbers("in"))
		in.Filter(even).To(numbers("even"))
		in.FilterNot(even).To(numbers("odd"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 10)
		d.send("in", "a", 2, 11)
		d.send("in", "", 4, 12)
		d.expect("odd: a=1@10", "even: a=2@11", "even: =4@12")
	})
}

func TestFilterSeesNullsOfNullableTopics(t *testing.T) {
	inModes(t, func(b *Builder) {
		Source(b, nullable("in")).
			Filter(func(k processor.Opt[string], v processor.Opt[int64]) bool { return !k.OK || !v.OK }).To(nullable("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "-", 1, 1)
		d.sendNull("in", "a", 2)
		d.send("in", "a", 3, 3)
		d.sendNull("in", "-", 4)
		d.expect("out: null=1@1", "out: a=null@2", "out: null=null@4")
	})
}

func TestPeekSeesTheRecordAndPassesItOn(t *testing.T) {
	var seen []processor.Record[string, int64]
	d := newDriver(t, straight, func(b *Builder) {
		Source(b, numbers("in")).Peek(func(r processor.Record[string, int64]) { seen = append(seen, r) }).To(numbers("out"))
	})
	d.must(d.feed("in", Raw{Key: []byte("a"), Value: make([]byte, 8), Time: 5, Headers: []processor.Header{{Key: "h", Value: []byte("x")}}}))
	d.expect("out: a=0@5 h:x")
	if len(seen) != 1 || seen[0].Time != 5 || seen[0].Origin.String() != "in-0@0" || len(seen[0].Headers) != 1 {
		t.Fatalf("Peek saw %+v", seen)
	}
}

// Children get a record in the order of their declaration, each to its end
// before the next.
func TestChildrenRunDepthFirstInDeclaredOrder(t *testing.T) {
	all := func(string, int64) bool { return true }
	inModes(t, func(b *Builder) {
		in := Source(b, numbers("in"))
		first := in.Filter(all)
		in.To(numbers("second"))
		first.Filter(all).To(numbers("first"))
		first.To(numbers("first-again"))
		in.Filter(all).To(numbers("third"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.expect("first: a=1@1", "first-again: a=1@1", "second: a=1@1", "third: a=1@1")
	})
}
