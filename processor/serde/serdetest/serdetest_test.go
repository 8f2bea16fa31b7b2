package serdetest

import (
	"cmp"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
)

// broken is String with one method replaced: the negative control of each check.
type broken struct {
	name   func() string
	append func(dst []byte, v string) ([]byte, error)
	decode func(src []byte) (string, error)
}

func (b broken) Name() string { return b.name() }

func (b broken) Append(dst []byte, v string) ([]byte, error) { return b.append(dst, v) }

func (b broken) Decode(src []byte) (string, error) { return b.decode(src) }

func whole() broken {
	return broken{serde.String.Name, serde.String.Append, serde.String.Decode}
}

// brokenAlias and brokenJSON break an optional interface.
type brokenAlias struct{ broken }

func (brokenAlias) DecodeAlias([]byte) (string, error) { return "other", nil }

type brokenJSON struct {
	broken
	appendJSON, fromJSON func(dst, src []byte) ([]byte, error)
}

func (b brokenJSON) AppendJSON(dst, src []byte) ([]byte, error) { return b.appendJSON(dst, src) }

func (b brokenJSON) FromJSON(dst, text []byte) ([]byte, error) { return b.fromJSON(dst, text) }

type brokenText struct{ broken }

func (brokenText) FromText(dst []byte, text string) ([]byte, error) {
	return nil, errors.New("forgets dst")
}

func breakOne(change func(*broken)) broken {
	b := whole()
	change(&b)
	return b
}

func TestEachCheckFailsOnItsDefect(t *testing.T) {
	alias := serde.String.(serde.Aliaser[string])
	transcoder := serde.String.(serde.Transcoder)
	calls := 0
	for _, c := range []struct {
		defect, check string
		s             serde.Serde[string]
	}{
		{"empty name", "name", breakOne(func(b *broken) { b.name = func() string { return "" } })},
		{"changing name", "name", breakOne(func(b *broken) {
			b.name = func() string { calls++; return strings.Repeat("x", calls) }
		})},
		{"lossy", "round trip", breakOne(func(b *broken) {
			b.decode = func(src []byte) (string, error) { return strings.ToUpper(string(src)), nil }
		})},
		{"nil encoding", "round trip", breakOne(func(b *broken) {
			b.append = func(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
		})},
		{"overwrites dst", "append", breakOne(func(b *broken) {
			b.append = func(dst []byte, v string) ([]byte, error) { return append(dst[:0:0], v...), nil }
		})},
		{"not deterministic", "append", breakOne(func(b *broken) {
			b.append = func(dst []byte, v string) ([]byte, error) { calls++; return append(dst, byte(calls)), nil }
		})},
		{"aliases", "copy", breakOne(func(b *broken) { b.decode = alias.DecodeAlias })},
		{"writes to its source", "copy", breakOne(func(b *broken) {
			b.decode = func(src []byte) (string, error) { v := string(src); clear(src); return v, nil }
		})},
		{"another alias", "alias", brokenAlias{whole()}},
		{"accepts null", "null", breakOne(func(b *broken) {
			b.decode = func(src []byte) (string, error) { return string(src), nil }
		})},
		{"panics", "garbage", breakOne(func(b *broken) {
			b.decode = func(src []byte) (string, error) { return string(src[5:]), nil }
		})},
		{"text error without dst", "garbage", brokenText{whole()}},
		{"no JSON", "json", brokenJSON{whole(), func(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }, transcoder.FromJSON}},
		{"JSON of another key", "json", brokenJSON{whole(), transcoder.AppendJSON, func(dst, _ []byte) ([]byte, error) { return append(dst, 'k'), nil }}},
	} {
		t.Run(c.defect, func(t *testing.T) {
			k := newKit(c.s, []string{"value", "", "other value"}, nil)
			for _, check := range k.checks() {
				if check.name == c.check {
					if err := check.run(); err == nil {
						t.Errorf("the check %q accepts a serde that has the defect", check.name)
					}
					return
				}
			}
			t.Fatalf("no check %q", c.check)
		})
	}
}

func TestOrderCheckFailsOnWrongOrder(t *testing.T) {
	if err := checkOrder(serde.Int64, []int64{1, -1}, cmp.Compare); err == nil {
		t.Error("accepts Int64, which sorts negative numbers behind the others")
	}
	if err := checkOrder(serde.Int64, []int64{0, 1, 255, 256, math.MaxInt64}, cmp.Compare); err != nil {
		t.Error(err)
	}
}

func TestWholeSerdePasses(t *testing.T) {
	Run(t, serde.Serde[string](whole()), []string{"", "value"}, nil)
}
