package topology

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/state"
)

func TestInternerReturnsWhatDecodingWould(t *testing.T) {
	for _, keys := range []int{1, 1000, internMax, 3 * internMax} {
		decoded := 0
		c := &interner[string]{decode: func(b []byte) (string, error) {
			decoded++
			if b == nil {
				return "", errors.New("null")
			}
			return string(b), nil
		}}
		rng := rand.New(rand.NewPCG(uint64(keys), 0))
		const lookups = 400_000
		for range lookups {
			raw := binary.BigEndian.AppendUint32(nil, uint32(rng.IntN(keys)))
			got, err := lookup(c, raw[:1+rng.IntN(4)])
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 || got != string(raw[:len(got)]) {
				t.Fatalf("%d keys: lookup of a prefix of %x gave %x", keys, raw, got)
			}
		}
		if keys <= 1000 && decoded > 4*keys {
			t.Errorf("%d keys were decoded %d times", keys, decoded)
		}
		if len(c.entries) > internMax || len(c.raw) > internBytes {
			t.Errorf("%d keys: it holds %d entries and %d bytes", keys, len(c.entries), len(c.raw))
		}
		if _, err := lookup(c, nil); err == nil {
			t.Error("a null key that does not decode is accepted")
		}
	}
}

func lookup[K any](c *interner[K], raw []byte) (K, error) { return c.lookup(raw, state.HashKey(raw)) }
