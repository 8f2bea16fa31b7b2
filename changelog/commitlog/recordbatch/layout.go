package recordbatch

import "hash/crc32"

const (
	// HeaderSize is the number of bytes from the start of a batch to its first
	// record.
	HeaderSize = 61
	// DefaultMaxBatchBytes is where a Builder ends a batch unless told otherwise.
	DefaultMaxBatchBytes = 256 << 10
	// MaxBatchBytes is the largest batch that Parse accepts, and the largest
	// output of decompression, in bytes.
	MaxBatchBytes = 64 << 20
)

// Positions of the header fields, drawn in FORMAT.md.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTime        = 27
	atMaxTime         = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atSequence        = 53
	atCount           = 57

	lengthEnd     = atLength + 4 // the length field counts from here
	magic2        = 2
	minRecordSize = 7 // seven one-byte fields: all empty
)

// Attribute bits. Bit 6 (delete horizon) is set by Kafka's cleaner, which then
// puts the horizon into the base time and makes the deltas relative to it, so
// base plus delta is still the record's time and the bit needs no handling.
const (
	codecMask              = 0b111
	logAppendTimeBit       = 1 << 3
	transactionalBit       = 1 << 4
	controlBit             = 1 << 5
	noLeaderEpoch          = -1
	maxSequence      int32 = 1<<31 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is a name and value beside a record. A nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Producer stamps the batches of a transaction or of an idempotent producer.
// Sequence is that of the first record.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32
}

// NoProducer stamps batches that are neither transactional nor idempotent.
var NoProducer = Producer{ID: -1, Epoch: -1, Sequence: -1}

// after returns the sequence number following count records, which wraps to 0
// after 2^31 - 1. Without a producer there is nothing to count.
func (p Producer) after(count int32) Producer {
	if p.ID >= 0 {
		p.Sequence = int32((int64(p.Sequence) + int64(count)) & int64(maxSequence))
	}
	return p
}
