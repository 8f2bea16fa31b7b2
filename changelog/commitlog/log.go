package commitlog

import (
	"context"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String formats as topic-partition.
func (tp TopicPartition) String() string { return fmt.Sprintf("%s-%d", tp.Topic, tp.Partition) }

// Cleanup says what a topic forgets.
type Cleanup uint8

const (
	// CleanupDelete drops old segments by retention; without a retention nothing.
	CleanupDelete Cleanup = iota
	// CleanupCompact keeps the newest record of each key.
	CleanupCompact
	// CleanupCompactDelete compacts and also lets the owner trim the start.
	CleanupCompactDelete
)

// String names the policy as Kafka's cleanup.policy does.
func (c Cleanup) String() string {
	switch c {
	case CleanupCompact:
		return "compact"
	case CleanupCompactDelete:
		return "compact,delete"
	}
	return "delete"
}

// TopicConfig describes a topic. Zero durations and sizes mean: no limit.
type TopicConfig struct {
	Name           string        `json:"name"`
	Partitions     int32         `json:"partitions"`
	Cleanup        Cleanup       `json:"cleanup"`
	RetentionTime  time.Duration `json:"retention_time,omitempty"` // counted from the append
	RetentionBytes int64         `json:"retention_bytes,omitempty"`
	SegmentBytes   int64         `json:"segment_bytes,omitempty"` // 0: the log's default
	// Internal marks topics that belong to one application (changelogs,
	// positions, repartition topics); listings leave them out by default.
	Internal bool `json:"internal,omitempty"`
	// KeepLatest asks the log to hold the newest record of each key at hand, so
	// that Latest does not scan. For small topics such as positions.
	KeepLatest bool `json:"keep_latest,omitempty"`
}

// Bounds are the readable offsets of a partition: Start is the first, StableEnd
// one past the last committed.
type Bounds struct{ Start, StableEnd int64 }

// GroupOffset is the position of a group in one partition: the next offset to
// read, with up to 4096 bytes of the committer's own.
type GroupOffset struct {
	Offset   int64
	Metadata string
}

// Log is a partitioned log. All methods may be called from any goroutine.
type Log interface {
	// ID identifies the log for as long as its data lives. State that was built
	// from another log is told by it.
	ID() string
	// CreateTopic creates a topic durably. An existing one of the same
	// configuration is success; a differing one is a *TopicMismatchError.
	CreateTopic(ctx context.Context, cfg TopicConfig) error
	// DeleteTopic removes a topic and its records.
	DeleteTopic(ctx context.Context, name string) error
	// Topic describes one topic, or fails with ErrUnknownTopic.
	Topic(ctx context.Context, name string) (TopicConfig, error)
	// Topics lists all topics by name, internal ones included.
	Topics(ctx context.Context) ([]TopicConfig, error)
	// Bounds returns the readable offsets of a partition as they are now.
	Bounds(ctx context.Context, tp TopicPartition) (Bounds, error)
	// Settled waits until everything that had been appended before the call is
	// decided, committed or aborted, and returns bounds that cover it. It is what a
	// new owner of a task asks after it has fenced the dead writers: a plain
	// Bounds may still miss the last commit of the previous owner. A transaction
	// that nobody will end is a *HangingTransactionError after a bounded wait.
	Settled(ctx context.Context, tps []TopicPartition) (map[TopicPartition]Bounds, error)
	// Trim removes the records below an offset, which must not lie above the
	// stable end. It is for the owner of a partition; errors.ErrUnsupported where
	// the log does not offer it.
	Trim(ctx context.Context, tp TopicPartition, before int64) error
	// NewReader returns a reader without partitions.
	NewReader(opts ReaderOptions) (Reader, error)
	// OpenWriter takes a new epoch of the writer identity id: whatever an earlier
	// holder had open is aborted, and its next call fails with ErrFenced. It is
	// also how a new owner takes over from a dead one, before it reads anything.
	OpenWriter(ctx context.Context, id string) (Writer, error)
	// OpenMember prepares to take part in a group; Join does it.
	OpenMember(ctx context.Context, cfg GroupConfig) (Member, error)
	// GroupOffsets returns the committed offsets of a group, none if it is new. It
	// waits for transactions that have offsets of the group pending.
	GroupOffsets(ctx context.Context, group string) (map[TopicPartition]GroupOffset, error)
	// Latest returns the newest committed record of a key in a compacted topic,
	// everything appended before the call considered (see Settled).
	Latest(ctx context.Context, tp TopicPartition, key []byte) (Record, bool, error)
	// ReadAt returns the records at exact offsets, in the order asked. A missing
	// one (compacted, trimmed, past the end) has Found false.
	ReadAt(ctx context.Context, at []RecordID) ([]Record, error)
	// Close releases everything. Readers and writers fail with ErrClosed after it.
	Close() error
}

// RecordID is the place of one record.
type RecordID struct {
	TopicPartition
	Offset int64
}

// Record is one record found by Latest or ReadAt. Key and Value are immutable.
type Record struct {
	Found  bool
	Offset int64
	Time   int64 // milliseconds since the epoch
	Key    []byte
	Value  []byte // nil is null
}

// ReaderOptions configure a Reader; the zero value is useful.
type ReaderOptions struct {
	// MaxWait bounds how long Poll waits for data; 0 means 500 ms.
	MaxWait time.Duration
	// MaxBytes bounds the batches that one Poll returns (a single larger batch is
	// still returned whole); 0 means 8 MiB.
	MaxBytes int
	// MaxPartitionBytes bounds what one Poll returns of a partition; 0 means 1 MiB.
	MaxPartitionBytes int
}

// Reader reads committed batches of any number of partitions. It belongs to one
// goroutine; only Wake may be called from others.
type Reader interface {
	// Assign starts reading a partition at an offset, or moves it there.
	Assign(tp TopicPartition, offset int64) error
	// Unassign stops reading a partition.
	Unassign(tp TopicPartition)
	// Pause stops fetching a partition (its stable end is still reported), and
	// Resume takes it up again at the position where it was left.
	Pause(tp TopicPartition)
	Resume(tp TopicPartition)
	// Poll returns as soon as a partition that is not paused has data, when
	// MaxWait is over, when ctx ends (with its error) or after Wake. The answer
	// has an entry for every assigned partition, whether it has batches or not,
	// with its stable end; a partition whose stable end is not known yet, because
	// its server has not answered, has none. Next moves on over offsets that are
	// no records, so an entry without batches may move it. A position below the
	// log start or above the end fails with *OffsetOutOfRangeError.
	Poll(ctx context.Context) ([]Fetched, error)
	// Wake makes a waiting or the next Poll return at once.
	Wake()
	Close() error
}

// Fetched is what one Poll knows about one partition.
type Fetched struct {
	TopicPartition
	// Batches in offset order; the first may begin below the position asked for,
	// those records are to be skipped.
	Batches []recordbatch.Batch
	// Next is the position after Batches: where the next Poll goes on.
	Next int64
	// StableEnd is one past the last committed offset.
	StableEnd int64
}

// Writer appends in transactions under a fenced identity: everything between
// Begin and Commit becomes visible together, or not at all. It belongs to one
// goroutine. After any error but ErrLowSpace and ErrStaleGeneration the
// transaction is over: Abort, then go on according to the error (see the Err
// values).
type Writer interface {
	// ID is the identity, Epoch its current epoch.
	ID() string
	Epoch() int64
	// Begin starts a transaction.
	Begin() error
	// Append adds batches to a partition. Their offsets are known after Commit.
	Append(tp TopicPartition, b *recordbatch.Builder) error
	// OpenExclusive claims a partition to which nobody else appends while this
	// writer lives (changelogs have one writer). It returns the next offset.
	OpenExclusive(ctx context.Context, tp TopicPartition) (next int64, err error)
	// CloseExclusive gives a claim up, so that another writer can have it while this
	// one lives: its task moves. Without a claim it does nothing. It is not for the
	// middle of a transaction.
	CloseExclusive(tp TopicPartition) error
	// AppendExclusive appends to a claimed partition and returns the offset that
	// the first record will have if the transaction commits.
	AppendExclusive(tp TopicPartition, b *recordbatch.Builder) (base int64, err error)
	// Offsets adds group offsets to the transaction, as a member of the group. A
	// later call for the same group replaces the membership of the earlier.
	Offsets(group string, as Membership, offsets map[TopicPartition]GroupOffset) error
	// Commit makes the transaction durable and visible. It returns the offset
	// range that each partition received. ErrStaleGeneration leaves the
	// transaction open; ErrNotMember does not.
	Commit(ctx context.Context) (map[TopicPartition]Range, error)
	// Abort drops the transaction; without one it does nothing.
	Abort() error
	Close() error
}

// Range is the half-open range of offsets [Base, Next) that one transaction
// gave to one partition. Unless the partition was claimed, it may hold records of
// other writers too.
type Range struct{ Base, Next int64 }
