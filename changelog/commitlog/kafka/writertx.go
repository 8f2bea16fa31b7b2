package kafka

import (
	"fmt"
	"maps"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// unpromised marks batches whose offset nobody was told.
const unpromised = -1

// transaction is what a writer has collected since Begin, and how far Commit has
// come with it.
type transaction struct {
	broken  error // the first failure; only Abort helps
	queues  map[commitlog.TopicPartition]*queue
	offsets map[string]*groupOffsets

	started  bool // something of it may have reached a broker
	produced bool // every batch is acknowledged
}

func newTransaction() *transaction {
	return &transaction{queues: map[commitlog.TopicPartition]*queue{}, offsets: map[string]*groupOffsets{}}
}

// groupOffsets are the offsets of one group in a transaction.
type groupOffsets struct {
	as      commitlog.Membership
	offsets map[commitlog.TopicPartition]commitlog.GroupOffset
}

// queue holds the batches of one partition in order. While Commit produces, it
// belongs to the goroutine of the partition's leader.
type queue struct {
	commitlog.TopicPartition
	topicID [16]byte // when the first batch was queued
	first   int32    // sequence of the first record
	records int64    // queued in all

	waiting []batch // not acknowledged yet
	acked   int     // batches
	got     commitlog.Range
	failed  error // why the batch at the front was refused in this window
}

type batch struct {
	raw      []byte
	records  int64
	promised int64 // offset that AppendExclusive has told, or unpromised
}

func (t *transaction) empty() bool { return len(t.queues) == 0 && len(t.offsets) == 0 }

// breakWith ends the transaction with its first failure.
func (t *transaction) breakWith(err error) error {
	if t.broken == nil && err != nil {
		t.broken = fmt.Errorf("the transaction failed earlier, abort it: %w", err)
	}
	return err
}

func (t *transaction) queue(tp commitlog.TopicPartition, topicID [16]byte, sequence int32) *queue {
	q := t.queues[tp]
	if q == nil {
		q = &queue{TopicPartition: tp, topicID: topicID, first: sequence, got: commitlog.Range{Base: -1}}
		t.queues[tp] = q
	}
	return q
}

func (q *queue) add(b batch) {
	q.waiting = append(q.waiting, b)
	q.records += b.records
}

// sequenceAfter is the sequence of the next record; after 2^31 - 1 comes 0.
func (q *queue) sequenceAfter() int32 { return int32((int64(q.first) + q.records) & 0x7fffffff) }

func (t *transaction) addOffsets(group string, as commitlog.Membership, offsets map[commitlog.TopicPartition]commitlog.GroupOffset) {
	g := t.offsets[group]
	if g == nil {
		g = &groupOffsets{offsets: map[commitlog.TopicPartition]commitlog.GroupOffset{}}
		t.offsets[group] = g
	}
	g.as = as
	maps.Copy(g.offsets, offsets)
}

func (t *transaction) ranges() map[commitlog.TopicPartition]commitlog.Range {
	ranges := make(map[commitlog.TopicPartition]commitlog.Range, len(t.queues))
	for tp, q := range t.queues {
		ranges[tp] = q.got
	}
	return ranges
}
