package recordbatch

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Builder collects records and encodes them as one or more batches, one after
// the other in one buffer. A batch ends when the next record would make it
// exceed MaxBytes; a record larger than that gets a batch of its own. The zero
// value is ready. A Builder belongs to one goroutine.
type Builder struct {
	// MaxBytes bounds a batch in bytes; 0 means DefaultMaxBatchBytes, and
	// MaxBatchBytes is the most.
	MaxBytes int

	// buf holds whole batches up to open, and from there the open batch: a gap
	// for its header and the records so far. The gap is filled when it ends.
	buf   []byte
	open  int
	count int32 // records in the open batch, 0 = there is none
	total int   // records in all batches

	baseTime, maxTime int64 // of the open batch, ms
}

// Append encodes one record; key, value and headers are copied. A nil key or
// value is null. timeMs is in milliseconds since 1970.
//
// There is no error: the caller refuses records for which RecordSize exceeds
// its limit, since a batch above MaxBatchBytes cannot be read back.
func (b *Builder) Append(timeMs int64, key, value []byte, headers []Header) {
	if b.count == 0 {
		b.beginBatch(timeMs)
	}
	// The deltas depend on the batch that the record goes to, the rest does not.
	fixed := 1 + bytesSize(key) + bytesSize(value) + headersSize(headers)
	body := fixed + varintSize(timeMs-b.baseTime) + varintSize(int64(b.count))
	if b.count > 0 && len(b.buf)-b.open+body+varintSize(int64(body)) > b.maxBytes() {
		b.endBatch()
		b.beginBatch(timeMs)
		body = fixed + 2 // both deltas are 0
	}
	end := len(b.buf)
	if room := body + binary.MaxVarintLen32; cap(b.buf)-end < room {
		b.buf = slices.Grow(b.buf, room)
	}
	free := b.buf[end:cap(b.buf)]
	b.buf = b.buf[:end+putRecord(free, body, timeMs-b.baseTime, int64(b.count), key, value, headers)]
	b.maxTime = max(b.maxTime, timeMs)
	b.count++
	b.total++
}

// Count returns the number of records in all batches.
func (b *Builder) Count() int { return b.total }

// Size returns the number of bytes encoded so far, headers of batches included.
func (b *Builder) Size() int { return len(b.buf) }

// Empty reports whether nothing has been appended since the last Reset.
func (b *Builder) Empty() bool { return b.total == 0 }

// Reset forgets all records and keeps the buffer, so it invalidates what Seal
// has returned.
func (b *Builder) Reset() { *b = Builder{MaxBytes: b.MaxBytes, buf: b.buf[:0]} }

// Seal finishes the batches and returns them. Offsets start at 0 (see Rebase);
// p is stamped on each batch with its Sequence counting on. transactional marks
// them as part of a transaction of p. Without records the result is empty.
//
// The bytes belong to the Builder: they are valid until the next Append, Reset
// or Seal. Sealing again, with the same or another p, gives the same batches
// restamped; records appended after a Seal continue the last batch.
func (b *Builder) Seal(p Producer, transactional bool) []byte {
	if b.count > 0 {
		b.writeHeader()
	}
	var attributes uint16
	if transactional {
		attributes = transactionalBit
	}
	offset := int64(0)
	for rest := b.buf; len(rest) > 0; {
		size := lengthEnd + int(binary.BigEndian.Uint32(rest[atLength:]))
		batch := rest[:size]
		count := int32(binary.BigEndian.Uint32(batch[atCount:]))
		binary.BigEndian.PutUint64(batch[atBaseOffset:], uint64(offset))
		stamp(batch, p, attributes)
		p = p.after(count)
		offset += int64(count)
		rest = rest[size:]
	}
	return b.buf
}

// stamp writes who produced the batch and the checksum over everything behind
// it, so it comes last.
func stamp(batch []byte, p Producer, attributes uint16) {
	binary.BigEndian.PutUint16(batch[atAttributes:], attributes)
	binary.BigEndian.PutUint64(batch[atProducerID:], uint64(p.ID))
	binary.BigEndian.PutUint16(batch[atProducerEpoch:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(batch[atSequence:], uint32(p.Sequence))
	binary.BigEndian.PutUint32(batch[atCRC:], crc32.Checksum(batch[atAttributes:], castagnoli))
}

func (b *Builder) maxBytes() int {
	if b.MaxBytes <= 0 {
		return DefaultMaxBatchBytes
	}
	return min(b.MaxBytes, MaxBatchBytes)
}

func (b *Builder) beginBatch(timeMs int64) {
	b.open = len(b.buf)
	b.buf = append(b.buf, make([]byte, HeaderSize)...)
	b.baseTime, b.maxTime = timeMs, timeMs
}

func (b *Builder) endBatch() {
	b.writeHeader()
	b.count = 0
}

// writeHeader fills the gap before the records of the open batch, all but what
// stamp writes. It may run again after more records.
func (b *Builder) writeHeader() {
	h := b.buf[b.open:]
	binary.BigEndian.PutUint32(h[atLength:], uint32(len(h)-lengthEnd))
	leaderEpoch := int32(noLeaderEpoch)
	binary.BigEndian.PutUint32(h[atLeaderEpoch:], uint32(leaderEpoch))
	h[atMagic] = magic2
	binary.BigEndian.PutUint32(h[atLastOffsetDelta:], uint32(b.count-1))
	binary.BigEndian.PutUint64(h[atBaseTime:], uint64(b.baseTime))
	binary.BigEndian.PutUint64(h[atMaxTime:], uint64(b.maxTime))
	binary.BigEndian.PutUint32(h[atCount:], uint32(b.count))
}
