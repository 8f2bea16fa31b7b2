package recordbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// testRecord is the model of a record: what goes in must come out.
type testRecord struct {
	offset     int64
	timeMs     int64
	key, value []byte
	headers    []Header
}

func (r testRecord) equal(o testRecord) bool {
	sameHeader := func(a, b Header) bool { return a.Key == b.Key && sameBytes(a.Value, b.Value) }
	return r.offset == o.offset && r.timeMs == o.timeMs && sameBytes(r.key, o.key) && sameBytes(r.value, o.value) &&
		slices.EqualFunc(r.headers, o.headers, sameHeader)
}

// sameBytes tells null from empty, which bytes.Equal does not.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// nullableBytes draws null, empty, eight bytes (which has a path of its own in
// the encoder), and lengths around the steps of a varint.
func nullableBytes() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		size := rapid.SampledFrom([]int{-1, 0, 1, 8, 8, 17, 63, 64, 65, 300, 8191, 8192}).Draw(t, "size")
		if size < 0 {
			return nil
		}
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, size)
	})
}

func recordGenerator() *rapid.Generator[testRecord] {
	times := rapid.OneOf(rapid.Int64Range(1_700_000_000_000, 1_700_000_000_500),
		rapid.Int64Range(1_699_000_000_000, 1_701_000_000_000), rapid.Int64())
	headers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Header {
		return Header{Key: rapid.StringN(0, 70, -1).Draw(t, "header"), Value: nullableBytes().Draw(t, "header value")}
	}), 0, 3)
	return rapid.Custom(func(t *rapid.T) testRecord {
		r := testRecord{timeMs: times.Draw(t, "time"), key: nullableBytes().Draw(t, "key"), value: nullableBytes().Draw(t, "value")}
		if rapid.IntRange(0, 3).Draw(t, "with headers") == 0 {
			r.headers = headers.Draw(t, "headers")
		}
		return r
	})
}

// readAll parses, verifies and iterates all batches in raw.
func readAll(raw []byte) (records []testRecord, batches []Batch, err error) {
	for len(raw) > 0 {
		b, rest, err := Parse(raw)
		if err != nil {
			return records, batches, err
		}
		if err := b.Verify(); err != nil {
			return records, batches, err
		}
		batches = append(batches, b)
		it := b.Records()
		for it.Next() {
			headers, err := it.Headers()
			if err != nil {
				return records, batches, err
			}
			records = append(records, testRecord{offset: it.Offset, timeMs: it.Time, key: it.Key, value: it.Value, headers: headers})
		}
		if it.Err() != nil {
			return records, batches, it.Err()
		}
		raw = rest
	}
	return records, batches, nil
}

func mustReadAll(t testing.TB, raw []byte) ([]testRecord, []Batch) {
	t.Helper()
	records, batches, err := readAll(raw)
	if err != nil {
		t.Fatal(err)
	}
	return records, batches
}

func diffRecords(want, got []testRecord) error {
	if len(want) != len(got) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !want[i].equal(got[i]) {
			return fmt.Errorf("record %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	return nil
}

// build encodes records, whose offsets it sets from 0.
func build(records []testRecord) []byte {
	var b Builder
	for i := range records {
		records[i].offset = int64(i)
		b.Append(records[i].timeMs, records[i].key, records[i].value, records[i].headers)
	}
	return b.Seal(NoProducer, false)
}

func sampleRecords(n int) []testRecord {
	records := make([]testRecord, n)
	for i := range records {
		records[i] = testRecord{
			timeMs: 1_700_000_000_000 + int64(i),
			key:    fmt.Appendf(nil, "key-%d", i),
			value:  fmt.Appendf(nil, "value-%d", i*i),
		}
		if i%3 == 1 {
			records[i].headers = []Header{{Key: "a", Value: []byte("1")}, {Key: "null"}}
		}
	}
	return records
}

// patch copies raw, writes a big-endian field of the given width and mends the
// checksum, so that only the field itself can be what a reader objects to.
func patch(raw []byte, at, width int, value int64) []byte {
	raw = bytes.Clone(raw)
	for i := range width {
		raw[at+i] = byte(value >> (8 * (width - 1 - i)))
	}
	return mend(raw)
}

func mend(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw[atCRC:], crc32.Checksum(raw[atAttributes:], castagnoli))
	return raw
}

// withRecords returns a copy of the batch raw around another records block.
func withRecords(raw, block []byte, codec Codec) []byte {
	raw = append(bytes.Clone(raw[:HeaderSize]), block...)
	raw = patch(raw, atLength, 4, int64(len(raw)-lengthEnd))
	return patch(raw, atAttributes, 2, int64(codec))
}
