package recordbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// Two independent implementations of the format, each in both directions.

func TestKmsgReadsOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(recordGenerator(), 1, 20).Draw(t, "records")
		raw := build(records)
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(raw); err != nil {
			t.Fatal(err)
		}
		if int(batch.NumRecords) != len(records) || batch.Magic != 2 || batch.LastOffsetDelta != int32(len(records)-1) {
			t.Fatalf("header %+v", batch)
		}
		rest := batch.Records
		for i, want := range records {
			var r kmsg.Record
			if err := r.ReadFrom(rest); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			got := testRecord{offset: int64(r.OffsetDelta), timeMs: batch.FirstTimestamp + r.TimestampDelta64, key: r.Key, value: r.Value}
			for _, h := range r.Headers {
				got.headers = append(got.headers, Header{Key: h.Key, Value: h.Value})
			}
			if !want.equal(got) {
				t.Fatalf("record %d is %+v, want %+v", i, got, want)
			}
			_, sizeBytes := readVarint(rest, 0)
			rest = rest[sizeBytes+int(r.Length):]
		}
		if len(rest) != 0 {
			t.Fatalf("%d bytes are left", len(rest))
		}
	})
}

func TestWeReadKmsg(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(recordGenerator(), 0, 20).Draw(t, "records")
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		gap := rapid.Int64Range(1, 4).Draw(t, "gap between offsets")
		horizon := rapid.Int64().Draw(t, "base time")
		for i := range records {
			records[i].offset = base + int64(i)*gap
		}
		got, batches, err := readAll(kmsgBatch(base, horizon, records))
		if err != nil {
			t.Fatal(err)
		}
		if err := diffRecords(records, got); err != nil {
			t.Fatal(err)
		}
		if batches[0].NextOffset() != base+100 || batches[0].BaseTime != horizon || batches[0].Producer != (Producer{1, 2, 3}) {
			t.Fatalf("header %+v", batches[0])
		}
	})
}

// kmsgBatch encodes a batch of 100 offsets as the cleaner leaves it: with holes
// and a delete horizon as base time, so that deltas may be negative.
func kmsgBatch(base, horizon int64, records []testRecord) []byte {
	var block []byte
	for _, r := range records {
		encoded := kmsg.Record{TimestampDelta64: r.timeMs - horizon, OffsetDelta: int32(r.offset - base), Key: r.key, Value: r.value}
		for _, h := range r.headers {
			encoded.Headers = append(encoded.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		// The length is a varint of one byte here (0), whatever it will take.
		encoded.Length = int32(len(encoded.AppendTo(nil)) - 1)
		block = encoded.AppendTo(block)
	}
	batch := kmsg.RecordBatch{
		FirstOffset: base, Length: int32(HeaderSize - lengthEnd + len(block)), PartitionLeaderEpoch: 5, Magic: 2,
		Attributes: 1 << 6, LastOffsetDelta: 99, FirstTimestamp: horizon, ProducerID: 1, ProducerEpoch: 2, FirstSequence: 3,
		NumRecords: int32(len(records)), Records: block,
	}
	return mend(batch.AppendTo(nil))
}

func TestKafkaGoReadsOurs(t *testing.T) {
	records := sampleRecords(50)
	raw := build(records)
	sized := binary.BigEndian.AppendUint32(nil, uint32(len(raw)))
	var set protocol.RecordSet
	if _, err := set.ReadFrom(bytes.NewReader(append(sized, raw...))); err != nil {
		t.Fatal(err)
	}
	for i, want := range records {
		r, err := set.Records.ReadRecord()
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		got := testRecord{offset: r.Offset, timeMs: r.Time.UnixMilli(), key: mustBytes(t, r.Key), value: mustBytes(t, r.Value)}
		for _, h := range r.Headers {
			got.headers = append(got.headers, Header{Key: h.Key, Value: h.Value})
		}
		if !want.equal(got) {
			t.Fatalf("record %d is %+v, want %+v", i, got, want)
		}
	}
	if _, err := set.Records.ReadRecord(); err != io.EOF {
		t.Fatalf("after the last record: %v", err)
	}
}

func mustBytes(t *testing.T, b protocol.Bytes) []byte {
	t.Helper()
	out, err := protocol.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWeReadKafkaGo(t *testing.T) {
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		for _, n := range []int{1, 3, 100, 5000} {
			t.Run(fmt.Sprintf("%s/%d", codec, n), func(t *testing.T) {
				records := sampleRecords(n)
				for i := range records {
					records[i].offset = int64(i)
				}
				got, batches := mustReadAll(t, kafkaGoBatch(t, compress.Compression(codec), records))
				if err := diffRecords(records, got); err != nil {
					t.Fatal(err)
				}
				if batches[0].Codec() != codec {
					t.Fatalf("codec %s, want %s", batches[0].Codec(), codec)
				}
			})
		}
	}
}

func kafkaGoBatch(t testing.TB, codec compress.Compression, records []testRecord) []byte {
	t.Helper()
	list := make([]protocol.Record, len(records))
	for i, r := range records {
		list[i] = protocol.Record{Time: time.UnixMilli(r.timeMs), Key: protocol.NewBytes(r.key), Value: protocol.NewBytes(r.value)}
		for _, h := range r.headers {
			list[i].Headers = append(list[i].Headers, protocol.Header{Key: h.Key, Value: h.Value})
		}
	}
	set := protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(codec), Records: protocol.NewRecordReader(list...)}
	var out bytes.Buffer
	if _, err := set.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()[4:]
}
