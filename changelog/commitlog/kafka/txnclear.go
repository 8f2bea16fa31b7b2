package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// checkClear makes sure that nothing of this producer is open on the partitions of
// the transaction: once after every take-over or settling, and after every failed
// request of this process. Brokers write the markers of a transaction after their
// answer, and one that is killed in between may forget them. What hangs on a
// partition would be taken for the beginning of this transaction: aborted records
// would be committed with it, so that a redo shows them twice, or committed ones
// aborted with it.
//
// Without the permission READ on a topic it cannot be asked, and is not.
func (w *Writer) checkClear(ctx context.Context, tx *transaction) error {
	if failures := w.log.client.Failures(); failures != w.failures {
		w.failures = failures
		clear(w.clear)
	}
	var unknown []commitlog.TopicPartition
	for tp := range tx.queues {
		if !w.clear[tp] {
			unknown = append(unknown, tp)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	backoff := w.log.client.Backoff("wait for the end of the last transaction of writer " + w.id)
	for {
		open, err := w.ownTransactions(ctx, unknown)
		if err != nil && !errors.Is(err, commitlog.ErrDenied) {
			return err
		}
		if len(open) == 0 {
			break
		}
		if t := open[0]; t.Hanging {
			return &commitlog.HangingTransactionError{TopicPartition: t.TopicPartition, FirstOffset: t.StartOffset, ProducerID: t.ProducerID, Epoch: t.Epoch,
				Waited: fmt.Sprintf("decided by its coordinator (%s) without a marker", t.State)}
		}
		if err := backoff.Wait(ctx, wire.ConcurrentTransactions); err != nil {
			return err
		}
	}
	for _, tp := range unknown {
		w.clear[tp] = true
	}
	return nil
}

// ownTransactions lists what this writer's producer has open, hanging ones first.
func (w *Writer) ownTransactions(ctx context.Context, tps []commitlog.TopicPartition) ([]Transaction, error) {
	open, err := w.log.openTransactions(ctx, tps)
	others := func(t Transaction) bool { return t.ProducerID != w.producer.Load().id }
	if open = slices.DeleteFunc(open, others); err != nil || len(open) == 0 {
		return nil, err
	}
	if open, err = w.log.transactionsOf(ctx, tps); err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, others)
	slices.SortStableFunc(open, func(a, b Transaction) int {
		switch {
		case a.Hanging == b.Hanging:
			return 0
		case a.Hanging:
			return -1
		}
		return 1
	})
	return open, nil
}
