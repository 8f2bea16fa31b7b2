package recordbatch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// Batch is one parsed batch over immutable bytes; copying it is cheap.
type Batch struct {
	// Raw is the whole batch, header included, and nothing after it.
	Raw []byte
	// BaseOffset is the offset that record deltas count from. The record there
	// may have been removed by compaction.
	BaseOffset int64
	// LastOffsetDelta is kept by compaction even when the last records are gone.
	LastOffsetDelta int32
	// Count is the number of records, 0 in a batch emptied by compaction.
	Count int32
	// BaseTime and MaxTime are in milliseconds since 1970. BaseTime is what
	// deltas count from, not necessarily the time of a record.
	BaseTime, MaxTime int64
	Producer          Producer
	Attributes        int16
}

// LastOffset returns the last offset that the batch covers.
func (b Batch) LastOffset() int64 { return b.BaseOffset + int64(b.LastOffsetDelta) }

// NextOffset returns the position after the batch, also when it holds no
// records any more.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// Transactional reports whether the batch is part of a transaction.
func (b Batch) Transactional() bool { return b.Attributes&transactionalBit != 0 }

// Control reports whether the batch holds a transaction marker, never to be
// delivered to the application.
func (b Batch) Control() bool { return b.Attributes&controlBit != 0 }

// Codec returns how the records are compressed.
func (b Batch) Codec() Codec { return Codec(b.Attributes & codecMask) }

// PeekSize returns the size of the whole batch starting at raw, in bytes, of
// which raw needs to hold the first 12. Errors: ErrShort, *CorruptError.
func PeekSize(raw []byte) (int, error) {
	if len(raw) < lengthEnd {
		return 0, fmt.Errorf("%w: %d of the first %d bytes", ErrShort, len(raw), lengthEnd)
	}
	size := lengthEnd + int64(int32(binary.BigEndian.Uint32(raw[atLength:])))
	if size < HeaderSize || size > MaxBatchBytes {
		return 0, corruptBatch(baseOffsetOf(raw), "size %d is not within [%d, %d]", size, HeaderSize, MaxBatchBytes)
	}
	return int(size), nil
}

// Parse reads the header of the first batch in raw and checks length, magic and
// counts; not the checksum, see Verify. rest is what follows the batch. Errors:
// ErrShort if raw ends before the batch does, *CorruptError if it is damaged.
func Parse(raw []byte) (b Batch, rest []byte, err error) {
	size, err := PeekSize(raw)
	if err != nil {
		return Batch{}, raw, err
	}
	// The magic is looked at before the length is believed: bytes that are no
	// batch at all should not pass for one that is cut off.
	if len(raw) > atMagic && raw[atMagic] != magic2 {
		return Batch{}, raw, corruptBatch(baseOffsetOf(raw), "format %d, only format %d is readable", raw[atMagic], magic2)
	}
	if len(raw) < size {
		return Batch{}, raw, fmt.Errorf("%w: %d of %d bytes at base offset %d", ErrShort, len(raw), size, baseOffsetOf(raw))
	}
	b = readHeader(raw[:size:size])
	if err := b.checkCounts(); err != nil {
		return Batch{}, raw, err
	}
	return b, raw[size:], nil
}

// Verify checks the CRC-32C, which covers everything from the attributes on.
// Base offset, length, leader epoch and magic are outside it.
func (b Batch) Verify() error {
	if len(b.Raw) < HeaderSize {
		return fmt.Errorf("%w: %d bytes", ErrShort, len(b.Raw))
	}
	want := binary.BigEndian.Uint32(b.Raw[atCRC:])
	if got := crc32.Checksum(b.Raw[atAttributes:], castagnoli); got != want {
		return corruptBatch(b.BaseOffset, "checksum is %08x, the header says %08x", got, want)
	}
	return nil
}

// Rebase sets the base offsets of the batches in raw, which must be whole, so
// that the first one starts at base and each follows the one before. Base
// offsets are outside the checksum, so this is cheap. next is the offset after
// the last batch. On an error raw may be rebased in part.
func Rebase(raw []byte, base int64) (next int64, err error) {
	for len(raw) > 0 {
		b, rest, err := Parse(raw)
		if err != nil {
			return 0, fmt.Errorf("rebase to offset %d: %w", base, err)
		}
		if base < 0 || base > math.MaxInt64-1-int64(b.LastOffsetDelta) {
			return 0, fmt.Errorf("rebase a batch of %d offsets to offset %d: outside the range of offsets", b.LastOffsetDelta+1, base)
		}
		binary.BigEndian.PutUint64(raw[atBaseOffset:], uint64(base))
		base += int64(b.LastOffsetDelta) + 1
		raw = rest
	}
	return base, nil
}

func readHeader(raw []byte) Batch {
	return Batch{
		Raw:             raw,
		BaseOffset:      baseOffsetOf(raw),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(raw[atLastOffsetDelta:])),
		Count:           int32(binary.BigEndian.Uint32(raw[atCount:])),
		BaseTime:        int64(binary.BigEndian.Uint64(raw[atBaseTime:])),
		MaxTime:         int64(binary.BigEndian.Uint64(raw[atMaxTime:])),
		Producer: Producer{
			ID:       int64(binary.BigEndian.Uint64(raw[atProducerID:])),
			Epoch:    int16(binary.BigEndian.Uint16(raw[atProducerEpoch:])),
			Sequence: int32(binary.BigEndian.Uint32(raw[atSequence:])),
		},
		Attributes: int16(binary.BigEndian.Uint16(raw[atAttributes:])),
	}
}

func baseOffsetOf(raw []byte) int64 { return int64(binary.BigEndian.Uint64(raw[atBaseOffset:])) }

// checkCounts refuses what would let a few bytes claim many records or offsets
// outside their range.
func (b Batch) checkCounts() error {
	room := len(b.Raw) - HeaderSize
	if b.Codec() != CodecNone {
		room = outputLimit(room)
	}
	switch {
	case b.LastOffsetDelta < 0:
		return corruptBatch(b.BaseOffset, "last offset delta %d is negative", b.LastOffsetDelta)
	case b.BaseOffset < 0 || b.BaseOffset > math.MaxInt64-1-int64(b.LastOffsetDelta):
		return corruptBatch(b.BaseOffset, "offsets are outside their range")
	case b.Count < 0 || int64(b.Count) > int64(b.LastOffsetDelta)+1:
		return corruptBatch(b.BaseOffset, "%d records in %d offsets", b.Count, int64(b.LastOffsetDelta)+1)
	case int(b.Count) > room/minRecordSize:
		return corruptBatch(b.BaseOffset, "%d records cannot lie in %d bytes", b.Count, room)
	}
	return nil
}
