package embedded

import (
	"encoding/binary"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// chunkOverhead is more than a chunk takes in an entry beside its batches.
const chunkOverhead = 40

// encodedTxn is a part or commit entry with its chunks pointing into its own
// bytes. Those bytes are what readers of the log get: they are copied once, from
// the caller's builder, and never again.
type encodedTxn struct {
	bytes     []byte
	chunks    []chunk
	basesAt   []int // where in bytes the base offset of each chunk stands
	partBases int   // where in bytes the base offsets of earlier parts begin
}

// encodeTxn encodes a part (kind entryPart) or a commit. parts is the number of
// chunks in the parts written before. What is known only under the order lock is
// left 0 and set in place: the transaction's number and the base offsets.
func encodeTxn(kind entryKind, parts int, chunks []chunk, offsets []groupOffset) encodedTxn {
	size := 32 + 8*parts + offsetsSize(offsets)
	for _, c := range chunks {
		size += chunkOverhead + len(c.raw)
	}
	t := encodedTxn{chunks: make([]chunk, len(chunks)), basesAt: make([]int, len(chunks))}
	b := binary.LittleEndian.AppendUint64(newEntry(kind, size), 0)
	if kind == entryCommit {
		b = binary.AppendUvarint(b, uint64(parts))
		t.partBases = len(b)
		b = append(b, make([]byte, 8*parts)...)
		b = appendOffsets(b, offsets)
	}
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for i, c := range chunks {
		b = binary.AppendUvarint(b, c.topic)
		b = binary.AppendUvarint(b, uint64(c.partition))
		t.basesAt[i] = len(b)
		b = binary.LittleEndian.AppendUint64(b, 0)
		b = binary.AppendUvarint(b, uint64(len(c.raw)))
	}
	for i, c := range chunks {
		start := len(b)
		b = append(b, c.raw...)
		t.chunks[i] = chunk{topic: c.topic, partition: c.partition, raw: b[start:len(b):len(b)]}
	}
	t.bytes = b
	return t
}

func (t *encodedTxn) setTxn(txn uint64) {
	binary.LittleEndian.PutUint64(t.bytes[entryPrefix:], txn)
}

// setBase writes the base offset of chunk i, setPartBase that of a chunk in an
// earlier part.
func (t *encodedTxn) setBase(i int, base int64) {
	t.chunks[i].base = base
	binary.LittleEndian.PutUint64(t.bytes[t.basesAt[i]:], uint64(base))
}

func (t *encodedTxn) setPartBase(i int, base int64) {
	binary.LittleEndian.PutUint64(t.bytes[t.partBases+8*i:], uint64(base))
}

func (d *decoder) commit(e *entry) {
	e.txn = d.uint64()
	for range d.count(8) {
		e.partBases = append(e.partBases, d.base())
	}
	e.offsets = d.offsets()
	e.chunks = d.chunks()
}

func (d *decoder) base() int64 {
	v := d.uint64()
	if v > 1<<62 {
		d.fail("a base offset is out of range")
		return 0
	}
	return int64(v)
}

func (d *decoder) chunks() []chunk {
	n := d.count(11)
	chunks := make([]chunk, n)
	sizes := make([]uint64, n)
	for i := range chunks {
		chunks[i] = chunk{topic: d.uvarint(), partition: d.partition(), base: d.base()}
		sizes[i] = d.uvarint()
	}
	for i := range chunks {
		chunks[i].raw = d.take(sizes[i])
	}
	return chunks
}

func offsetsSize(offsets []groupOffset) (size int) {
	for _, o := range offsets {
		size += 40 + len(o.group) + len(o.tp.Topic) + len(o.at.Metadata)
	}
	return size
}

// appendOffsets also serves the recovery point.
func appendOffsets(b []byte, offsets []groupOffset) []byte {
	b = binary.AppendUvarint(b, uint64(len(offsets)))
	for _, o := range offsets {
		b = appendString(b, o.group)
		b = appendString(b, o.tp.Topic)
		b = binary.AppendUvarint(b, uint64(o.tp.Partition))
		b = binary.AppendUvarint(b, uint64(o.at.Offset))
		b = appendString(b, o.at.Metadata)
	}
	return b
}

func (d *decoder) offsets() []groupOffset {
	n := d.count(5)
	offsets := make([]groupOffset, 0, n)
	for range n {
		offsets = append(offsets, groupOffset{
			group: d.string(),
			tp:    commitlog.TopicPartition{Topic: d.string(), Partition: d.partition()},
			at:    commitlog.GroupOffset{Offset: d.offset(), Metadata: d.string()},
		})
	}
	return offsets
}
