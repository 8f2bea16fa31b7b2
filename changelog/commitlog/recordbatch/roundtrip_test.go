package recordbatch

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(recordGenerator(), 0, 40).Draw(t, "records")
		b := Builder{MaxBytes: rapid.SampledFrom([]int{0, 1, 100, 1000, 20000}).Draw(t, "max bytes")}
		p := rapid.SampledFrom([]Producer{NoProducer, {ID: 7, Epoch: 3, Sequence: 0}, {ID: 7, Sequence: math.MaxInt32 - 2}}).Draw(t, "producer")
		transactional := rapid.Bool().Draw(t, "transactional")
		base := rapid.Int64Range(0, 1<<50).Draw(t, "base")
		sealEarly := rapid.IntRange(-1, 40).Draw(t, "seal early")
		if rapid.Bool().Draw(t, "reused") {
			b.Append(5, []byte("of an earlier use"), nil, nil)
			b.Seal(p, true)
			b.Reset()
		}
		for i := range records {
			records[i].offset = base + int64(i)
			b.Append(records[i].timeMs, records[i].key, records[i].value, records[i].headers)
			if i == sealEarly {
				b.Seal(Producer{ID: 1}, !transactional)
			}
		}
		raw := b.Seal(p, transactional)
		if b.Count() != len(records) || b.Size() != len(raw) || b.Empty() != (len(records) == 0) {
			t.Fatalf("Count %d, Size %d, Empty %t of %d records in %d bytes", b.Count(), b.Size(), b.Empty(), len(records), len(raw))
		}
		next, err := Rebase(raw, base)
		if err != nil || next != base+int64(len(records)) {
			t.Fatalf("Rebase: %d, %v", next, err)
		}
		got, batches, err := readAll(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := diffRecords(records, got); err != nil {
			t.Fatal(err)
		}
		checkBatches(t, batches, &b, p, transactional, base)
	})
}

// checkBatches checks what the headers of freshly built batches must say.
func checkBatches(t *rapid.T, batches []Batch, b *Builder, p Producer, transactional bool, base int64) {
	sequence := int64(p.Sequence)
	for i, batch := range batches {
		if batch.BaseOffset != base || batch.NextOffset() != base+int64(batch.Count) {
			t.Fatalf("batch %d covers [%d, %d) with %d records, want it to start at %d", i, batch.BaseOffset, batch.NextOffset(), batch.Count, base)
		}
		if batch.Count > 1 && len(batch.Raw) > b.maxBytes() {
			t.Fatalf("batch %d has %d bytes, the limit is %d", i, len(batch.Raw), b.maxBytes())
		}
		want := Producer{p.ID, p.Epoch, int32(sequence)}
		if batch.Producer != want || batch.Transactional() != transactional || batch.Control() || batch.Codec() != CodecNone {
			t.Fatalf("batch %d: %+v attributes %b, want %+v", i, batch.Producer, batch.Attributes, want)
		}
		checkTimes(t, batch)
		base = batch.NextOffset()
		if p.ID >= 0 {
			sequence = (sequence + int64(batch.Count)) % (1 << 31)
		}
	}
}

func checkTimes(t *rapid.T, batch Batch) {
	latest := int64(math.MinInt64)
	it := batch.Records()
	for it.Next() {
		latest = max(latest, it.Time)
	}
	if batch.MaxTime != latest {
		t.Fatalf("max time %d, the latest record has %d", batch.MaxTime, latest)
	}
}

// TestGoldenBatch pins every byte of the example in FORMAT.md.
func TestGoldenBatch(t *testing.T) {
	var b Builder
	b.Append(1_000, []byte("k"), []byte("hello"), nil)
	b.Append(1_001, []byte("k"), nil, []Header{{Key: "h", Value: []byte{0xff}}})
	raw := b.Seal(Producer{ID: 9, Epoch: 1, Sequence: 5}, true)
	const want = "" +
		"0000000000000000" + "0000004a" + "ffffffff" + "02" + "d930f8e2" + // offset, length, epoch, magic, CRC
		"0010" + "00000001" + "00000000000003e8" + "00000000000003e9" + // attributes, last delta, times
		"0000000000000009" + "0001" + "00000005" + "00000002" + // producer, count
		"18" + "00" + "00" + "00" + "02" + "6b" + "0a" + "68656c6c6f" + "00" +
		"16" + "00" + "02" + "02" + "02" + "6b" + "01" + "02" + "02" + "68" + "02" + "ff" // null value, one header
	if got := hex.EncodeToString(raw); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSealAgain(t *testing.T) {
	var b Builder
	for _, r := range sampleRecords(10) {
		b.Append(r.timeMs, r.key, r.value, r.headers)
	}
	p := Producer{ID: 4, Epoch: 2, Sequence: 10}
	first := bytes.Clone(b.Seal(p, true))
	if _, err := Rebase(b.Seal(NoProducer, false), 1000); err != nil {
		t.Fatal(err)
	}
	if again := b.Seal(p, true); !bytes.Equal(first, again) {
		t.Errorf("sealing again differs:\n%x\n%x", first, again)
	}
}

func TestSealWithoutRecords(t *testing.T) {
	var b Builder
	if raw := b.Seal(NoProducer, false); len(raw) != 0 || !b.Empty() || b.Count() != 0 {
		t.Errorf("%d bytes, %d records", len(raw), b.Count())
	}
}

func TestAppendCopies(t *testing.T) {
	key := []byte("key-0000")
	var b Builder
	b.Append(1, key, key, nil)
	copy(key, "changed!")
	got, _ := mustReadAll(t, b.Seal(NoProducer, false))
	if string(got[0].key) != "key-0000" || string(got[0].value) != "key-0000" {
		t.Errorf("got %+v", got[0])
	}
}

// TestAppendToField: an append by a reader must not reach the next field.
func TestAppendToField(t *testing.T) {
	raw := build(sampleRecords(3))
	before := bytes.Clone(raw)
	records, _ := mustReadAll(t, raw)
	for _, r := range records {
		_ = append(r.key, "overwritten"...)
		_ = append(r.value, "overwritten"...)
	}
	if !bytes.Equal(before, raw) {
		t.Error("the batch has changed")
	}
}

func TestRecordSizeIsAnUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := recordGenerator().Draw(t, "record")
		var b Builder
		b.Append(r.timeMs, r.key, r.value, r.headers)
		if most := RecordSize(r.key, r.value, r.headers); b.Size() > most || b.Size() < most-30 {
			t.Fatalf("size %d, RecordSize %d", b.Size(), most)
		}
	})
}

func TestVarint(t *testing.T) {
	var buf [10]byte
	for shift := range 64 {
		for _, v := range []int64{1<<shift - 1, 1 << shift, -(1 << shift), -(1 << shift) - 1} {
			n := putVarint(buf[:], 0, v)
			if n != varintSize(v) {
				t.Fatalf("%d takes %d bytes, varintSize says %d", v, n, varintSize(v))
			}
			if got, next := readVarint(buf[:n], 0); got != v || next != n {
				t.Fatalf("%d comes back as %d after %d of %d bytes", v, got, next, n)
			}
			got, next := shortVarint(buf[:n], 0)
			if n <= 2 && (got != v || next != n) || n > 2 && next != -1 {
				t.Fatalf("shortVarint reads %d as %d after %d of %d bytes", v, got, next, n)
			}
			if _, next := readVarint(buf[:n-1], 0); next != -1 {
				t.Fatalf("%d is readable from %d of %d bytes", v, n-1, n)
			}
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	key, value := make([]byte, 8), make([]byte, 8)
	headers := []Header{{Key: "trace", Value: value}}
	var b Builder
	fill := func() []byte {
		b.Reset()
		for i := range 1000 {
			b.Append(int64(i), key, value, headers[:i%2])
		}
		return b.Seal(NoProducer, false)
	}
	raw := fill()
	if n := testing.AllocsPerRun(20, func() { fill() }); n != 0 {
		t.Errorf("building 1000 records allocates %v times", n)
	}
	n := testing.AllocsPerRun(20, func() {
		batch, _, err := Parse(raw)
		if err != nil || batch.Verify() != nil {
			t.Fatal("does not parse")
		}
		it := batch.Records()
		for it.Next() {
			if it.HeaderCount == 0 {
				if _, err := it.Headers(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if n != 0 {
		t.Errorf("reading 1000 records allocates %v times", n)
	}
}
