// Package serdetest is the conformance kit of serdes: what the engine takes for
// granted of every [serde.Serde], written as checks. Run it on each serde of your
// own, in its unit test:
//
//	func TestMoney(t *testing.T) {
//		serdetest.Run(t, Money, []Amount{{}, {EUR, 1}, {USD, -250}}, nil)
//	}
package serdetest

import (
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
)

// Run checks s with the values, each of which must be encodable and none of
// which may be null: a name; the round trip; Append and the bytes before it;
// equal bytes for an equal value; results that do not refer to the source; null;
// garbage; several goroutines at once (run with -race); and the optional
// interfaces that s has. A nil equal compares with reflect.DeepEqual.
func Run[T any](t *testing.T, s serde.Serde[T], values []T, equal func(a, b T) bool) {
	t.Helper()
	if len(values) == 0 {
		t.Fatal("serdetest: no values given; give the zero value, extremes and ordinary ones")
	}
	k := newKit(s, values, equal)
	for _, c := range k.checks() {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(); err != nil {
				t.Errorf("%v\nwhy: %s", err, c.why)
			}
		})
	}
}

// RunOrdered checks that the encodings of all pairs of values sort as compare
// says (negative, zero or positive, as cmp.Compare). Use it, besides [Run], on
// serdes of keys that are scanned in order.
func RunOrdered[T any](t *testing.T, s serde.Serde[T], values []T, compare func(a, b T) int) {
	t.Helper()
	if err := checkOrder(s, values, compare); err != nil {
		t.Errorf("%v\nwhy: a scan returns keys in the order of their bytes", err)
	}
}
