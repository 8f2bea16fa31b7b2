package topology

import (
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/processor"
)

func TestMapFunctions(t *testing.T) {
	inModes(t, func(b *Builder) {
		in := Source(b, numbers("in"))
		MapValues(in, func(v int64) int64 { return v * 10 }).To(numbers("values"))
		Map(in, func(k string, v int64) (string, int64) { return k + k, v + 1 }).To(numbers("both"))
		SelectKey(in, func(k string, v int64) string { return fmt.Sprint(k, v) }).To(numbers("key"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 7, 3)
		d.expect("values: a=70@3", "both: aa=8@3", "key: a7=7@3")
	})
}

func TestMapKeepsTimeHeadersAndOrigin(t *testing.T) {
	var origin processor.Origin
	d := newDriver(t, straight, func(b *Builder) {
		s := Map(Source(b, numbers("in")), func(k string, v int64) (string, int64) { return k, v })
		s.Peek(func(r processor.Record[string, int64]) { origin = r.Origin }).To(numbers("out"))
	})
	d.must(d.feed("in", Raw{Key: []byte("k"), Value: make([]byte, 8), Time: 9, Headers: []processor.Header{{Key: "x", Value: []byte("1")}}}))
	d.expect("out: k=0@9 x:1")
	if origin.String() != "in-0@0" {
		t.Fatalf("origin is %v", origin)
	}
}

// What a function emits passes through everything below before the next.
func TestFlatMapOrder(t *testing.T) {
	inModes(t, func(b *Builder) {
		in := Source(b, numbers("in"))
		flat := FlatMap(in, func(k string, v int64, emit func(string, int64)) {
			for i := range v {
				emit(k, i)
			}
		})
		flat.To(numbers("x"))
		flat.To(numbers("y"))
		FlatMapValues(in, func(v int64) []int64 { return make([]int64, v) }).To(numbers("z"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 0, 1)
		d.expect()
		d.send("in", "a", 2, 2)
		d.expect("x: a=0@2", "y: a=0@2", "x: a=1@2", "y: a=1@2", "z: a=0@2", "z: a=0@2")
	})
}

// An error below ends a FlatMap: later results are not passed on.
func TestFlatMapStopsAtTheFirstError(t *testing.T) {
	for name, declare := range map[string]func(in *Stream[string, int64]) *Stream[string, int64]{
		"FlatMap": func(in *Stream[string, int64]) *Stream[string, int64] {
			return FlatMap(in, func(k string, v int64, emit func(string, int64)) {
				for i := range v {
					emit(k, i)
				}
			})
		},
		"FlatMapValues": func(in *Stream[string, int64]) *Stream[string, int64] {
			return FlatMapValues(in, func(int64) []int64 { return []int64{0, 1, 2} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			d := newDriver(t, straight, func(b *Builder) {
				Process(declare(Source(b, numbers("in"))), "fails", func() processor.Processor[string, int64, string, int64] {
					return processor.Func[string, int64, string, int64](func(_ processor.Context[string, int64], r processor.Record[string, int64]) error {
						calls++
						if r.Value == 1 {
							return fmt.Errorf("one is refused")
						}
						return nil
					})
				})
			})
			err := d.feed("in", Raw{Key: []byte("a"), Value: []byte{0, 0, 0, 0, 0, 0, 0, 3}})
			if err == nil || err.Error() != "node fails: one is refused" {
				t.Fatalf("error is %v", err)
			}
			if calls != 2 {
				t.Fatalf("%d records went down, want 2", calls)
			}
		})
	}
}

func TestWithKeyDropsAndCountsNullKeys(t *testing.T) {
	inModes(t, func(b *Builder) {
		WithKey(Source(b, nullable("in"))).Named("keyed").To(deletable("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "-", 1, 1)
		d.sendNull("in", "a", 2)
		d.sendNull("in", "", 3)
		d.expect("out: a=null@2", "out: =null@3")
		if n := d.dropped("keyed", DropNullKey); n != 1 {
			t.Fatalf("%d dropped, want 1", n)
		}
	})
}
