package serdetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/processor/serde"
)

// kit holds what the checks share. They return errors instead of calling
// testing.T, so that the kit's own test can show that each of them fails on a
// serde which is broken in its way.
type kit[T any] struct {
	serde  serde.Serde[T]
	values []T
	equal  func(a, b T) bool
}

type check struct {
	name string
	run  func() error
	why  string
}

func newKit[T any](s serde.Serde[T], values []T, equal func(a, b T) bool) kit[T] {
	if equal == nil {
		equal = func(a, b T) bool { return reflect.DeepEqual(a, b) }
	}
	return kit[T]{serde: s, values: values, equal: equal}
}

func (k kit[T]) checks() []check {
	return []check{
		{"name", k.checkName, "the name is part of the durable shape of a store"},
		{"declaration", func() error { return serde.Check(k.serde) }, "a serde that was declared wrongly fails on every record"},
		{"round trip", k.checkRoundTrip, "what is stored must come back"},
		{"append", k.checkAppend, "keys and values are built behind other bytes in one buffer; rows are found by equal bytes"},
		{"copy", k.checkCopy, "the source is a buffer that is used again; other readers share it"},
		{"alias", k.checkAlias, "DecodeAlias is Decode without the copy"},
		{"null", k.checkNull, "null is a matter of the type: an Opt, or an error"},
		{"garbage", k.checkGarbage, "undecodable bytes follow the poison policy; a panic does not name the record"},
		{"json", k.checkJSON, "a key that HTTP has shown must be found when it is sent back"},
		{"goroutines", k.checkGoroutines, "all tasks share one serde"},
	}
}

func (k kit[T]) checkName() error {
	name := k.serde.Name()
	if name == "" {
		return errors.New("Name is empty")
	}
	if again := k.serde.Name(); again != name {
		return fmt.Errorf("Name is %q and then %q", name, again)
	}
	return nil
}

// encode returns the encoding in a slice without spare capacity.
func (k kit[T]) encode(v T) ([]byte, error) {
	b, err := k.serde.Append(nil, v)
	if err != nil {
		return nil, fmt.Errorf("Append(%v): %w", v, err)
	}
	if b == nil {
		return nil, fmt.Errorf("Append(nil, %v) is nil, which is null; an empty encoding is []byte{}", v)
	}
	return slices.Clip(b), nil
}

func (k kit[T]) each(f func(v T, encoded []byte) error) error {
	for _, v := range k.values {
		b, err := k.encode(v)
		if err != nil {
			return err
		}
		if err := f(v, b); err != nil {
			return err
		}
	}
	return nil
}

func (k kit[T]) checkRoundTrip() error {
	return k.each(func(v T, b []byte) error {
		got, err := k.serde.Decode(b)
		if err != nil {
			return fmt.Errorf("Decode of the encoding %x of %v: %w", b, v, err)
		}
		if !k.equal(got, v) {
			return fmt.Errorf("%v comes back as %v (encoding %x)", v, got, b)
		}
		return nil
	})
}

func (k kit[T]) checkAppend() error {
	prefix := []byte("before\x00\xff")
	return k.each(func(v T, b []byte) error {
		roomy := append(make([]byte, 0, len(prefix)+len(b)+64), prefix...)
		for _, dst := range [][]byte{roomy, slices.Clip(slices.Clone(prefix))} {
			got, err := k.serde.Append(dst, v)
			if err != nil {
				return fmt.Errorf("Append(%v): %w", v, err)
			}
			if !bytes.Equal(dst, prefix) || !bytes.HasPrefix(got, prefix) {
				return fmt.Errorf("Append(%q, %v) = %q changes what was there", prefix, v, got)
			}
			if !bytes.Equal(got[len(prefix):], b) {
				return fmt.Errorf("%v is encoded as %x and then as %x", v, b, got[len(prefix):])
			}
		}
		return nil
	})
}

func (k kit[T]) checkCopy() error {
	return k.each(func(v T, b []byte) error {
		src := bytes.Clone(b)
		got, err := k.serde.Decode(src)
		if err != nil {
			return fmt.Errorf("Decode(%x): %w", b, err)
		}
		if !bytes.Equal(src, b) {
			return fmt.Errorf("Decode writes to its source: %x became %x", b, src)
		}
		for i := range src {
			src[i] ^= 0x55
		}
		if !k.equal(got, v) {
			return fmt.Errorf("Decode's result refers to its source: %v became %v when the source was overwritten", v, got)
		}
		return nil
	})
}

func (k kit[T]) checkAlias() error {
	a, ok := k.serde.(serde.Aliaser[T])
	if !ok {
		return nil
	}
	return k.each(func(v T, b []byte) error {
		src := bytes.Clone(b)
		got, err := a.DecodeAlias(src)
		if err != nil {
			return fmt.Errorf("DecodeAlias(%x): %w", b, err)
		}
		if !k.equal(got, v) {
			return fmt.Errorf("DecodeAlias gives %v, want %v", got, v)
		}
		if !bytes.Equal(src, b) {
			return fmt.Errorf("DecodeAlias writes to its source: %x became %x", b, src)
		}
		return nil
	})
}

func (k kit[T]) checkNull() error {
	_, err := k.serde.Decode(nil)
	if serde.IsNullable(k.serde) {
		if err != nil {
			return fmt.Errorf("Decode(nil) of a nullable serde: %w", err)
		}
		return nil
	}
	if !errors.Is(err, serde.ErrNull) {
		return fmt.Errorf("Decode(nil) gives the error %v, want one that wraps serde.ErrNull", err)
	}
	return nil
}

func (k kit[T]) checkGoroutines() error {
	const goroutines = 4
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = k.checkRoundTrip() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func checkOrder[T any](s serde.Serde[T], values []T, compare func(a, b T) int) error {
	k := newKit(s, values, nil)
	return k.each(func(v T, vb []byte) error {
		return k.each(func(w T, wb []byte) error {
			want := cmp.Compare(compare(v, w), 0)
			if got := bytes.Compare(vb, wb); got != want {
				return fmt.Errorf("%v and %v compare as %d, their encodings %x and %x as %d", v, w, want, vb, wb, got)
			}
			return nil
		})
	})
}
