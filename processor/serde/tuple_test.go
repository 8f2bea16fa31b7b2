package serde_test

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

type orderKey = serde.Tuple2[string, int64]

var orderKeys = serde.Tuple(serde.String, serde.OrderedInt64)

func compareOrderKeys(a, b orderKey) int {
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second))
}

func allOrderKeys() (keys []orderKey) {
	for _, first := range texts {
		for _, second := range []int64{0, -1, 1, 256} {
			keys = append(keys, serde.MakeTuple2(first, second))
		}
	}
	return keys
}

func TestTuple(t *testing.T) {
	serdetest.Run(t, orderKeys, allOrderKeys(), nil)
	serdetest.RunOrdered[orderKey](t, orderKeys, allOrderKeys(), compareOrderKeys)
	wantHex[orderKey](t, orderKeys, serde.MakeTuple2("a\x00b", int64(1)), "61 00ff 62 0001 8000000000000001")
	wantJSON[orderKey](t, orderKeys, serde.MakeTuple2("a", int64(-1)), `{"first":"a","second":-1}`)
	wantNull[orderKey](t, orderKeys)
	refusesJSON[orderKey](t, orderKeys, "{", "[]", "{}", `{"first":"a"}`, `{"first":"a","second":1,"third":2}`,
		`{"first":"a","first_base64":"YQ==","second":1}`, `{"first":"a","second":"x"}`)
	wantDecodeError[orderKey](t, orderKeys, []byte{}, "0 bytes", "terminated")
	wantDecodeError[orderKey](t, orderKeys, []byte("ab\x00"), "terminated")
	wantDecodeError[orderKey](t, orderKeys, []byte("ab\x00\x02"), "terminated")
	wantDecodeError[orderKey](t, orderKeys, []byte("ab\x00\x01xy"), "second", "have 2 bytes", "want 8")
}

func TestNestedTuple(t *testing.T) {
	left := serde.Tuple(serde.Tuple(serde.OrderedInt64, serde.Bytes), serde.String)
	type key = serde.Tuple2[serde.Tuple2[int64, []byte], string]
	var keys []key
	for _, a := range []int64{-1, 0, 1} {
		for _, b := range [][]byte{{}, {0}, {0, 0}, {0, 1}, {0, 255}, {1}, {255}} {
			for _, c := range []string{"", "\x00", "x"} {
				keys = append(keys, serde.MakeTuple2(serde.MakeTuple2(a, b), c))
			}
		}
	}
	serdetest.Run[key](t, left, keys, nil)
	serdetest.RunOrdered[key](t, left, keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.First.First, b.First.First), bytes.Compare(a.First.Second, b.First.Second), cmp.Compare(a.Second, b.Second))
	})
	wantJSON[key](t, left, serde.MakeTuple2(serde.MakeTuple2(int64(1), []byte{0}), "x"),
		`{"first":{"first":1,"second_base64":"AA=="},"second":"x"}`)
}

// The prefix of a first part is in front of its own keys and of no others.
func TestTuplePrefix(t *testing.T) {
	for _, first := range texts {
		prefix, err := orderKeys.AppendPrefix(nil, first)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range allOrderKeys() {
			if got := bytes.HasPrefix(encode[orderKey](t, orderKeys, k), prefix); got != (k.First == first) {
				t.Errorf("prefix of %q before the key %q: %v", first, k, got)
			}
		}
	}
}

func TestTupleOrderAtRandom(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 0))
	text := func() string {
		b := make([]byte, rnd.IntN(6))
		for i := range b {
			b[i] = "\x00\x01\xfe\xff"[rnd.IntN(4)]
		}
		return string(b)
	}
	for range 20_000 {
		a, b := serde.MakeTuple2(text(), rnd.Int64()-rnd.Int64()), serde.MakeTuple2(text(), rnd.Int64()-rnd.Int64())
		ab, bb := encode[orderKey](t, orderKeys, a), encode[orderKey](t, orderKeys, b)
		if got, want := bytes.Compare(ab, bb), compareOrderKeys(a, b); got != want {
			t.Fatalf("seed %d: %q and %q compare as %d, their bytes as %d", seed, a, b, want, got)
		}
		if back, err := orderKeys.Decode(ab); err != nil || back != a {
			t.Fatalf("seed %d: %q comes back as %q, %v", seed, a, back, err)
		}
	}
}

func TestTupleErrorsNameThePart(t *testing.T) {
	far := time.Unix(1<<60, 0)
	s := serde.Tuple(serde.Time, serde.Time)
	dst := []byte("dst")
	for part, v := range map[string]serde.Tuple2[time.Time, time.Time]{"first": {First: far}, "second": {Second: far}} {
		out, err := s.Append(dst, v)
		wantError(t, err, "tuple(time,time)", part)
		if string(out) != "dst" {
			t.Errorf("out is %q on an error, want dst", out)
		}
	}
}

func TestTextWithoutJSONFormIsShownInBase64(t *testing.T) {
	b := encode[orderKey](t, orderKeys, serde.MakeTuple2("\xff", int64(1)))
	text, err := orderKeys.AppendJSON(nil, b)
	if err != nil || !strings.Contains(string(text), `"first_base64":"/w=="`) {
		t.Fatalf("AppendJSON = %s, %v", text, err)
	}
	if back, err := orderKeys.FromJSON(nil, text); err != nil || !bytes.Equal(back, b) {
		t.Errorf("FromJSON = %x, %v, want %x", back, err, b)
	}
	refusesJSON[orderKey](t, orderKeys, `{"first":"a","second_base64":"AA=="}`, `{"first":"a","second_base64":"%"}`,
		`{"first_base64":"YR==","second":1}`,
		`{"first":"a","second_base64":null}`)
}
