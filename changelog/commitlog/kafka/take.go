package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// initVersion of InitProducerID is the newest that this driver has a use for.
const initVersion = 5

// nobody asks for a new epoch without being its holder: it takes the identity
// over. A zero request would mean producer 0, epoch 0.
var nobody = producer{id: -1, epoch: -1}

// take makes this process the holder of the identity. The coordinator answers
// only when whatever the holder before had open is decided and all partitions
// know it; until then it says CONCURRENT_TRANSACTIONS.
func (w *Writer) take(ctx context.Context) error { return w.newEpoch(ctx, nobody) }

// settle ends whatever this writer has open at the broker, in one of two ways: it
// is still the holder of its identity, then the open transaction is aborted and
// the writer goes on with a new epoch; or somebody has taken over, then it is
// fenced. An EndTxn that is still on its way carries the old epoch and is refused
// from now on.
//
// This is also how an ordinary abort is done: unlike EndTxn the request may be
// repeated as often as needed. A transaction that timed out looks like one that
// was fenced (INVALID_PRODUCER_EPOCH) until this is asked.
//
// PRODUCER_FENCED alone does not say that somebody took over: a coordinator that
// has restarted or moved remembers only the current epoch, and refuses its own
// holder if the epoch grew by a request whose answer was lost (EndTxn of the newer
// protocol, or this one). So the coordinator is asked whose epoch it is.
func (w *Writer) settle(ctx context.Context) error {
	as := *w.producer.Load()
	for {
		err := w.newEpoch(ctx, as)
		code, _ := codeOf(err)
		if code != wire.ProducerFenced && code != wire.InvalidProducerEpoch {
			if err == nil {
				w.loseClaims()
				clear(w.clear)
			}
			return err
		}
		now, ours, err := w.holder(ctx)
		if err != nil {
			return err
		}
		if !ours || now == as {
			w.fenced.Store(true)
			return w.fencedError()
		}
		as = now // refused again if somebody takes over meanwhile
	}
}

// holder returns the current epoch of the identity, and whether it is this
// writer's. Every writer has a transaction timeout of its own, some milliseconds
// off the configured one: it is the only thing that a holder can leave at the
// coordinator, and that the coordinator shows.
func (w *Writer) holder(ctx context.Context) (now producer, ours bool, err error) {
	err = w.atCoordinator(ctx, "look who holds writer "+w.id, always, func(node wire.Node) error {
		req := kmsg.NewPtrDescribeTransactionsRequest()
		req.TransactionalIDs = []string{w.id}
		resp, err := w.log.client.Call(ctx, node, req)
		if err != nil {
			return err
		}
		states := resp.(*kmsg.DescribeTransactionsResponse).TransactionStates
		if len(states) == 0 {
			return wire.TransactionalIDNotFound
		}
		state := states[0] // one was asked for
		if err := wire.CodeError(state.ErrorCode); err != nil {
			return named(err, "DESCRIBE on transactional id "+w.id)
		}
		now, ours = producer{state.ProducerID, state.ProducerEpoch}, state.TimeoutMillis == w.timeoutMillis
		return nil
	})
	return now, ours, err
}

// mark is how far a writer's transaction timeout is at most from the configured
// one: a second, or an eighth of a short one.
const mark = time.Second

func markedTimeout(configured time.Duration) int32 {
	configured = max(configured, 8*time.Millisecond)
	return int32((configured - rand.N(min(mark, configured/8))).Milliseconds())
}

func (w *Writer) newEpoch(ctx context.Context, as producer) error {
	what := "take a new epoch of writer " + w.id
	err := w.atCoordinator(ctx, what, always, func(node wire.Node) error {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID = &w.id
		req.TransactionTimeoutMillis = w.timeoutMillis
		req.ProducerID, req.ProducerEpoch = as.id, as.epoch
		version, err := w.log.client.Version(req)
		if err != nil {
			return err
		}
		resp, err := w.log.client.CallAt(ctx, node, min(version, initVersion), req)
		if err != nil {
			return err
		}
		answer := resp.(*kmsg.InitProducerIDResponse)
		if err := wire.CodeError(answer.ErrorCode); err != nil {
			return err
		}
		w.reset(producer{answer.ProducerID, answer.ProducerEpoch})
		return nil
	})
	if code, _ := codeOf(err); code == wire.InvalidTransactionTimeout {
		err = fmt.Errorf("%w: TransactionTimeout is %v, the broker allows at most transaction.max.timeout.ms", err, w.log.cfg.TransactionTimeout)
	}
	return named(err, "WRITE on transactional id "+w.id)
}

// reset starts a new epoch: sequences begin at 0 on every partition.
func (w *Writer) reset(p producer) {
	w.producer.Store(&p)
	w.sequences = map[commitlog.TopicPartition]int32{}
	w.unsettled = false
}

// doubtful reports whether after err the transaction may have any outcome, or may
// have been ended by the coordinator: the answer did not come, or says that the
// broker's idea of the producer is not ours.
func doubtful(err error) bool {
	var io *wire.IOError
	if errors.As(err, &io) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errDisorder) {
		return true
	}
	code, ok := codeOf(err)
	if !ok {
		return false
	}
	switch code {
	case wire.OutOfOrderSequence, wire.DuplicateSequence, wire.InvalidProducerEpoch, wire.InvalidTxnState, wire.InvalidProducerIDMapping,
		wire.TransactionCoordFenced, wire.UnknownProducerID, wire.ProducerFenced, wire.TransactionAbortable, wire.Unknown:
		return true
	}
	return code.Retriable() && !errors.Is(err, commitlog.ErrUnknownTopic) // tried for long enough
}
