package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

var _ commitlog.Writer = (*Writer)(nil)

// Writer is one epoch of a writer identity. All but the atomic fields belong to
// the goroutine that uses it.
type Writer struct {
	log    *Log
	id     string
	number uint64
	epoch  int64
	fenced atomic.Bool // set under the order lock, where commits look
	closed atomic.Bool

	sequences map[*partition]int32 // next producer sequence
	claims    map[*partition]bool  // partitions this writer claimed
	tx        *transaction
	lost      error // a commit of unknown outcome: only a new epoch helps
}

// transaction is what a writer has collected since Begin.
type transaction struct {
	broken error // the first failure; only Abort helps

	chunks []chunk              // since the last part; raw belongs to the caller's builders
	places []*partition         // of all chunks, those in parts first
	counts []int64              // offsets that each chunk takes
	taken  map[*partition]int64 // and all of a partition together
	bytes  int64                // of all chunks
	loose  int                  // bytes of chunks

	id      uint64 // in the journal, 0 while nothing of it is there
	parts   []encodedTxn
	journal uint64 // oldest journal with one of the parts

	offsets []groupOffset
	members map[string]commitlog.Membership // by group, the newest given
}

// partChunks returns the chunks in parts, which lie in memory as well.
func (t *transaction) partChunks() (chunks []chunk) {
	for _, p := range t.parts {
		chunks = append(chunks, p.chunks...)
	}
	return chunks
}

// OpenWriter implements commitlog.Log. When it returns, everything that an
// earlier holder of the identity committed is visible, and nothing more of it
// ever will be.
func (l *Log) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	if id == "" {
		return nil, errors.New("open writer: the identity is empty")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open writer %s: %w", id, err)
	}
	l.admin.Lock()
	defer l.admin.Unlock()
	l.mu.Lock()
	known, err := l.mu.state.writers[id], l.usableLocked()
	if known.id == "" {
		known = writerRecord{id: id, number: uint64(len(l.mu.state.writers)) + 1}
	}
	l.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("open writer %s: %w", id, err)
	}
	known.epoch++
	w := &Writer{log: l, id: id, number: known.number, epoch: known.epoch,
		sequences: map[*partition]int32{}, claims: map[*partition]bool{}}
	fence := func() {
		if old := l.order.live[id]; old != nil {
			old.fenced.Store(true)
		}
		l.order.live[id] = w
	}
	if err := l.change(ctx, &entry{kind: entryOpenWriter, writer: known}, encodeOpenWriter(known), fence); err != nil {
		return nil, fmt.Errorf("open writer %s: %w", id, err)
	}
	return w, nil
}

// ID implements commitlog.Writer.
func (w *Writer) ID() string { return w.id }

// Epoch implements commitlog.Writer.
func (w *Writer) Epoch() int64 { return w.epoch }

func (w *Writer) dead() bool { return w.fenced.Load() || w.closed.Load() }

func (w *Writer) usable() error {
	switch {
	case w.closed.Load():
		return fmt.Errorf("writer %s: %w", w.id, commitlog.ErrClosed)
	case w.fenced.Load():
		return w.fencedError()
	}
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if err := w.log.usableLocked(); err != nil {
		return fmt.Errorf("writer %s: %w", w.id, err)
	}
	return w.lost
}

func (w *Writer) fencedError() error {
	return fmt.Errorf("%w: writer %s epoch %d", commitlog.ErrFenced, w.id, w.epoch)
}

// Begin implements commitlog.Writer.
func (w *Writer) Begin() error {
	if err := w.usable(); err != nil {
		return err
	}
	if w.tx != nil {
		return fmt.Errorf("writer %s: begin: a transaction is open; commit or abort it first", w.id)
	}
	w.tx = &transaction{taken: map[*partition]int64{}}
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

// breakWith ends the transaction with its first failure.
func (t *transaction) breakWith(err error) error {
	if t.broken == nil && err != nil {
		t.broken = fmt.Errorf("the transaction failed earlier, abort it: %w", err)
	}
	return err
}

// Append implements commitlog.Writer.
func (w *Writer) Append(tp commitlog.TopicPartition, b *recordbatch.Builder) error {
	tx, err := w.open()
	if err != nil {
		return err
	}
	w.log.mu.Lock()
	p, err := w.log.mu.state.partition(tp)
	w.log.mu.Unlock()
	if err == nil {
		err = p.checkHolder(w)
	}
	if err == nil {
		err = w.add(tx, p, b)
	}
	return tx.breakWith(wrapf(err, "append to %s", tp))
}

// OpenExclusive implements commitlog.Writer.
func (w *Writer) OpenExclusive(ctx context.Context, tp commitlog.TopicPartition) (int64, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	l := w.log
	l.mu.Lock()
	p, err := l.mu.state.partition(tp)
	l.mu.Unlock()
	if err != nil {
		return 0, fmt.Errorf("claim %s: %w", tp, err)
	}
	l.order.Lock()
	if w.fenced.Load() {
		err = w.fencedError()
	} else if err = p.checkHolder(w); err == nil {
		p.holder.Store(w)
	}
	next := p.next
	l.order.Unlock()
	if err != nil {
		return 0, fmt.Errorf("claim %s: %w", tp, err)
	}
	w.claims[p] = true
	return next, wrapf(l.waitForEnd(ctx, p, next), "claim %s", tp)
}

// CloseExclusive implements commitlog.Writer.
func (w *Writer) CloseExclusive(tp commitlog.TopicPartition) error {
	if w.tx != nil {
		return fmt.Errorf("give up the claim to %s: a transaction is open; commit or abort it first", tp)
	}
	l := w.log
	l.mu.Lock()
	p, err := l.mu.state.partition(tp)
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("give up the claim to %s: %w", tp, err)
	}
	delete(w.claims, p)
	l.order.Lock()
	defer l.order.Unlock()
	p.holder.CompareAndSwap(w, nil)
	return nil
}

// waitForEnd waits until what others have put into the journal for a partition
// is visible.
func (l *Log) waitForEnd(ctx context.Context, p *partition, end int64) error {
	for {
		l.mu.Lock()
		reached, changed, err := p.end >= end || p.dropped, l.mu.changed, l.usableLocked()
		l.mu.Unlock()
		if reached || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// AppendExclusive implements commitlog.Writer.
func (w *Writer) AppendExclusive(tp commitlog.TopicPartition, b *recordbatch.Builder) (int64, error) {
	tx, err := w.open()
	if err != nil {
		return 0, err
	}
	l := w.log
	l.mu.Lock()
	p, err := l.mu.state.partition(tp)
	var base int64
	if err == nil {
		base = p.end
	}
	l.mu.Unlock()
	if err == nil && !w.claims[p] {
		err = fmt.Errorf("the partition is not claimed by writer %s; call OpenExclusive first", w.id)
	}
	if err != nil {
		return 0, tx.breakWith(fmt.Errorf("append to %s: %w", tp, err))
	}
	// The holder is the only one who appends, and its commits are visible when
	// they return, so the end is where its transaction begins.
	base += tx.taken[p]
	return base, tx.breakWith(wrapf(w.add(tx, p, b), "append to %s", tp))
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
	if tx.members == nil {
		tx.members = map[string]commitlog.Membership{}
	}
	tx.members[group] = as
	for tp, at := range offsets {
		if len(at.Metadata) > maxMetadata || at.Offset < 0 || tp.Partition < 0 {
			return tx.breakWith(fmt.Errorf("group %s, %s: offset %d with %d bytes of metadata is not allowed: offsets are not negative, metadata has at most %d bytes",
				group, tp, at.Offset, len(at.Metadata), maxMetadata))
		}
		tx.offsets = append(tx.offsets, groupOffset{group: group, tp: tp, at: at})
	}
	return nil
}

// Abort implements commitlog.Writer. Parts that are in the journal already stay
// there and mean nothing without their commit.
func (w *Writer) Abort() error {
	w.drop()
	if w.closed.Load() {
		return fmt.Errorf("writer %s: %w", w.id, commitlog.ErrClosed)
	}
	if w.fenced.Load() {
		return w.fencedError()
	}
	return nil
}

// drop forgets the transaction and takes its producer sequences back.
func (w *Writer) drop() {
	if w.tx == nil {
		return
	}
	for p, records := range w.tx.taken {
		w.sequences[p] = int32((int64(w.sequences[p]) - records) & 0x7fffffff)
	}
	w.tx = nil
}

// Close implements commitlog.Writer: it aborts and gives its claims up.
func (w *Writer) Close() error {
	w.drop()
	w.closed.Store(true)
	l := w.log
	l.order.Lock()
	defer l.order.Unlock()
	if l.order.live[w.id] == w {
		delete(l.order.live, w.id)
	}
	return nil
}
