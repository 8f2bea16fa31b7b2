package recordbatch

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestTruncatedAtEveryByte(t *testing.T) {
	raw := build(sampleRecords(5))
	for n := range raw {
		_, rest, err := Parse(raw[:n])
		if !errors.Is(err, ErrShort) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v, want ErrShort", n, len(raw), err)
		}
		if len(rest) != n {
			t.Fatalf("%d of %d bytes: rest has %d", n, len(raw), len(rest))
		}
		size, err := PeekSize(raw[:n])
		if n < 12 && !errors.Is(err, ErrShort) || n >= 12 && (err != nil || size != len(raw)) {
			t.Fatalf("PeekSize of %d bytes: %d, %v", n, size, err)
		}
	}
}

// TestTailOfReply: two whole batches and a piece of a third, as fetched.
func TestTailOfReply(t *testing.T) {
	batch := build(sampleRecords(5))
	raw := bytes.Join([][]byte{batch, batch, batch[:40]}, nil)
	_, batches, err := readAll(raw)
	if len(batches) != 2 || !errors.Is(err, ErrShort) {
		t.Errorf("%d batches, %v", len(batches), err)
	}
}

// TestEveryFlippedBit: from the magic on every single-bit error is noticed. Cut
// off counts as noticed only before byte 16, where the length lies.
func TestEveryFlippedBit(t *testing.T) {
	raw := build(sampleRecords(5))
	for bit := 8 * atMagic; bit < 8*len(raw); bit++ {
		damaged := bytes.Clone(raw)
		damaged[bit/8] ^= 1 << (bit % 8)
		b, _, err := Parse(damaged)
		if err == nil {
			err = b.Verify()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
	}
}

// TestNonsense patches one field, mends the checksum, and expects the error to
// say what is wrong.
func TestNonsense(t *testing.T) {
	raw := build(sampleRecords(5))
	first := int64(raw[HeaderSize])
	for _, test := range []struct {
		name      string
		at, width int
		value     int64
		reason    string
	}{
		{"format 1", atMagic, 1, 1, "format 1"},
		{"negative length", atLength, 4, -1, "size"},
		{"length below a header", atLength, 4, HeaderSize - lengthEnd - 1, "size"},
		{"length above the cap", atLength, 4, MaxBatchBytes, "size"},
		{"negative base offset", atBaseOffset, 8, -1, "outside their range"},
		{"last offset overflows", atBaseOffset, 8, math.MaxInt64 - 2, "outside their range"},
		{"negative last delta", atLastOffsetDelta, 4, -1, "negative"},
		{"negative count", atCount, 4, -1, "-1 records"},
		{"more records than offsets", atCount, 4, 6, "6 records in 5 offsets"},
		{"fewer records than bytes", atCount, 4, 4, "bytes follow"},
		{"offset delta outside the batch", HeaderSize + 3, 1, 10, "record 0"},
		{"offset delta repeated", HeaderSize + int(first/2) + 4, 1, 0, "record 1"},
		{"record length negative", HeaderSize, 1, 1, "record 0"},
		{"record length zero", HeaderSize, 1, 0, "record 0"},
		{"record length one less", HeaderSize, 1, first - 2, "record 0"},
		{"record length to the next", HeaderSize, 1, first + 2, "record 0"},
		{"key past the end", HeaderSize + 4, 1, 126, "record 0"},
		{"key length below null", HeaderSize + 4, 1, 3, "record 0"},
		{"endless varint", HeaderSize, 8, -1, "record 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := readAll(patch(raw, test.at, test.width, test.value))
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want %q", err, test.reason)
			}
		})
	}
}

func TestTooManyRecordsForTheBytes(t *testing.T) {
	raw := patch(build(sampleRecords(5)), atLastOffsetDelta, 4, math.MaxInt32)
	raw = patch(raw, atCount, 4, math.MaxInt32)
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		_, _, err := Parse(patch(raw, atAttributes, 2, int64(codec)))
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "cannot lie in") {
			t.Errorf("%s: %v", codec, err)
		}
	}
}

// TestErrorsNameThePlace also pins that nothing is delivered after an error.
func TestErrorsNameThePlace(t *testing.T) {
	raw := build(sampleRecords(3))
	if _, err := Rebase(raw, 500); err != nil {
		t.Fatal(err)
	}
	second := HeaderSize + 1 + int(raw[HeaderSize]/2)
	raw[second] = 1
	b, _, err := Parse(mend(raw))
	if err != nil {
		t.Fatal(err)
	}
	it := b.Records()
	for i, want := range []bool{true, false, false} {
		if it.Next() != want {
			t.Fatalf("call %d returned %t", i, !want)
		}
	}
	var corrupt *CorruptError
	if !errors.As(it.Err(), &corrupt) || corrupt.BaseOffset != 500 || corrupt.Record != 1 {
		t.Errorf("got %v", it.Err())
	}
}

func TestHeadersThatDoNotFit(t *testing.T) {
	good := []byte{2, 'a', 1} // key "a", value null
	for _, test := range []struct {
		block []byte
		count int
		want  bool
	}{
		{nil, 0, true}, {good, 1, true}, {append(good, good...), 2, true}, {[]byte{0, 0}, 1, true},
		{good, 0, false}, {good, 2, false}, {good, -1, false}, {good, math.MaxInt, false}, {append(good, 0), 1, false},
		{[]byte{1, 1, 1}, 1, false}, {[]byte{40, 'a', 1}, 1, false}, {[]byte{2, 'a', 3}, 1, false}, {[]byte{2, 'a', 40}, 1, false},
	} {
		if got := headersFill(test.block, test.count); got != test.want {
			t.Errorf("%d headers in %v: %t", test.count, test.block, got)
		}
	}
}

func TestEmptiedBatch(t *testing.T) {
	raw := withRecords(build(sampleRecords(5)), nil, CodecNone)
	raw = patch(patch(raw, atCount, 4, 0), atBaseTime, 8, -1)
	if _, err := Rebase(raw, 70); err != nil {
		t.Fatal(err)
	}
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		records, batches := mustReadAll(t, patch(raw, atAttributes, 2, int64(codec)))
		if len(records) != 0 || batches[0].LastOffset() != 74 || batches[0].NextOffset() != 75 {
			t.Errorf("%s: %d records, next %d", codec, len(records), batches[0].NextOffset())
		}
	}
}

// TestDeleteHorizon: with attribute bit 6 deltas count from the horizon and are
// negative, and their sum is still the record's time.
func TestDeleteHorizon(t *testing.T) {
	want := sampleRecords(3)
	for i := range want {
		want[i].offset = int64(10 + 2*i)
	}
	got, batches := mustReadAll(t, kmsgBatch(10, 1_900_000_000_000, want))
	if err := diffRecords(want, got); err != nil {
		t.Fatal(err)
	}
	if batches[0].Attributes&(1<<6) == 0 || batches[0].Control() || batches[0].Transactional() {
		t.Errorf("attributes %b", batches[0].Attributes)
	}
}

func TestLogAppendTime(t *testing.T) {
	raw := patch(patch(build(sampleRecords(3)), atAttributes, 2, logAppendTimeBit), atMaxTime, 8, 777)
	records, _ := mustReadAll(t, raw)
	for _, r := range records {
		if r.timeMs != 777 {
			t.Errorf("time %d", r.timeMs)
		}
	}
}

func TestAttributes(t *testing.T) {
	raw := build(sampleRecords(1))
	for attributes := range int64(64) {
		b, _, err := Parse(patch(raw, atAttributes, 2, attributes))
		if err != nil {
			t.Fatal(err)
		}
		if b.Codec() != Codec(attributes%8) || b.Transactional() != (attributes&16 != 0) || b.Control() != (attributes&32 != 0) {
			t.Errorf("attributes %06b: codec %s transactional %t control %t", attributes, b.Codec(), b.Transactional(), b.Control())
		}
	}
}

func TestRebaseErrors(t *testing.T) {
	raw := build(sampleRecords(5))
	for _, base := range []int64{-1, math.MaxInt64, math.MaxInt64 - 4} {
		if _, err := Rebase(raw, base); err == nil {
			t.Errorf("rebase to %d succeeds", base)
		}
	}
	if next, err := Rebase(raw, math.MaxInt64-5); err != nil || next != math.MaxInt64 {
		t.Errorf("rebase to the last offsets: %d, %v", next, err)
	}
	if _, err := Rebase(raw[:len(raw)-1], 0); !errors.Is(err, ErrShort) {
		t.Errorf("rebase of a cut batch: %v", err)
	}
	if next, err := Rebase(nil, 42); next != 42 || err != nil {
		t.Errorf("rebase of nothing: %d, %v", next, err)
	}
}

func TestZeroBatch(t *testing.T) {
	it := Batch{}.Records()
	if it.Next() || !errors.Is(it.Err(), ErrShort) || !errors.Is(Batch{}.Verify(), ErrShort) {
		t.Errorf("got %v", it.Err())
	}
}

func ExampleParse() {
	var builder Builder
	builder.Append(1_000, []byte("k"), []byte("v"), []Header{{Key: "trace", Value: []byte("7")}})
	builder.Append(1_001, []byte("k"), nil, nil)
	raw := builder.Seal(NoProducer, false)
	if _, err := Rebase(raw, 100); err != nil {
		fmt.Println(err)
	}
	for len(raw) > 0 {
		batch, rest, err := Parse(raw)
		if err != nil {
			fmt.Println(err)
			return
		}
		it := batch.Records()
		for it.Next() {
			fmt.Printf("%d at %d ms: %s = %q, %d headers\n", it.Offset, it.Time, it.Key, it.Value, it.HeaderCount)
		}
		if it.Err() != nil {
			fmt.Println(it.Err())
		}
		raw = rest
	}
	// Output:
	// 100 at 1000 ms: k = "v", 1 headers
	// 101 at 1001 ms: k = "", 0 headers
}
