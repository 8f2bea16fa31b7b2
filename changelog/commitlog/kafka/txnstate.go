package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// forgottenAfter is when an open transaction whose producer no coordinator knows
// is taken for hanging: above the longest transaction timeout that brokers allow
// (transaction.max.timeout.ms, 15 min by default). Before that, the producer may
// only be hidden from us by a missing permission.
const forgottenAfter = 20 * time.Minute

// Transaction is an open transaction of one producer on one partition, as the
// partition's leader and the transaction coordinator see it.
type Transaction struct {
	commitlog.TopicPartition
	ProducerID int64
	Epoch      int16
	// TransactionalID is the writer identity; empty if no coordinator knows the
	// producer (any more).
	TransactionalID string
	// State is the coordinator's: Ongoing, PrepareCommit, CompleteCommit, Empty, ...;
	// empty like TransactionalID.
	State string
	// StartOffset is the first offset of the transaction; the stable end of the
	// partition cannot pass it.
	StartOffset int64
	// Age counts from the start of the transaction where the coordinator knows it,
	// otherwise from the time of the last record that it wrote here.
	Age time.Duration
	// Hanging: nobody will end it. The coordinator holds it for done, or does not
	// have this partition in it.
	Hanging bool

	coordinatorEpoch int32 // for the marker that ends it by hand
	current          int16 // the producer's epoch at the coordinator
}

// hanging looks whether a transaction that nobody will end holds the stable end
// of a partition back: nil if not. The caller fills in Waited.
func (l *Log) hanging(ctx context.Context, tp commitlog.TopicPartition) (*commitlog.HangingTransactionError, error) {
	open, err := l.transactionsOf(ctx, []commitlog.TopicPartition{tp})
	if err != nil {
		return nil, fmt.Errorf("look for a hanging transaction on %s: %w", tp, err)
	}
	for _, t := range open {
		if t.Hanging {
			return &commitlog.HangingTransactionError{TopicPartition: tp, FirstOffset: t.StartOffset, ProducerID: t.ProducerID, Epoch: t.Epoch}, nil
		}
	}
	return nil, nil
}

// transactionsOf lists the transactions that are open on the partitions. The
// leaders are asked before and after the coordinators: a transaction that was
// open on both occasions was open when its coordinator was asked, so a
// coordinator that held it for done then had forgotten it.
func (l *Log) transactionsOf(ctx context.Context, tps []commitlog.TopicPartition) ([]Transaction, error) {
	before, err := l.openTransactions(ctx, tps)
	if err != nil || len(before) == 0 {
		return nil, err
	}
	seen, err := l.coordinatorViews(ctx, before)
	if err != nil {
		return nil, err
	}
	var held []commitlog.TopicPartition
	for _, t := range before {
		held = append(held, t.TopicPartition)
	}
	after, err := l.openTransactions(ctx, held)
	if err != nil {
		return nil, err
	}
	after = slices.DeleteFunc(after, func(t Transaction) bool {
		return !slices.ContainsFunc(before, t.same)
	})
	for i := range after {
		after[i].judge(seen[after[i].ProducerID], l.client.Now())
	}
	slices.SortFunc(after, func(a, b Transaction) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(min(max(a.StartOffset-b.StartOffset, -1), 1))
	})
	return after, nil
}

func (t Transaction) same(o Transaction) bool {
	return t.TopicPartition == o.TopicPartition && t.ProducerID == o.ProducerID && t.StartOffset == o.StartOffset
}

// coordinatorView is what the coordinator knows of a producer.
type coordinatorView struct {
	id, state  string
	epoch      int16
	started    int64 // ms; -1 if no transaction is open
	partitions map[commitlog.TopicPartition]bool
}

// judge joins what the leader said with what the coordinator says.
func (t *Transaction) judge(v *coordinatorView, now time.Time) {
	if v == nil {
		t.Hanging = t.Age > forgottenAfter
		return
	}
	t.TransactionalID, t.State, t.current = v.id, v.state, v.epoch
	if v.started > 0 && v.partitions[t.TopicPartition] {
		t.Age = now.Sub(time.UnixMilli(v.started))
	}
	switch v.state {
	case "Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence":
		// It is about a later transaction of the producer if our partition is not in it.
		t.Hanging = !v.partitions[t.TopicPartition]
	default: // Empty, CompleteCommit, CompleteAbort, Dead
		t.Hanging = true
	}
}

// openTransactions asks the leaders which producers have a transaction open.
func (l *Log) openTransactions(ctx context.Context, tps []commitlog.TopicPartition) ([]Transaction, error) {
	var open []Transaction
	err := l.describeProducers(ctx, tps, func(tp commitlog.TopicPartition, p kmsg.DescribeProducersResponseTopicPartitionActiveProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, Transaction{
				TopicPartition: tp, ProducerID: p.ProducerID, Epoch: int16(p.ProducerEpoch), StartOffset: p.CurrentTxnStartOffset,
				Age: l.client.Now().Sub(time.UnixMilli(p.LastTimestamp)), coordinatorEpoch: p.CoordinatorEpoch,
			})
		}
	})
	return open, err
}

// describeProducers calls visit for every producer that the leaders remember.
func (l *Log) describeProducers(ctx context.Context, tps []commitlog.TopicPartition, visit func(commitlog.TopicPartition, kmsg.DescribeProducersResponseTopicPartitionActiveProducer)) error {
	backoff := l.client.Backoff("ask the partition leaders for their producers")
	for todo := tps; len(todo) > 0; {
		again, err := l.describeProducersOnce(ctx, todo, visit)
		if len(again) == 0 {
			return err
		}
		if waitErr := backoff.Wait(ctx, err); waitErr != nil {
			return waitErr
		}
		if err := l.client.Refresh(ctx, topicsOf(again)...); err != nil {
			return err
		}
		todo = again
	}
	return nil
}

// describeProducersOnce returns the partitions to ask again, with the reason.
func (l *Log) describeProducersOnce(ctx context.Context, tps []commitlog.TopicPartition, visit func(commitlog.TopicPartition, kmsg.DescribeProducersResponseTopicPartitionActiveProducer)) (again []commitlog.TopicPartition, reason error) {
	byLeader := map[wire.Node][]commitlog.TopicPartition{}
	for _, tp := range tps {
		leader, err := l.client.Leader(ctx, tp.Topic, tp.Partition)
		if err != nil {
			return nil, err
		}
		byLeader[leader] = append(byLeader[leader], tp)
	}
	for leader, theirs := range byLeader {
		req := kmsg.NewPtrDescribeProducersRequest()
		for topic, partitions := range partitionsByTopic(theirs) {
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic, t.Partitions = topic, partitions
			req.Topics = append(req.Topics, t)
		}
		resp, err := l.client.Call(ctx, leader, req)
		if err != nil {
			again, reason = append(again, theirs...), err
			continue
		}
		for _, t := range resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, p := range t.Partitions {
				tp := commitlog.TopicPartition{Topic: t.Topic, Partition: p.Partition}
				if err := wire.CodeError(p.ErrorCode); err != nil {
					again, reason = append(again, tp), fmt.Errorf("producers of %s at %s (needs the permission READ on the topic): %w", tp, leader, err)
					continue
				}
				for _, producer := range p.ActiveProducers {
					visit(tp, producer)
				}
			}
		}
	}
	return again, reason
}

func topicsOf(tps []commitlog.TopicPartition) []string {
	var topics []string
	for _, tp := range tps {
		if !slices.Contains(topics, tp.Topic) {
			topics = append(topics, tp.Topic)
		}
	}
	return topics
}

func partitionsByTopic(tps []commitlog.TopicPartition) map[string][]int32 {
	m := map[string][]int32{}
	for _, tp := range tps {
		m[tp.Topic] = append(m[tp.Topic], tp.Partition)
	}
	return m
}
