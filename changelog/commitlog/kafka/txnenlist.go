package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// Versions of the requests by which the older transaction protocol tells the
// coordinator what belongs to a transaction. AddPartitionsToTxn 4 and above is
// between brokers.
const (
	addPartitionsVersion = 3
	addOffsetsVersion    = 3
)

// enlist adds partitions and groups to the transaction. With the newer protocol
// the brokers do that by themselves at the first append.
func (w *Writer) enlist(ctx context.Context, tx *transaction) error {
	if w.v2 {
		return nil
	}
	if len(tx.queues) > 0 {
		if err := w.atCoordinator(ctx, "add partitions to the transaction", w.offsetsRepeatable, func(node wire.Node) error { return w.addPartitions(ctx, node, tx) }); err != nil {
			return err
		}
	}
	for group := range tx.offsets {
		if err := w.atCoordinator(ctx, "add group "+group+" to the transaction", w.offsetsRepeatable, func(node wire.Node) error { return w.addGroup(ctx, node, group) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) addPartitions(ctx context.Context, node wire.Node, tx *transaction) error {
	p := w.producer.Load()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = w.id, p.id, p.epoch
	var all []commitlog.TopicPartition
	for tp := range tx.queues {
		all = append(all, tp)
	}
	for topic, partitions := range partitionsByTopic(all) {
		t := kmsg.NewAddPartitionsToTxnRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
	}
	resp, err := w.log.client.CallAt(ctx, node, addPartitionsVersion, req)
	if err != nil {
		return err
	}
	var first error
	for _, t := range resp.(*kmsg.AddPartitionsToTxnResponse).Topics {
		for _, p := range t.Partitions {
			code := wire.Code(p.ErrorCode)
			if code == 0 || code == wire.OperationNotAttempted { // another partition has the reason
				continue
			}
			if first == nil {
				first = named(fmt.Errorf("%s-%d: %w", t.Topic, p.Partition, code), "WRITE on topic "+t.Topic+" and on transactional id "+w.id)
			}
		}
	}
	return first
}

func (w *Writer) addGroup(ctx context.Context, node wire.Node, group string) error {
	p := w.producer.Load()
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = w.id, p.id, p.epoch, group
	resp, err := w.log.client.CallAt(ctx, node, addOffsetsVersion, req)
	if err != nil {
		return err
	}
	return refused(resp.(*kmsg.AddOffsetsToTxnResponse).ErrorCode, nil, "the transaction's coordinator", "READ on group "+group)
}
