package kafka

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// crafted describes a batch as brokers may return it, which no builder makes.
type crafted struct {
	base       int64
	lastDelta  int32   // kept by compaction; 0 means that of the last record
	deltas     []int32 // of the records that are left
	producer   int64   // transactional if >= 0
	epoch      int16
	marker     int // 0 none, 'A' abort, 'C' commit
	horizon    bool
	attributes int16 // on top
}

func plainBatch(base int64, n int) crafted {
	c := crafted{base: base, producer: -1}
	for i := range n {
		c.deltas = append(c.deltas, int32(i))
	}
	return c
}

func (c crafted) by(producer int64) crafted { c.producer = producer; return c }

func marker(base int64, kind int, producer int64) crafted {
	return crafted{base: base, deltas: []int32{0}, producer: producer, epoch: 9, marker: kind}
}

// bytes encodes the batch by hand, values being their offsets.
func (c crafted) bytes() []byte {
	var body []byte
	for _, delta := range c.deltas {
		key, value := []byte("k"), binary.BigEndian.AppendUint64(nil, uint64(c.base+int64(delta)))
		switch c.marker {
		case 'A':
			key, value = []byte{0, 0, 0, 0}, make([]byte, 6)
		case 'C':
			key, value = []byte{0, 0, 0, 1}, make([]byte, 6)
		}
		timeDelta := int64(delta)
		if c.horizon {
			timeDelta -= 1000 // relative to the delete horizon
		}
		r := binary.AppendVarint([]byte{0}, timeDelta)
		r = binary.AppendVarint(r, int64(delta))
		r = append(binary.AppendVarint(r, int64(len(key))), key...)
		r = append(binary.AppendVarint(r, int64(len(value))), value...)
		r = append(r, 0)
		body = append(binary.AppendVarint(body, int64(len(r))), r...)
	}
	last := c.lastDelta
	if n := len(c.deltas); n > 0 {
		last = max(last, c.deltas[n-1])
	}
	attributes, sequence := c.attributes, int32(-1)
	if c.producer >= 0 {
		attributes |= 1 << 4
		sequence = 0
	}
	if c.marker != 0 {
		attributes |= 1 << 5
	}
	firstTime := int64(100)
	if c.horizon {
		attributes |= 1 << 6
		firstTime = 1100
	}
	if len(c.deltas) == 0 {
		firstTime = -1
	}
	tail := binary.BigEndian.AppendUint16(nil, uint16(attributes))
	tail = binary.BigEndian.AppendUint32(tail, uint32(last))
	tail = binary.BigEndian.AppendUint64(tail, uint64(firstTime))
	tail = binary.BigEndian.AppendUint64(tail, 2000)
	tail = binary.BigEndian.AppendUint64(tail, uint64(c.producer))
	tail = binary.BigEndian.AppendUint16(tail, uint16(c.epoch))
	tail = binary.BigEndian.AppendUint32(tail, uint32(sequence))
	tail = binary.BigEndian.AppendUint32(tail, uint32(len(c.deltas)))
	tail = append(tail, body...)
	out := binary.BigEndian.AppendUint64(nil, uint64(c.base))
	out = binary.BigEndian.AppendUint32(out, uint32(9+len(tail)))
	out = append(out, 0, 0, 0, 0, 2)
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(tail, crc32.MakeTable(crc32.Castagnoli)))
	return append(out, tail...)
}

func join(batches ...crafted) []byte {
	var raw []byte
	for _, b := range batches {
		raw = append(raw, b.bytes()...)
	}
	return raw
}

// offsetsIn lists the records of batches from an offset on.
func offsetsIn(batches []recordbatch.Batch, from int64) (offsets []int64, err error) {
	for _, b := range batches {
		it := b.Records()
		for it.Next() {
			if it.Offset >= from {
				offsets = append(offsets, it.Offset)
			}
		}
		if it.Err() != nil {
			return offsets, it.Err()
		}
	}
	return offsets, nil
}
