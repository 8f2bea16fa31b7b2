package embedded

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// maintain writes segments behind the journal, and when the journal is long
// begins a new one and takes a checkpoint. A failure makes the log read-only.
func (l *Log) maintain() {
	defer close(l.maintained)
	for {
		select {
		case <-l.stop:
			return
		case <-l.work:
		}
		done, err := l.maintainOnce()
		if err != nil && !errors.Is(err, commitlog.ErrClosed) {
			l.fail(err)
		}
		if done {
			l.mu.Lock()
			l.progressLocked()
			l.mu.Unlock()
		}
	}
}

// maintainOnce does what is due and reports whether that made room.
func (l *Log) maintainOnce() (done bool, err error) {
	l.order.Lock()
	long := l.order.journal.size() >= l.opts.JournalBytes ||
		l.journalBytesLocked() > l.opts.maxJournal() && len(l.order.pinned) == 0
	l.order.Unlock()
	l.mu.Lock()
	waiting, failed := l.mu.state.tail.unwritten >= l.opts.flushBytes(), l.mu.failed
	l.mu.Unlock()
	switch {
	case failed != nil:
		return false, nil
	case long:
		return true, l.rotate()
	case waiting:
		return true, l.flush()
	}
	return false, nil
}

// rotate begins a new journal, waits until all of the old one is visible, and
// takes a checkpoint, after which the old one is not needed.
func (l *Log) rotate() error {
	barrier, keepFrom, err := l.beginJournal()
	if err != nil {
		return err
	}
	if err := l.waitFor(barrier); err != nil {
		return err
	}
	return l.checkpoint(keepFrom, nil)
}

// beginJournal closes the journal, which syncs it, and begins the next one. It
// returns a position that is visible only when everything before it is, and the
// oldest journal with parts of a transaction that may commit behind it.
func (l *Log) beginJournal() (barrier position, keepFrom uint64, err error) {
	l.order.Lock()
	defer l.order.Unlock()
	if l.order.closed != nil {
		return position{}, 0, l.order.closed
	}
	old := l.order.journal
	size := old.size()
	if err := old.close(); err != nil {
		return position{}, 0, fmt.Errorf("close %s: %w", journalName(old.number), err)
	}
	next, err := createJournal(&l.opts, journalHeader{journal: old.number + 1, prev: old.number, prevEnd: size}, &l.counters)
	if err != nil {
		return position{}, 0, err
	}
	l.order.journal, l.order.keepFrom = next, next.number
	l.order.older[old.number] = size
	for tx := range l.order.pinned {
		l.order.keepFrom = min(l.order.keepFrom, tx.journal)
	}
	s := &submission{entry: &entry{kind: entryHeader}, journal: next, done: make(chan struct{})}
	s.end = position{journal: next.number, offset: next.size()}
	l.inflight <- s
	return s.end, l.order.keepFrom, nil
}

// waitFor waits until the position is visible.
func (l *Log) waitFor(pos position) error {
	for {
		l.mu.Lock()
		reached, changed := !l.mu.state.pos.before(pos), l.mu.changed
		err := l.usableLocked()
		l.mu.Unlock()
		if err != nil || reached {
			return err
		}
		<-changed
	}
}

// flush writes to segments what is in memory only, unsynced.
func (l *Log) flush() error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	work := l.unwrittenLocked()
	l.mu.Unlock()
	return l.writeSegments(work)
}

// checkpoint writes and syncs the segments up to a position and stores it with
// the state there as the recovery point; older journals are then removed. The
// position is at, or where the log stands now. keepFrom is the oldest journal
// that a commit behind the position may refer to.
func (l *Log) checkpoint(keepFrom uint64, at *position) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	work := l.unwrittenLocked()
	point := l.mu.state.snapshot()
	l.mu.Unlock()
	if at != nil {
		point.pos = *at
	}
	point.keepFrom = keepFrom
	if err := l.writeSegments(work); err != nil {
		return err
	}
	if err := l.syncSegments(); err != nil {
		return err
	}
	// Only holders of the flush lock change segments, so they are still those of
	// the snapshot.
	l.mu.Lock()
	l.mu.state.addSegments(point)
	l.mu.Unlock()
	encoded, err := point.encode()
	if err != nil {
		return err
	}
	if err := writeFile(l.opts.FS, l.opts.Dir, recoveryFile, encoded); err != nil {
		return err
	}
	l.counters.checkpoints.Add(1)
	return l.removeJournals(keepFrom)
}

// removeJournals removes journals before keepFrom.
func (l *Log) removeJournals(keepFrom uint64) error {
	names, err := listDir(l.opts.FS, l.opts.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if number, ok := parseJournalName(name); ok && number < keepFrom {
			if err := removeFile(l.opts.FS, l.opts.FS.PathJoin(l.opts.Dir, name)); err != nil {
				return err
			}
		}
	}
	l.order.Lock()
	maps.DeleteFunc(l.order.older, func(number uint64, _ int64) bool { return number < keepFrom })
	l.order.Unlock()
	return nil
}

// snapshot copies the state except for the segments, which belong to the flush
// lock. Needs Log.mu.
func (s *state) snapshot() *recoveryPoint {
	r := &recoveryPoint{pos: s.pos, nextID: s.nextID}
	for _, t := range s.sortedTopics() {
		record := topicRecord{id: t.id, config: t.config}
		for _, p := range t.partitions {
			record.partitions = append(record.partitions, partitionRecord{
				start: p.start, end: p.end, latest: slices.Collect(maps.Values(p.latest)),
			})
		}
		r.topics = append(r.topics, record)
	}
	r.writers = slices.SortedFunc(maps.Values(s.writers), func(a, b writerRecord) int { return strings.Compare(a.id, b.id) })
	for group, offsets := range s.groups {
		for tp, at := range offsets {
			r.offsets = append(r.offsets, groupOffset{group: group, tp: tp, at: at})
		}
	}
	return r
}

// addSegments completes a snapshot. A topic deleted since then is left out; the
// entry that deletes it lies behind the snapshot and finds nothing to do.
func (s *state) addSegments(r *recoveryPoint) {
	r.topics = slices.DeleteFunc(r.topics, func(t topicRecord) bool { return s.byID[t.id] == nil })
	for i := range r.topics {
		t := s.byID[r.topics[i].id]
		for n, p := range t.partitions {
			record := &r.topics[i].partitions[n]
			for _, seg := range p.segments {
				record.segments = append(record.segments, segmentRecord{base: seg.base, next: seg.next, size: seg.size})
			}
		}
	}
}
