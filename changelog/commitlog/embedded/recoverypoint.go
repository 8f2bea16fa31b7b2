package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const (
	recoveryFile    = "RECOVERY"
	recoveryMagic   = "TMRP"
	recoveryVersion = 1
)

// segmentRecord is what the recovery point knows of a segment: its first offset
// and how many of its bytes count. What the file holds behind them is cut off by
// not being mentioned.
type segmentRecord struct{ base, next, size int64 }

type partitionRecord struct {
	start, end int64
	segments   []segmentRecord
	latest     []commitlog.Record
}

type topicRecord struct {
	id         uint64
	config     commitlog.TopicConfig
	partitions []partitionRecord
}

// recoveryPoint is the state at one position of the journal, all of it on disk
// in synced segments and in this file.
type recoveryPoint struct {
	// keepFrom is the oldest journal that is still needed: parts of transactions
	// that commit behind pos may lie before pos.
	keepFrom uint64
	pos      position
	nextID   uint64
	topics   []topicRecord
	writers  []writerRecord
	offsets  []groupOffset
}

func (r *recoveryPoint) encode() ([]byte, error) {
	b := append([]byte(recoveryMagic), recoveryVersion)
	b = binary.AppendUvarint(b, r.keepFrom)
	b = binary.AppendUvarint(b, r.pos.journal)
	b = binary.AppendUvarint(b, uint64(r.pos.offset))
	b = binary.AppendUvarint(b, r.nextID)
	b = binary.AppendUvarint(b, uint64(len(r.topics)))
	for _, t := range r.topics {
		create, err := encodeCreateTopic(t.id, t.config)
		if err != nil {
			return nil, err
		}
		b = append(b, create[entryPrefix:]...)
		for _, p := range t.partitions {
			b = p.append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(r.writers)))
	for _, w := range r.writers {
		b = w.append(b)
	}
	b = appendOffsets(b, r.offsets)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func (p partitionRecord) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(p.start))
	b = binary.AppendUvarint(b, uint64(p.end))
	b = binary.AppendUvarint(b, uint64(len(p.segments)))
	for _, s := range p.segments {
		b = binary.AppendUvarint(b, uint64(s.base))
		b = binary.AppendUvarint(b, uint64(s.next))
		b = binary.AppendUvarint(b, uint64(s.size))
	}
	b = binary.AppendUvarint(b, uint64(len(p.latest)))
	for _, l := range p.latest {
		b = binary.AppendUvarint(b, uint64(l.Offset))
		b = binary.AppendVarint(b, l.Time)
		b = appendBytes(b, l.Key)
		b = appendBytes(b, l.Value)
	}
	return b
}

var errChecksum = errors.New("the checksum is wrong")

// decodeRecoveryPoint decodes the whole file. Errors: errChecksum, errDecode.
func decodeRecoveryPoint(b []byte) (*recoveryPoint, error) {
	head := len(recoveryMagic) + 1
	if len(b) < head+4 || string(b[:len(recoveryMagic)]) != recoveryMagic {
		return nil, fmt.Errorf("%w: not a recovery point", errDecode)
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[len(body):]) {
		return nil, errChecksum
	}
	if version := b[head-1]; version != recoveryVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads version %d", errDecode, version, recoveryVersion)
	}
	d := &decoder{b: body[head:]}
	r := &recoveryPoint{
		keepFrom: d.uvarint(),
		pos:      position{journal: d.uvarint(), offset: d.offset()},
		nextID:   d.uvarint(),
	}
	for range d.count(4) {
		r.topics = append(r.topics, d.topic())
	}
	for range d.count(3) {
		r.writers = append(r.writers, d.writer())
	}
	r.offsets = d.offsets()
	return r, d.end()
}

func (d *decoder) topic() topicRecord {
	t := topicRecord{id: d.uvarint(), config: d.config()}
	if int64(t.config.Partitions)*4 > int64(len(d.b)) {
		d.fail("partitions are missing")
		return t
	}
	for range t.config.Partitions {
		t.partitions = append(t.partitions, d.partitionRecord())
	}
	return t
}

func (d *decoder) partitionRecord() partitionRecord {
	p := partitionRecord{start: d.offset(), end: d.offset()}
	next := int64(-1)
	for range d.count(3) {
		s := segmentRecord{base: d.offset(), next: d.offset(), size: d.offset()}
		if s.next < s.base || next >= 0 && s.base != next {
			d.fail("segments do not follow each other")
		}
		p.segments = append(p.segments, s)
		next = s.next
	}
	if next >= 0 && next != p.end || p.start > p.end || next < 0 && p.start != p.end {
		d.fail("segments and offsets of a partition disagree")
	}
	for range d.count(4) {
		p.latest = append(p.latest, commitlog.Record{
			Found: true, Offset: d.offset(), Time: d.varint(), Key: d.bytes(), Value: d.bytes(),
		})
	}
	return p
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a signed number is cut off or too long")
		return 0
	}
	d.b = d.b[n:]
	return v
}
