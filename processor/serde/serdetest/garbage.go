package serdetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/tidemill/tidemill/processor/serde"
)

// garbageSeed is fixed: a failure comes back in every run, and the bytes that
// caused it are in the message.
const garbageSeed = 20

// checkGarbage feeds damaged encodings and random bytes to every method that
// reads bytes or text.
func (k kit[T]) checkGarbage() error {
	rnd := rand.New(rand.NewPCG(garbageSeed, 1))
	for range 300 {
		if err := k.survives(randomBytes(rnd)); err != nil {
			return err
		}
	}
	return k.each(func(_ T, b []byte) error {
		for _, src := range damaged(rnd, b) {
			if err := k.survives(src); err != nil {
				return err
			}
		}
		return nil
	})
}

// special bytes mean something to the formats at hand: escapes, signs, JSON.
const special = "\x00\x01\xff\"{}[]:,nul0-"

func randomBytes(rnd *rand.Rand) []byte {
	b := make([]byte, rnd.IntN(40))
	for i := range b {
		b[i] = byte(rnd.Uint32())
		if rnd.IntN(3) == 0 {
			b[i] = special[rnd.IntN(len(special))]
		}
	}
	return b
}

// damaged returns b cut short, b with bytes too many, and b with single bytes
// changed; of long encodings a sample.
func damaged(rnd *rand.Rand, b []byte) [][]byte {
	all := [][]byte{append(bytes.Clone(b), 0), append(bytes.Clone(b), b...)}
	step := 1 + len(b)/50
	for i := 0; i < len(b); i += step {
		flipped := bytes.Clone(b)
		flipped[i] ^= 1 << rnd.IntN(8)
		all = append(all, b[:i:i], flipped)
	}
	return all
}

// survives calls everything with src and reports a panic as an error.
func (k kit[T]) survives(src []byte) (err error) {
	kept := bytes.Clone(src)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic on the bytes %x: %v", kept, p)
		}
	}()
	if v, err := k.serde.Decode(src); err == nil {
		if _, err := k.serde.Append(nil, v); err != nil {
			return fmt.Errorf("Decode(%x) gives %v, which Append refuses: %w", kept, v, err)
		}
	}
	if a, ok := k.serde.(serde.Aliaser[T]); ok {
		_, _ = a.DecodeAlias(bytes.Clone(src)) // either outcome is right; a panic is not
	}
	if p, ok := k.serde.(serde.Partitioned); ok {
		p.PartitionKey(src)
	}
	if err := k.textSurvives(src); err != nil {
		return err
	}
	if !bytes.Equal(src, kept) {
		return fmt.Errorf("the source %x was changed to %x", kept, src)
	}
	return nil
}

// textSurvives also checks that whatever a text is turned into can be decoded
// and that an error leaves the bytes before it alone.
func (k kit[T]) textSurvives(src []byte) error {
	prefix := []byte("before")
	accepted := func(method string, out []byte, err error) error {
		switch {
		case err != nil && !bytes.Equal(out, prefix):
			return fmt.Errorf("%s fails on %q and returns %q instead of its dst: %v", method, src, out, err)
		case err != nil:
			return nil
		case !bytes.HasPrefix(out, prefix):
			return fmt.Errorf("%s(%q) = %q changes what was there", method, src, out)
		}
		if _, err := k.serde.Decode(out[len(prefix):]); err != nil {
			return fmt.Errorf("%s accepts %q but Decode refuses the result: %w", method, src, err)
		}
		return nil
	}
	if p, ok := k.serde.(serde.TextParser); ok {
		out, err := p.FromText(prefix, string(src))
		if err := accepted("FromText", out, err); err != nil {
			return err
		}
	}
	c, ok := k.serde.(serde.Transcoder)
	if !ok {
		return nil
	}
	out, err := c.FromJSON(prefix, src)
	if err := accepted("FromJSON", out, err); err != nil {
		return err
	}
	out, err = c.AppendJSON(prefix, src)
	if err != nil && !bytes.Equal(out, prefix) {
		return fmt.Errorf("AppendJSON fails on %x and returns %q instead of its dst: %w", src, out, err)
	}
	if err == nil && !json.Valid(bytes.TrimPrefix(out, prefix)) {
		return fmt.Errorf("AppendJSON(%x) is no JSON: %q", src, out)
	}
	return nil
}

// checkJSON sends the JSON form back and wants the very bytes, for those are
// what a key is looked up by.
func (k kit[T]) checkJSON() error {
	c, ok := k.serde.(serde.Transcoder)
	if !ok {
		return nil
	}
	return k.each(func(v T, b []byte) error {
		text, err := c.AppendJSON([]byte("before"), b)
		if err != nil {
			return fmt.Errorf("AppendJSON of %v: %w", v, err)
		}
		shown, ok := strings.CutPrefix(string(text), "before")
		if !ok || !json.Valid([]byte(shown)) {
			return fmt.Errorf("AppendJSON of %v behind %q gives %q", v, "before", text)
		}
		back, err := c.FromJSON(nil, []byte(shown))
		if err != nil {
			return fmt.Errorf("FromJSON(%s), the form of %v: %w", shown, v, err)
		}
		if back == nil || !bytes.Equal(back, b) {
			return fmt.Errorf("%v is shown as %s, which reads back as %x, want %x", v, shown, back, b)
		}
		return nil
	})
}
