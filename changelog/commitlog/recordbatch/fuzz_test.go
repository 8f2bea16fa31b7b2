package recordbatch

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzParse: whatever the bytes, reading ends in records or in an error that
// says short or damaged, without a panic, and with memory in proportion. The
// checksum is not verified on the way, since it would keep the fuzzer out.
func FuzzParse(f *testing.F) {
	plain := build(sampleRecords(5))
	f.Add([]byte{})
	f.Add(plain)
	f.Add(append(bytes.Clone(plain), plain[:50]...))
	f.Add(withRecords(plain, nil, CodecNone))
	f.Add(kmsgBatch(10, 1_900_000_000_000, nil))
	for _, c := range compressors {
		f.Add(withRecords(plain, c.compress(f, plain[HeaderSize:]), c.codec))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<20 {
			t.Skip("larger inputs only repeat")
		}
		most := uint64(4<<20 + 8*len(raw))
		allocated := allocatedBy(func() {
			most += readGarbage(t, raw)
		})
		if allocated > most {
			t.Errorf("%d bytes allocated for %d bytes, want at most %d", allocated, len(raw), most)
		}
	})
}

// readGarbage reads what it can of raw. It returns how much decompression was
// entitled to: each compressed batch to its limit, twice over for growing the
// buffer, and to the codec's own tables.
func readGarbage(t *testing.T, raw []byte) (allowance uint64) {
	for len(raw) > 0 {
		b, rest, err := Parse(raw)
		if err != nil {
			if errors.Is(err, ErrShort) == errors.Is(err, ErrCorrupt) {
				t.Errorf("neither short nor damaged, or both: %v", err)
			}
			return allowance
		}
		if len(b.Raw)+len(rest) != len(raw) || b.NextOffset() <= b.BaseOffset {
			t.Fatalf("batch of %d bytes, rest %d of %d, offsets [%d, %d)", len(b.Raw), len(rest), len(raw), b.BaseOffset, b.NextOffset())
		}
		if b.Codec() != CodecNone {
			allowance += codecOverhead + 3*uint64(outputLimit(len(b.Raw)))
		}
		iterateGarbage(t, b)
		raw = rest
	}
	return allowance
}

func iterateGarbage(t *testing.T, b Batch) {
	count, last := 0, b.BaseOffset-1
	it := b.Records()
	for it.Next() {
		if it.Offset <= last || it.Offset > b.LastOffset() {
			t.Fatalf("offset %d after %d in [%d, %d]", it.Offset, last, b.BaseOffset, b.LastOffset())
		}
		headers, err := it.Headers()
		if err != nil || len(headers) != it.HeaderCount {
			t.Fatalf("%d of %d headers: %v", len(headers), it.HeaderCount, err)
		}
		last = it.Offset
		count++
	}
	if it.Err() == nil && count != int(b.Count) {
		t.Fatalf("%d of %d records and no error", count, b.Count)
	}
	if it.Err() != nil && !errors.Is(it.Err(), ErrCorrupt) {
		t.Fatal(it.Err())
	}
}

// FuzzRecords lets the fuzzer at the records block alone: the header is sound.
func FuzzRecords(f *testing.F) {
	plain := build(sampleRecords(5))
	f.Add(plain[HeaderSize:], int32(5))
	f.Add([]byte{12, 0, 0, 0, 1, 1, 0}, int32(1))
	f.Add([]byte{0}, int32(0))
	f.Fuzz(func(t *testing.T, block []byte, count int32) {
		raw := withRecords(plain, block, CodecNone)
		raw = patch(patch(raw, atLastOffsetDelta, 4, 1000), atCount, 4, int64(count))
		b, _, err := Parse(raw)
		if err != nil {
			return
		}
		iterateGarbage(t, b)
	})
}
