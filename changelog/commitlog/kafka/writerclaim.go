package kafka

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// claim is a partition to which only this writer appends.
type claim struct {
	// next is the offset that the next transaction begins at; unknown after a
	// transaction that was aborted at the broker, whose records and marker took an
	// unknown number of offsets.
	next int64
}

const unknown = -1

// OpenExclusive implements commitlog.Writer. The end is the settled one: the
// marker of the last transaction comes after its commit, and takes an offset.
//
// Nothing stops another writer from appending to the partition. It would be
// noticed in Commit, where the broker's offsets are compared with the promised.
func (w *Writer) OpenExclusive(ctx context.Context, tp commitlog.TopicPartition) (int64, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if w.tx != nil && w.tx.started {
		return 0, fmt.Errorf("claim %s: a transaction is being committed; finish or abort it first", tp)
	}
	next, err := w.log.end(ctx, tp)
	if err != nil {
		return 0, fmt.Errorf("claim %s: %w", tp, err)
	}
	w.claims[tp] = &claim{next: next}
	return next, nil
}

// CloseExclusive implements commitlog.Writer.
func (w *Writer) CloseExclusive(tp commitlog.TopicPartition) error {
	if w.tx != nil {
		return fmt.Errorf("give up the claim to %s: a transaction is open; commit or abort it first", tp)
	}
	delete(w.claims, tp)
	return nil
}

// end returns the end of a partition without undecided transactions.
func (l *Log) end(ctx context.Context, tp commitlog.TopicPartition) (int64, error) {
	if _, err := l.Settled(ctx, []commitlog.TopicPartition{tp}); err != nil {
		return 0, err
	}
	// Settled covers what was there at the call; the marker of what was open then
	// may lie behind it.
	bounds, err := l.Bounds(ctx, tp)
	return bounds.StableEnd, err
}

// AppendExclusive implements commitlog.Writer.
func (w *Writer) AppendExclusive(tp commitlog.TopicPartition, b *recordbatch.Builder) (int64, error) {
	tx, err := w.open()
	if err != nil {
		return 0, err
	}
	base, err := w.promise(tx, tp)
	if err == nil {
		err = w.add(tx, tp, b, base)
	}
	if err != nil {
		return 0, tx.breakWith(fmt.Errorf("append to %s: %w", tp, err))
	}
	return base, nil
}

func (w *Writer) promise(tx *transaction, tp commitlog.TopicPartition) (int64, error) {
	c := w.claims[tp]
	if c == nil {
		return 0, fmt.Errorf("the partition is not claimed by writer %s; call OpenExclusive first", w.id)
	}
	if c.next == unknown {
		ctx, cancel := context.WithTimeout(w.log.ctx, w.log.cfg.GiveUp)
		defer cancel()
		next, err := w.log.end(ctx, tp)
		if err != nil {
			return 0, err
		}
		c.next = next
	}
	if q := tx.queues[tp]; q != nil {
		return c.next + q.records, nil
	}
	return c.next, nil
}

// advanceClaims moves the claims over a committed transaction and its marker.
func (w *Writer) advanceClaims(tx *transaction) {
	for tp, q := range tx.queues {
		if c := w.claims[tp]; c != nil {
			c.next = q.got.Next + 1
		}
	}
}

// loseClaims makes the claims ask for the end again.
func (w *Writer) loseClaims() {
	for _, c := range w.claims {
		c.next = unknown
	}
}
