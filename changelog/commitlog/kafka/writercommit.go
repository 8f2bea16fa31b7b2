package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// Versions of EndTxn: the newer transaction protocol begins at 5.
const (
	endVersion   = 4
	endVersionV2 = 5
)

// Commit implements commitlog.Writer. The batches go first, then the group
// offsets, then the decision, each only after all answers to the one before: a
// broker would run a pipelined EndTxn even if an append before it had failed, and
// appends and offsets of one transaction at the same moment disturb each other's
// verification at the coordinator.
//
// commitlog.ErrUnknownOutcome covers every case in which a redo is the way to go
// on: the broker did not answer, or it had ended the transaction by itself.
func (w *Writer) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	tx, err := w.open()
	if err != nil {
		return nil, err
	}
	if tx.empty() { // EndTxn without a transaction is refused, with a code that means many things
		w.tx = nil
		return map[commitlog.TopicPartition]commitlog.Range{}, nil
	}
	if err := ctx.Err(); err != nil && !tx.started {
		return nil, tx.breakWith(fmt.Errorf("writer %s: commit: nothing was sent: %w", w.id, context.Cause(ctx)))
	}
	if !tx.started {
		if err := w.checkClear(ctx, tx); err != nil {
			return nil, tx.breakWith(fmt.Errorf("writer %s: commit: nothing was sent: %w", w.id, err))
		}
	}
	began := w.log.client.Now()
	defer func() { w.counters.commitTime.Add(int64(w.log.client.Now().Sub(began))) }()
	err = w.finish(ctx, tx)
	if errors.Is(err, commitlog.ErrStaleGeneration) {
		return nil, fmt.Errorf("writer %s: commit: %w", w.id, err)
	}
	if err != nil {
		return nil, tx.breakWith(w.failed(ctx, err))
	}
	w.tx = nil
	w.counters.committed.Add(1)
	return tx.ranges(), nil
}

// finish goes on where an earlier Commit of the transaction stopped.
func (w *Writer) finish(ctx context.Context, tx *transaction) error {
	tx.started = true
	if !tx.produced {
		if err := w.enlist(ctx, tx); err != nil {
			return err
		}
		if err := w.produce(ctx, tx); err != nil {
			return err
		}
		tx.produced = true
	}
	if err := w.commitOffsets(ctx, tx); err != nil {
		return err
	}
	if err := w.end(ctx); err != nil {
		return err
	}
	for tp, q := range tx.queues {
		if !w.v2 {
			w.sequences[tp] = q.sequenceAfter()
		}
	}
	w.advanceClaims(tx)
	return nil
}

// failed settles a transaction that cannot go on, and says what its error means.
func (w *Writer) failed(ctx context.Context, cause error) error {
	w.unsettled = true
	var settled error
	if ctx.Err() == nil { // otherwise Abort does it, in its own time
		settled = w.settle(ctx)
	}
	switch {
	case errors.Is(settled, commitlog.ErrFenced):
		return fmt.Errorf("%w (commit: %w)", settled, cause)
	case doubtful(cause):
		return fmt.Errorf("writer %s: %w: %w", w.id, commitlog.ErrUnknownOutcome, cause)
	}
	return fmt.Errorf("writer %s: commit: %w", w.id, cause)
}

// end commits. It asks again only after an answer which says that the coordinator
// was busy or has moved: no request is on its way then. Without an answer it must
// not ask again. With the older protocol the first request, arriving late, would
// commit the next transaction half-written.
func (w *Writer) end(ctx context.Context) error {
	version, p := int16(endVersion), *w.producer.Load()
	if w.v2 {
		version = endVersionV2
	}
	return w.atCoordinator(ctx, "commit", w.answeredBusy, func(node wire.Node) error {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = w.id, p.id, p.epoch, true
		resp, err := w.log.client.CallAt(ctx, node, version, req)
		if err != nil {
			return err
		}
		answer := resp.(*kmsg.EndTxnResponse)
		if err := wire.CodeError(answer.ErrorCode); err != nil {
			return named(err, "WRITE on transactional id "+w.id)
		}
		if w.v2 { // the id changes too when the epochs of one are used up
			w.reset(producer{answer.ProducerID, answer.ProducerEpoch})
		}
		return nil
	})
}

// answeredBusy reports whether a request of a transaction may be repeated at its
// coordinator after err.
func (w *Writer) answeredBusy(err error) bool {
	var io *wire.IOError
	if errors.As(err, &io) {
		return w.off.onceOnlyEnd
	}
	switch code, _ := codeOf(err); code {
	case wire.CoordinatorLoading, wire.CoordinatorNotAvailable, wire.NotCoordinator, wire.ConcurrentTransactions, wire.NotEnoughReplicas:
		return true
	}
	return false
}
