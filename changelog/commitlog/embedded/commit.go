package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// add seals the builder for a partition and takes its batches into the
// transaction. The bytes stay in the builder until the commit, or until enough
// have come together for a part.
func (w *Writer) add(tx *transaction, p *partition, b *recordbatch.Builder) error {
	if b.Empty() {
		return nil
	}
	o := &w.log.opts
	if tx.bytes+int64(b.Size()) > o.MaxTransactionBytes {
		return fmt.Errorf("%w: the transaction would exceed %d bytes; commit more often or raise MaxTransactionBytes", commitlog.ErrTooLarge, o.MaxTransactionBytes)
	}
	sequence := w.sequences[p]
	raw := b.Seal(recordbatch.Producer{ID: int64(w.number), Epoch: int16(w.epoch & 0x7fff), Sequence: sequence}, false)
	records, err := checkBatches(raw, o.MaxRecordBytes)
	if err != nil {
		return err
	}
	w.sequences[p] = int32((int64(sequence) + records) & 0x7fffffff)
	tx.chunks = append(tx.chunks, chunk{topic: p.topic.id, partition: p.index, raw: raw})
	tx.places = append(tx.places, p)
	tx.counts = append(tx.counts, records)
	tx.taken[p] += records
	tx.bytes += int64(len(raw))
	tx.loose += len(raw)
	if tx.loose >= o.PartBytes {
		return w.writePart(tx)
	}
	return nil
}

func checkBatches(raw []byte, limit int) (records int64, err error) {
	for len(raw) > 0 {
		b, rest, err := recordbatch.Parse(raw)
		if err != nil {
			return 0, err
		}
		if len(b.Raw) > limit {
			return 0, fmt.Errorf("%w: a batch of %d records takes %d bytes, the limit is %d; raise MaxRecordBytes", commitlog.ErrTooLarge, b.Count, len(b.Raw), limit)
		}
		records += int64(b.LastOffsetDelta) + 1
		raw = rest
	}
	return records, nil
}

// writePart puts the loose chunks into the journal ahead of the commit and waits
// for the disk, which bounds what one transaction has under way.
func (w *Writer) writePart(tx *transaction) error {
	if err := w.log.admit(context.Background()); err != nil {
		return err
	}
	part := encodeTxn(entryPart, 0, tx.chunks, nil)
	if err := w.log.journalPart(tx, &part); err != nil {
		return err
	}
	tx.parts = append(tx.parts, part)
	tx.chunks, tx.loose = nil, 0
	return nil
}

// journalPart writes one part and waits for it. The first part of a transaction
// gives it its number, which no other ever gets: numbers of journals are not
// used twice.
func (l *Log) journalPart(tx *transaction, part *encodedTxn) error {
	var (
		wg      sync.WaitGroup
		syncErr error
	)
	l.order.Lock()
	if l.order.closed != nil {
		l.order.Unlock()
		return l.order.closed
	}
	j := l.order.journal
	if tx.id == 0 {
		l.order.txns++
		tx.id = j.number<<32 | l.order.txns
		if _, pinned := l.order.pinned[tx]; !pinned {
			tx.journal = j.number
		}
	}
	part.setTxn(tx.id)
	end, err := j.append(part.bytes, &wg, &syncErr)
	l.order.Unlock()
	if err == nil {
		wg.Wait()
		err = syncErr
	}
	if err != nil {
		return l.fail(fmt.Errorf("write %s: %w", journalName(j.number), err))
	}
	j.advanceSynced(end)
	return nil
}

// Commit implements commitlog.Writer. Until the transaction is in the journal
// ctx ends it with nothing written; from then on an end of ctx leaves the
// outcome unknown.
func (w *Writer) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	tx, err := w.open()
	if err != nil {
		return nil, err
	}
	if len(tx.places) == 0 && len(tx.offsets) == 0 {
		w.tx = nil
		return map[commitlog.TopicPartition]commitlog.Range{}, nil
	}
	if err := w.log.admit(ctx); err != nil {
		return nil, tx.breakWith(wrapf(err, "writer %s: commit", w.id))
	}
	s, ranges, err := w.submit(tx)
	if errors.Is(err, commitlog.ErrStaleGeneration) {
		return nil, fmt.Errorf("writer %s: commit: %w", w.id, err) // and the transaction stays open
	}
	if err != nil {
		return nil, tx.breakWith(wrapf(err, "writer %s: commit", w.id))
	}
	if err := w.log.await(ctx, s); err != nil {
		w.lost = fmt.Errorf("writer %s: commit: %w", w.id, err)
		return nil, w.lost
	}
	w.tx = nil
	return ranges, nil
}

// submit puts the commit into the journal. Encoding, the one copy of the
// caller's bytes, is done before the order lock is taken.
func (w *Writer) submit(tx *transaction) (*submission, map[commitlog.TopicPartition]commitlog.Range, error) {
	l := w.log
	inParts := tx.partChunks()
	commit := encodeTxn(entryCommit, len(inParts), tx.chunks, tx.offsets)
	if err := checkUnchanged(commit.chunks, tx.counts[len(inParts):]); err != nil {
		return nil, nil, err
	}
	if err := l.lockOrder(tx); err != nil {
		return nil, nil, err
	}
	defer l.order.Unlock()
	if err := w.mayCommit(tx); err != nil {
		return nil, nil, err
	}
	ranges, err := assignOffsets(tx, inParts, &commit)
	if err != nil {
		return nil, nil, err
	}
	commit.setTxn(tx.id)
	e := &entry{kind: entryCommit, chunks: commit.chunks, offsets: tx.offsets}
	s, err := l.submitLocked(e, inParts, commit.bytes)
	return s, ranges, err
}

// checkUnchanged refuses a builder that its owner touched after Append: the
// offsets promised for it would not be those of its records.
func checkUnchanged(chunks []chunk, counts []int64) error {
	for i, c := range chunks {
		records, err := checkBatches(c.raw, recordbatch.MaxBatchBytes)
		if err != nil || records != counts[i] {
			return fmt.Errorf("a builder was changed between Append and Commit: it held %d records, now %d (%v); builders belong to the writer until then", counts[i], records, err)
		}
	}
	return nil
}

// lockOrder takes the order lock with all parts of the transaction in journals
// that are kept. An open transaction keeps no journal, since nobody can tell a
// slow one from one that never ends; if the journal with its parts was given up
// meanwhile, they are written once more, and now the journals are kept for them
// until the commit is in.
func (l *Log) lockOrder(tx *transaction) error {
	l.order.Lock()
	if len(tx.parts) == 0 || tx.journal >= l.order.keepFrom {
		return nil
	}
	tx.id, tx.journal = 0, l.order.journal.number
	l.order.pinned[tx] = struct{}{}
	l.order.Unlock()
	for i := range tx.parts {
		if err := l.journalPart(tx, &tx.parts[i]); err != nil {
			l.order.Lock()
			delete(l.order.pinned, tx)
			l.order.Unlock()
			return err
		}
	}
	l.order.Lock()
	delete(l.order.pinned, tx)
	l.wake()
	return nil
}

// mayCommit decides under the order lock what must not change between here and
// the journal: the fence, claims, deleted topics, and membership.
func (w *Writer) mayCommit(tx *transaction) error {
	if w.fenced.Load() {
		return w.fencedError()
	}
	for p := range tx.taken {
		if p.topic.gone {
			return fmt.Errorf("%w: topic %s was deleted", commitlog.ErrUnknownTopic, p.topic.config.Name)
		}
		if err := p.checkHolder(w); err != nil {
			return err
		}
	}
	return w.checkMembers(tx)
}

// assignOffsets gives every chunk its offsets, in the order of the appends, and
// writes them into the batches. Needs the order lock.
func assignOffsets(tx *transaction, inParts []chunk, commit *encodedTxn) (map[commitlog.TopicPartition]commitlog.Range, error) {
	ranges := make(map[commitlog.TopicPartition]commitlog.Range, len(tx.taken))
	for p, records := range tx.taken {
		ranges[p.tp()] = commitlog.Range{Base: p.next, Next: p.next + records}
	}
	for i, p := range tx.places {
		base, raw := p.next, []byte(nil)
		if i < len(inParts) {
			inParts[i].base, raw = base, inParts[i].raw
			commit.setPartBase(i, base)
		} else {
			raw = commit.chunks[i-len(inParts)].raw
			commit.setBase(i-len(inParts), base)
		}
		next, err := recordbatch.Rebase(raw, base)
		if err != nil {
			return nil, fmt.Errorf("%s offset %d: %w", p, base, err)
		}
		p.next = next
	}
	return ranges, nil
}
