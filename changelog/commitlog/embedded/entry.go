package embedded

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// entryKind is the first byte of a journal entry. The numbers are on disk.
type entryKind byte

const (
	entryHeader      entryKind = 1 // first in each journal
	entryPart        entryKind = 2 // batches of a transaction ahead of its commit
	entryCommit      entryKind = 3 // the rest of the batches, and all offsets
	entryCreateTopic entryKind = 4
	entryDeleteTopic entryKind = 5
	entryOpenWriter  entryKind = 6
)

// entryPrefix is the size of what every entry starts with: its kind and how many
// bytes of its journal were known to be on disk when it was written. That number
// is the proof by which recovery tells damage from a torn tail; the journal
// writes it at the last moment, see stampSynced.
const entryPrefix = 1 + 8

// chunk is one Append: whole batches for one partition.
type chunk struct {
	topic     uint64 // topic id
	partition int32
	base      int64 // offset of the first record; 0 in parts, where it is not known yet
	raw       []byte
}

// groupOffset is one position that a transaction commits.
type groupOffset struct {
	group string
	tp    commitlog.TopicPartition
	at    commitlog.GroupOffset
}

// entry is a decoded journal entry; which fields count depends on kind.
type entry struct {
	kind entryKind

	header journalHeader

	txn       uint64  // part, commit
	partBases []int64 // commit: base offset of every chunk of its parts, in order
	chunks    []chunk // part, commit
	offsets   []groupOffset

	topicID uint64 // create, delete
	config  commitlog.TopicConfig

	writer writerRecord
}

// journalHeader opens a journal. It says where the journal before it ended, and
// by that cuts a torn tail off: whatever lies behind prevEnd never happened.
type journalHeader struct {
	journal uint64
	prev    uint64 // 0: there is none
	prevEnd int64
}

// writerRecord is the durable part of a writer identity.
type writerRecord struct {
	id     string
	number uint64 // producer id in the batches
	epoch  int64
}

func newEntry(kind entryKind, capacity int) []byte {
	b := make([]byte, entryPrefix, entryPrefix+capacity)
	b[0] = byte(kind)
	return b
}

func stampSynced(encoded []byte, synced int64) {
	binary.LittleEndian.PutUint64(encoded[1:], uint64(synced))
}

func encodeHeader(h journalHeader) []byte {
	b := newEntry(entryHeader, 24)
	b = binary.AppendUvarint(b, h.journal)
	b = binary.AppendUvarint(b, h.prev)
	return binary.AppendUvarint(b, uint64(h.prevEnd))
}

func encodeCreateTopic(id uint64, cfg commitlog.TopicConfig) ([]byte, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("encode the configuration of topic %s: %w", cfg.Name, err)
	}
	b := binary.AppendUvarint(newEntry(entryCreateTopic, len(text)+20), id)
	return appendBytes(b, text), nil
}

func encodeDeleteTopic(id uint64) []byte {
	return binary.AppendUvarint(newEntry(entryDeleteTopic, 10), id)
}

func encodeOpenWriter(w writerRecord) []byte {
	return w.append(newEntry(entryOpenWriter, len(w.id)+30))
}

func (w writerRecord) append(b []byte) []byte {
	b = appendString(b, w.id)
	b = binary.AppendUvarint(b, w.number)
	return binary.AppendUvarint(b, uint64(w.epoch))
}

func (d *decoder) writer() writerRecord {
	return writerRecord{id: d.string(), number: d.uvarint(), epoch: d.offset()}
}

// decodeEntry decodes one entry. Batches share b. Errors wrap errDecode.
func decodeEntry(b []byte) (*entry, error) {
	d := &decoder{b: b}
	e := &entry{kind: entryKind(d.byte())}
	d.uint64() // the synced length, of interest to the reader of the journal only
	switch e.kind {
	case entryHeader:
		e.header = journalHeader{journal: d.uvarint(), prev: d.uvarint(), prevEnd: d.offset()}
	case entryPart:
		e.txn = d.uint64()
		e.chunks = d.chunks()
	case entryCommit:
		d.commit(e)
	case entryCreateTopic:
		e.topicID = d.uvarint()
		e.config = d.config()
	case entryDeleteTopic:
		e.topicID = d.uvarint()
	case entryOpenWriter:
		e.writer = d.writer()
	default:
		d.fail(fmt.Sprintf("kind %d is unknown", e.kind))
	}
	return e, d.end()
}

func (d *decoder) config() (cfg commitlog.TopicConfig) {
	text := d.bytes()
	if d.err != nil {
		return cfg
	}
	if err := json.Unmarshal(text, &cfg); err != nil {
		d.fail("topic configuration: " + err.Error())
	}
	if cfg.Partitions < 1 || cfg.Partitions > maxPartitions {
		d.fail(fmt.Sprintf("a topic of %d partitions", cfg.Partitions))
	}
	return cfg
}
