package kafka

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// coordinatorTopic is the coordinators' own log: the state of every transactional
// id after each change. Compaction forgets all but the last state, in time.
const coordinatorTopic = "__transaction_state"

// recorded looks in the coordinator's log how the transaction was decided. It is
// the last decision about a transaction of this epoch with this partition: a later
// one would have ended what hangs there. known is false if compaction has removed
// it, or if the log may not be read.
func (l *Log) recorded(ctx context.Context, t Transaction) (commit, known bool, err error) {
	if t.TransactionalID == "" {
		return false, false, nil
	}
	info, err := l.client.TopicInfo(ctx, coordinatorTopic)
	if err == nil {
		at := commitlog.TopicPartition{Topic: coordinatorTopic, Partition: javaHash(t.TransactionalID) & 0x7fffffff % info.Partitions}
		err = l.walk(ctx, at, func(b recordbatch.Batch) (bool, error) {
			it := b.Records()
			for it.Next() {
				if decision, ok := decisionIn(it.Key, it.Value, t); ok {
					commit, known = decision, true
				}
			}
			return false, it.Err()
		})
	}
	if errors.Is(err, commitlog.ErrDenied) || errors.Is(err, commitlog.ErrUnknownTopic) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("read the coordinator's log: %w", err)
	}
	return commit, known, nil
}

// decisionIn reads one record of the coordinator's log.
func decisionIn(key, value []byte, t Transaction) (commit, ok bool) {
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(key); err != nil || k.TransactionalID != t.TransactionalID || value == nil {
		return false, false
	}
	var v kmsg.TxnMetadataValue
	if err := v.ReadFrom(value); err != nil {
		return false, false // of a newer Kafka: as good as compacted away
	}
	prepared := v.State == kmsg.TransactionStatePrepareCommit || v.State == kmsg.TransactionStatePrepareAbort
	// The newer protocol writes the next epoch with the decision, the older keeps it.
	if !prepared || v.ProducerID != t.ProducerID || v.ProducerEpoch != t.Epoch && v.ProducerEpoch != t.Epoch+1 {
		return false, false
	}
	for _, topic := range v.Topics {
		for _, p := range topic.Partitions {
			if topic.Topic == t.Topic && p == t.Partition {
				return v.State == kmsg.TransactionStatePrepareCommit, true
			}
		}
	}
	return false, false
}

// javaHash is String.hashCode of Java, by which transactional ids are spread over
// the coordinator's log.
func javaHash(s string) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(unit)
	}
	return h
}
