package embedded

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

func sampleEntries() [][]byte {
	raw := batchOf("x", "y").Seal(recordbatch.NoProducer, false)
	chunks := []chunk{{topic: 1, partition: 2, raw: raw}, {topic: 3, raw: raw}}
	commit := encodeTxn(entryCommit, 2, chunks, []groupOffset{{group: "g", tp: tp("a", 1), at: commitlog.GroupOffset{Offset: 5, Metadata: "m"}}})
	commit.setTxn(77)
	commit.setBase(1, 9)
	commit.setPartBase(1, 4)
	part := encodeTxn(entryPart, 0, chunks, nil)
	create, err := encodeCreateTopic(4, commitlog.TopicConfig{Name: "a", Partitions: 3, RetentionTime: time.Hour})
	if err != nil {
		panic(err)
	}
	return [][]byte{
		commit.bytes, part.bytes, create, encodeDeleteTopic(4),
		encodeHeader(journalHeader{journal: 3, prev: 2, prevEnd: 1 << 20}),
		encodeOpenWriter(writerRecord{id: "w", number: 3, epoch: 9}),
	}
}

func TestEntriesComeBack(t *testing.T) {
	e, err := decodeEntry(sampleEntries()[0])
	if err != nil {
		t.Fatal(err)
	}
	if e.txn != 77 || len(e.chunks) != 2 || e.chunks[1].base != 9 || e.chunks[0].partition != 2 ||
		e.partBases[1] != 4 || e.offsets[0].at.Metadata != "m" {
		t.Errorf("a commit comes back as %+v", e)
	}
	for i, b := range sampleEntries() {
		if _, err := decodeEntry(b); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		for cut := range b {
			if _, err := decodeEntry(b[:cut]); err == nil {
				t.Errorf("entry %d decodes from %d of %d bytes", i, cut, len(b))
			}
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, b := range sampleEntries() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e *entry
		var err error
		serdetest.Bounded(t, len(b), func() { e, err = decodeEntry(bytes.Clone(b)) })
		if err != nil {
			return
		}
		size := 0
		for _, c := range e.chunks {
			size += len(c.raw)
		}
		if size > len(b) {
			t.Fatalf("%d bytes of batches out of %d", size, len(b))
		}
		s := newState()
		if err := s.addTopic(1, commitlog.TopicConfig{Name: "a", Partitions: 3, KeepLatest: true}); err != nil {
			t.Fatal(err)
		}
		_ = s.apply(e, nil) // may refuse, must not panic
	})
}

func samplePoint() *recoveryPoint {
	return &recoveryPoint{
		keepFrom: 4, pos: position{5, 1234}, nextID: 9,
		topics: []topicRecord{{id: 8, config: commitlog.TopicConfig{Name: "a", Partitions: 2, KeepLatest: true}, partitions: []partitionRecord{
			{start: 3, end: 20, segments: []segmentRecord{{3, 10, 700}, {10, 20, 900}}, latest: []commitlog.Record{{Found: true, Offset: 4, Time: -1, Key: []byte("k"), Value: []byte{}}, {Found: true, Key: []byte("d")}}},
			{},
		}}},
		writers: []writerRecord{{"w", 1, 7}},
		offsets: []groupOffset{{group: "g", tp: tp("a", 1), at: commitlog.GroupOffset{Offset: 3}}},
	}
}

func TestRecoveryPointComesBack(t *testing.T) {
	b, err := samplePoint().encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeRecoveryPoint(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.encode()
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("the recovery point comes back as %+v, %v", r, err)
	}
	for i := range b {
		b[i] ^= 4
		if _, err := decodeRecoveryPoint(b); err == nil {
			t.Errorf("a flipped bit in byte %d goes unnoticed", i)
		}
		b[i] ^= 4
	}
}

// FuzzDecodeRecoveryPoint gives every input a right checksum, so that the
// decoder itself is tried.
func FuzzDecodeRecoveryPoint(f *testing.F) {
	b, err := samplePoint().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		sealed := binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
		var r *recoveryPoint
		var err error
		serdetest.Bounded(t, len(body), func() { r, err = decodeRecoveryPoint(sealed) })
		if err != nil {
			return
		}
		if _, err := r.encode(); err != nil {
			t.Fatalf("decoded %+v, which does not encode: %v", r, err)
		}
		o := Options{Dir: "log"}
		if err := o.setDefaults(); err != nil {
			t.Fatal(err)
		}
		restoreState(&o, r)
	})
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add([]byte(indexMagic), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, base, size int64) {
		serdetest.Bounded(t, len(b), func() { decodeIndex(b, base, size) })
	})
}
