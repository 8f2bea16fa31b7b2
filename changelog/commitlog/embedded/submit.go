package embedded

import (
	"context"
	"fmt"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// submission is an entry on its way to the disk.
type submission struct {
	entry      *entry
	partChunks []chunk

	wg      sync.WaitGroup
	syncErr error
	journal *journal
	end     position

	done   chan struct{}
	result error // valid when done is closed
}

// submitLocked appends an encoded entry to the journal and queues it for
// publishing. Needs the order lock. An error is definite: nothing was written.
func (l *Log) submitLocked(e *entry, partChunks []chunk, encoded []byte) (*submission, error) {
	if l.order.closed != nil {
		return nil, l.order.closed
	}
	s := &submission{entry: e, partChunks: partChunks, journal: l.order.journal, done: make(chan struct{})}
	end, err := s.journal.append(encoded, &s.wg, &s.syncErr)
	if err != nil {
		// The writer remembers an earlier failure and took nothing.
		return nil, l.fail(fmt.Errorf("write %s: %w", journalName(s.journal.number), err))
	}
	s.end = position{journal: s.journal.number, offset: end}
	l.order.last = s.done
	l.inflight <- s
	return s, nil
}

// await waits until a submission is on disk and visible. The wait ends early
// with ctx, and then the outcome is unknown.
func (l *Log) await(ctx context.Context, s *submission) error {
	select {
	case <-s.done:
		return s.result
	case <-ctx.Done():
		return fmt.Errorf("%w: gave up waiting for the disk: %w", commitlog.ErrUnknownOutcome, context.Cause(ctx))
	}
}

// publish makes entries visible in journal order, each when it is on disk. One
// goroutine does it for all, so that what readers see is always a prefix of the
// journal.
func (l *Log) publish() {
	defer close(l.published)
	for s := range l.inflight {
		s.wg.Wait()
		s.result = l.publishOne(s)
		close(s.done)
	}
}

func (l *Log) publishOne(s *submission) error {
	if s.syncErr != nil {
		cause := l.fail(fmt.Errorf("write %s: %w", journalName(s.journal.number), s.syncErr))
		return fmt.Errorf("%w: %w", commitlog.ErrUnknownOutcome, cause)
	}
	s.journal.advanceSynced(s.end.offset)
	l.mu.Lock()
	if failed := l.mu.failed; failed != nil {
		l.mu.Unlock()
		return fmt.Errorf("%w: %w", commitlog.ErrUnknownOutcome, failed)
	}
	st := l.mu.state
	err := st.apply(s.entry, s.partChunks)
	st.pos = s.end
	if s.entry.kind == entryCommit {
		l.counters.transactions.Add(1)
	}
	l.announceLocked()
	st.tail.evict(l.opts.TailBytes)
	busy := st.tail.unwritten >= l.opts.flushBytes() || s.end.offset >= l.opts.JournalBytes
	l.mu.Unlock()
	if busy {
		l.wake()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", commitlog.ErrUnknownOutcome, l.fail(err))
	}
	return nil
}

// admit waits until there is room in memory and in the journals for more, so
// that both stay bounded when the disk is slow.
func (l *Log) admit(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		l.order.Lock()
		journals := l.journalBytesLocked()
		l.order.Unlock()
		l.mu.Lock()
		err := l.usableLocked()
		full := l.mu.state.tail.unwritten > l.opts.maxBacklog() || journals > l.opts.maxJournal()
		progress := l.mu.progress
		l.mu.Unlock()
		if err != nil || !full {
			return err
		}
		l.wake()
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("the disk does not keep up, nothing was written: %w", context.Cause(ctx))
		}
	}
}

// journalBytesLocked needs the order lock.
func (l *Log) journalBytesLocked() int64 {
	total := l.order.journal.size()
	for _, size := range l.order.older {
		total += size
	}
	return total
}
