package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// errDisorder: the broker's answers about a partition contradict each other or
// what was promised.
var errDisorder = errors.New("the broker's answers do not fit the order of what was sent")

// produce sends all batches and returns when each is acknowledged. Leaders are
// served at the same time. What a leader refuses for the moment is sent again, to
// the leader of then: the same bytes, so that a broker that has them recognises
// them.
func (w *Writer) produce(ctx context.Context, tx *transaction) error {
	backoff := w.log.client.Backoff("append for writer " + w.id)
	for {
		byLeader, err := w.waitingByLeader(ctx, tx)
		if err != nil || len(byLeader) == 0 {
			return err
		}
		refused := w.sendToAll(ctx, byLeader)
		for _, q := range tx.queues {
			q.failed = nil
		}
		if refused == nil {
			continue
		}
		if !resendable(refused) {
			return refused
		}
		w.counters.retried.Add(1)
		if w.off.sameBytes != nil {
			w.off.sameBytes(w, slices.Collect(maps.Values(tx.queues)))
		}
		if err := w.refreshAfter(ctx, refused, tx); err != nil {
			return err
		}
		if err := backoff.Wait(ctx, refused); err != nil {
			return err
		}
	}
}

// waitingByLeader groups the partitions that have batches left.
func (w *Writer) waitingByLeader(ctx context.Context, tx *transaction) (map[wire.Node][]*queue, error) {
	byLeader := map[wire.Node][]*queue{}
	for tp, q := range tx.queues {
		if len(q.waiting) == 0 {
			continue
		}
		leader, err := w.log.client.Leader(ctx, tp.Topic, tp.Partition)
		if err != nil {
			return nil, err
		}
		info, err := w.log.client.TopicInfo(ctx, tp.Topic)
		if err != nil {
			return nil, err
		}
		if info.ID != q.topicID {
			return nil, fmt.Errorf("append to %s: %w: the topic was deleted and created anew since the records were written", tp, commitlog.ErrUnknownTopic)
		}
		byLeader[leader] = append(byLeader[leader], q)
	}
	return byLeader, nil
}

// sendToAll returns the first error that cannot be mended, else one that can.
func (w *Writer) sendToAll(ctx context.Context, byLeader map[wire.Node][]*queue) error {
	var wg sync.WaitGroup
	errs := make(chan error, len(byLeader))
	for leader, queues := range byLeader {
		wg.Go(func() { errs <- w.sendTo(ctx, leader, queues) })
	}
	wg.Wait()
	close(errs)
	var first error
	for err := range errs {
		if err != nil && (first == nil || resendable(first) && !resendable(err)) {
			first = err
		}
	}
	return first
}

// sendTo sends what the leader's partitions have waiting, window by window, until
// nothing is left or something was refused.
func (w *Writer) sendTo(ctx context.Context, leader wire.Node, queues []*queue) error {
	for {
		requests := window(queues, w.v2)
		if len(requests) == 0 {
			return nil
		}
		answers, err := w.exchange(ctx, leader, requests)
		if err != nil {
			return err
		}
		var refused error
		for i, r := range requests {
			if err := r.take(answers[i]); err != nil && (refused == nil || resendable(refused)) {
				refused = err
			}
		}
		if refused != nil {
			return refused
		}
	}
}

// refreshAfter asks for the metadata of the topics with batches left if the error
// says that a partition is elsewhere.
func (w *Writer) refreshAfter(ctx context.Context, err error, tx *transaction) error {
	if code, ok := codeOf(err); !ok || !code.Moved() {
		return nil
	}
	var left []commitlog.TopicPartition
	for tp, q := range tx.queues {
		if len(q.waiting) > 0 {
			left = append(left, tp)
		}
	}
	return w.log.client.Refresh(ctx, topicsOf(left)...)
}

// resendable reports whether the same bytes may be accepted later. An answer that
// did not come is not among them: what it would have said decides whether the
// transaction goes on, and a connection that failed once fails for the rest too.
// A full abort is simpler than a half-known transaction.
func resendable(err error) bool {
	var io *wire.IOError
	if errors.As(err, &io) || errors.Is(err, errDisorder) {
		return false
	}
	code, ok := codeOf(err)
	return ok && code.Retriable() && code != wire.CorruptMessage
}
