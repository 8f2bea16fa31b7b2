package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

var _ commitlog.Writer = (*Writer)(nil)

// maxMetadata is what brokers take with a group offset by default
// (offset.metadata.max.bytes).
const maxMetadata = 4096

// Writer is a transactional producer. What it is given stays in memory until
// Commit, which sends everything: a transaction is open at the broker for a
// commit's time only, and most aborts cost no request.
//
// A writer learns that it is fenced when it next talks to a broker about its
// transaction: in Commit at the latest.
type Writer struct {
	log *Log
	id  string
	// v2: the cluster has the newer transaction protocol. Each transaction then has
	// an epoch of its own, so that a late request of one cannot touch the next.
	v2            bool
	timeoutMillis int32 // tells this holder of the identity from others (take.go)
	off           guards

	// The producer's id and epoch, and the next sequence by partition. All three
	// change together (take.go).
	producer  atomic.Pointer[producer]
	sequences map[commitlog.TopicPartition]int32

	claims map[commitlog.TopicPartition]*claim
	limits map[string]int                    // max.message.bytes by topic
	clear  map[commitlog.TopicPartition]bool // no transaction of ours hangs there (txnclear.go)
	tx     *transaction
	// failures of requests when clear was last found to be right.
	failures int64
	// unsettled: a transaction of this writer may be open at the broker, or be
	// decided without our knowledge. Nothing new may begin before it is settled.
	unsettled bool
	fenced    atomic.Bool
	closed    atomic.Bool
	counters  counters
}

type producer struct {
	id    int64
	epoch int16
}

// guards are switched off by tests only, to show that the tests would notice.
type guards struct {
	onceOnlyEnd      bool
	transactionalBit bool
	sameBytes        func(*Writer, []*queue) // changes what is about to be sent again
}

// OpenWriter implements commitlog.Log. When it returns, whatever an earlier holder
// of the identity had open is aborted or, if its commit was under way, committed.
func (l *Log) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	if id == "" {
		return nil, errors.New("open writer: the identity is empty")
	}
	if l.closed() {
		return nil, fmt.Errorf("open writer %s: %w", id, commitlog.ErrClosed)
	}
	w := &Writer{log: l, id: id, v2: l.newerTransactions(), timeoutMillis: markedTimeout(l.cfg.TransactionTimeout), limits: map[string]int{},
		claims: map[commitlog.TopicPartition]*claim{}, clear: map[commitlog.TopicPartition]bool{}}
	if err := w.take(ctx); err != nil {
		return nil, fmt.Errorf("open writer %s: %w", id, err)
	}
	return w, nil
}

// ID implements commitlog.Writer.
func (w *Writer) ID() string { return w.id }

// Epoch implements commitlog.Writer: the producer id, then its epoch in the low 16
// bits. Both only grow. It may be called from any goroutine.
func (w *Writer) Epoch() int64 {
	p := w.producer.Load()
	return p.id&(1<<47-1)<<16 | int64(p.epoch)
}

func (w *Writer) usable() error {
	switch {
	case w.closed.Load(), w.log.closed():
		return fmt.Errorf("writer %s: %w", w.id, commitlog.ErrClosed)
	case w.fenced.Load():
		return w.fencedError()
	case w.unsettled && w.tx == nil:
		return fmt.Errorf("writer %s: the last transaction is not settled; call Abort again or open the writer anew: %w", w.id, commitlog.ErrUnknownOutcome)
	}
	return nil
}

func (w *Writer) fencedError() error {
	p := w.producer.Load()
	return fmt.Errorf("%w: writer %s, producer %d epoch %d", commitlog.ErrFenced, w.id, p.id, p.epoch)
}

// Begin implements commitlog.Writer.
func (w *Writer) Begin() error {
	if err := w.usable(); err != nil {
		return err
	}
	if w.tx != nil {
		return fmt.Errorf("writer %s: begin: a transaction is open; commit or abort it first", w.id)
	}
	w.tx = newTransaction()
	return nil
}

// open returns the transaction if it can go on.
func (w *Writer) open() (*transaction, error) {
	if err := w.usable(); err != nil {
		return nil, err
	}
	if w.tx == nil {
		return nil, fmt.Errorf("writer %s: no transaction is open; call Begin first", w.id)
	}
	return w.tx, w.tx.broken
}

// Append implements commitlog.Writer.
func (w *Writer) Append(tp commitlog.TopicPartition, b *recordbatch.Builder) error {
	tx, err := w.open()
	if err != nil {
		return err
	}
	if err := w.add(tx, tp, b, unpromised); err != nil {
		return tx.breakWith(fmt.Errorf("append to %s: %w", tp, err))
	}
	return nil
}

// add seals the builder for the partition and queues its batches.
func (w *Writer) add(tx *transaction, tp commitlog.TopicPartition, b *recordbatch.Builder, promised int64) error {
	if tx.started {
		return errors.New("the transaction is being committed; give Offsets again and Commit, or Abort")
	}
	ctx, cancel := context.WithTimeout(w.log.ctx, w.log.cfg.GiveUp)
	defer cancel()
	info, err := w.log.client.TopicInfo(ctx, tp.Topic)
	if err != nil {
		return err
	}
	if tp.Partition < 0 || tp.Partition >= info.Partitions {
		return fmt.Errorf("%w: topic %s has %d partitions", commitlog.ErrUnknownTopic, tp.Topic, info.Partitions)
	}
	if b.Empty() {
		return nil
	}
	p := w.producer.Load()
	sequence := w.sequences[tp]
	raw := b.Seal(recordbatch.Producer{ID: p.id, Epoch: p.epoch, Sequence: sequence}, !w.off.transactionalBit)
	batches, err := w.split(ctx, tp.Topic, raw, promised)
	if err != nil {
		return err
	}
	q := tx.queue(tp, info.ID, sequence)
	for _, b := range batches {
		q.add(b)
	}
	w.sequences[tp] = q.sequenceAfter()
	return nil
}

// Offsets implements commitlog.Writer.
func (w *Writer) Offsets(group string, as commitlog.Membership, offsets map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	tx, err := w.open()
	if err != nil {
		return err
	}
	if group == "" {
		return tx.breakWith(fmt.Errorf("writer %s: offsets of a group without a name", w.id))
	}
	for tp, at := range offsets {
		if len(at.Metadata) > maxMetadata || at.Offset < 0 || tp.Partition < 0 {
			return tx.breakWith(fmt.Errorf("group %s, %s: offset %d with %d bytes of metadata is not allowed: offsets are not negative, metadata has at most %d bytes",
				group, tp, at.Offset, len(at.Metadata), maxMetadata))
		}
	}
	tx.addOffsets(group, as, offsets)
	return nil
}

// Abort implements commitlog.Writer. It talks to the broker only if a Commit has
// sent something. An error means that the broker could not be reached: the
// transaction will not be committed by this writer, and Abort may be called again.
func (w *Writer) Abort() error {
	w.drop()
	switch {
	case w.closed.Load(), w.log.closed():
		return fmt.Errorf("writer %s: %w", w.id, commitlog.ErrClosed)
	case w.fenced.Load():
		return w.fencedError()
	case !w.unsettled:
		return nil
	}
	ctx, cancel := context.WithTimeout(w.log.ctx, w.log.cfg.GiveUp)
	defer cancel()
	if err := w.settle(ctx); err != nil {
		return fmt.Errorf("writer %s: abort: %w", w.id, err)
	}
	return nil
}

// drop forgets the transaction. Of one that was never sent the sequences are
// taken back; settling starts all of them anew.
func (w *Writer) drop() {
	tx := w.tx
	w.tx = nil
	if tx == nil || tx.empty() {
		return
	}
	w.counters.aborted.Add(1)
	if tx.started {
		w.unsettled = true
		return
	}
	for tp, q := range tx.queues {
		w.sequences[tp] = q.first
	}
}

// Close implements commitlog.Writer: it aborts what is open. If the broker does
// not answer, it ends the transaction itself after TransactionTimeout.
func (w *Writer) Close() error {
	if w.closed.Load() {
		return nil
	}
	w.drop()
	w.closed.Store(true)
	if !w.unsettled || w.fenced.Load() || w.log.closed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(w.log.ctx, min(w.log.cfg.GiveUp, w.log.cfg.TransactionTimeout))
	defer cancel()
	if err := w.settle(ctx); err != nil && !errors.Is(err, commitlog.ErrFenced) {
		return fmt.Errorf("writer %s: close: %w", w.id, err)
	}
	return nil
}

// newerTransactions reports whether the cluster has finalised the protocol in
// which the coordinator gives every transaction a new epoch.
func (l *Log) newerTransactions() bool { return l.client.Feature("transaction.version") >= 2 }

// atCoordinator runs a request at the coordinator of the identity.
func (w *Writer) atCoordinator(ctx context.Context, what string, repeat func(error) bool, do func(wire.Node) error) error {
	return w.log.atCoordinator(ctx, wire.TxnCoordinator, w.id, what, repeat, do)
}
