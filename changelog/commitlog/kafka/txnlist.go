package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// offsetsTopic holds the group offsets, those of transactions included.
const offsetsTopic = "__consumer_offsets"

// Transactions lists the open transactions of the whole cluster, by topic and
// partition, the internal offsets topic included. Needs the permission READ on
// the topics and DESCRIBE on the transactional ids.
func (l *Log) Transactions(ctx context.Context) ([]Transaction, error) {
	if l.closed() {
		return nil, commitlog.ErrClosed
	}
	all, err := l.partitionsOfAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("list transactions: %w", err)
	}
	open, err := l.transactionsOf(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("list transactions: %w", err)
	}
	return open, nil
}

// partitionsOfAll lists every partition that a transaction can be open on. It
// also brings the metadata cache up to date.
func (l *Log) partitionsOfAll(ctx context.Context) ([]commitlog.TopicPartition, error) {
	topics, err := l.client.AllTopics(ctx)
	if err != nil {
		return nil, err
	}
	offsets, err := l.client.TopicInfo(ctx, offsetsTopic)
	if err == nil {
		topics = append(topics, offsets)
	} else if !errors.Is(err, commitlog.ErrUnknownTopic) { // it is made at the first use of a group
		return nil, err
	}
	var all []commitlog.TopicPartition
	for _, t := range topics {
		for p := range t.Partitions {
			all = append(all, commitlog.TopicPartition{Topic: t.Name, Partition: p})
		}
	}
	return all, nil
}

// coordinatorViews asks all coordinators about the producers of the
// transactions. A producer that none of them knows has no entry.
func (l *Log) coordinatorViews(ctx context.Context, open []Transaction) (map[int64]*coordinatorView, error) {
	var producers []int64
	for _, t := range open {
		if !slices.Contains(producers, t.ProducerID) {
			producers = append(producers, t.ProducerID)
		}
	}
	ids := map[string]bool{}
	for _, node := range l.client.Nodes() {
		if err := l.listTransactions(ctx, node, producers, ids); err != nil {
			return nil, err
		}
	}
	views := map[int64]*coordinatorView{}
	for id := range ids {
		if err := l.describeTransaction(ctx, id, views); err != nil {
			return nil, err
		}
	}
	return views, nil
}

// listTransactions adds the transactional ids that a node coordinates for the
// producers.
func (l *Log) listTransactions(ctx context.Context, node wire.Node, producers []int64, ids map[string]bool) error {
	backoff := l.client.Backoff("list the transactions of " + node.String())
	for {
		req := kmsg.NewPtrListTransactionsRequest()
		req.ProducerIDFilters = producers
		resp, err := l.client.Call(ctx, node, req)
		if err == nil {
			list := resp.(*kmsg.ListTransactionsResponse)
			if err = wire.CodeError(list.ErrorCode); err == nil {
				for _, t := range list.TransactionStates {
					ids[t.TransactionalID] = true
				}
				return nil
			}
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return err
		}
	}
}

// describeTransaction adds the coordinator's view of a transactional id, under
// its current producer id.
func (l *Log) describeTransaction(ctx context.Context, id string, views map[int64]*coordinatorView) error {
	return l.atCoordinator(ctx, wire.TxnCoordinator, id, "describe transactional id "+id, always, func(node wire.Node) error {
		req := kmsg.NewPtrDescribeTransactionsRequest()
		req.TransactionalIDs = []string{id}
		resp, err := l.client.Call(ctx, node, req)
		if err != nil {
			return err
		}
		for _, s := range resp.(*kmsg.DescribeTransactionsResponse).TransactionStates {
			if err := wire.CodeError(s.ErrorCode); err != nil {
				if err == wire.TransactionalIDNotFound { // expired between the two questions
					continue
				}
				return fmt.Errorf("needs the permission DESCRIBE on the transactional id: %w", err)
			}
			v := &coordinatorView{id: id, state: s.State, epoch: s.ProducerEpoch, started: s.StartTimestamp, partitions: map[commitlog.TopicPartition]bool{}}
			for _, t := range s.Topics {
				for _, p := range t.Partitions {
					v.partitions[commitlog.TopicPartition{Topic: t.Topic, Partition: p}] = true
				}
			}
			views[s.ProducerID] = v
		}
		return nil
	})
}

// atCoordinator runs a request at a coordinator, following it when it moves, for
// as long as repeat allows another attempt after an error, and time does.
func (l *Log) atCoordinator(ctx context.Context, kind wire.CoordinatorKind, key, what string, repeat func(error) bool, do func(wire.Node) error) error {
	backoff := l.client.Backoff(what)
	for {
		node, err := l.client.Coordinator(ctx, kind, key)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err = do(node); err == nil {
			return nil
		}
		if coordinatorMoved(err) {
			l.client.ForgetCoordinator(kind, key)
		}
		if !repeat(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return err
		}
	}
}

// always repeats whatever time may mend: for requests that only ask.
func always(error) bool { return true }

func coordinatorMoved(err error) bool {
	var io *wire.IOError
	code, _ := codeOf(err)
	return code == wire.NotCoordinator || code == wire.CoordinatorNotAvailable || errors.As(err, &io)
}
