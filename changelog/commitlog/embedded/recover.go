package embedded

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// recover brings the log to the state that the recovery point and the journals
// say, stores that as a new recovery point, and begins a new journal. Nothing
// that was read from a journal is shown to anybody before it has been written
// and synced anew: an unsynced tail may exist in the kernel's memory only.
func (l *Log) recover() error {
	var err error
	if l.id, err = checkFormat(&l.opts); err != nil {
		return err
	}
	point, numbers, err := l.findStart()
	if err != nil {
		return err
	}
	l.mu.state = restoreState(&l.opts, point)
	r := &replay{log: l, point: point, parts: map[uint64][]chunk{}}
	last := point.keepFrom - 1
	if len(numbers) > 0 {
		if last, err = r.journals(numbers); err != nil {
			return err
		}
	}
	if l.mu.state.pos.before(point.pos) && point.pos.offset > 0 {
		return damaged(journalName(point.pos.journal), l.mu.state.pos.offset, "the recovery point says that %d bytes were on disk", point.pos.offset)
	}
	if r.applied > 0 {
		l.opts.Logger.Info("embedded log recovered", "dir", l.opts.Dir, "entries", r.applied, "journals", len(numbers))
	}
	return l.startAfter(last)
}

// startAfter stores the present state as the recovery point and begins the
// journal after last. The recovery point comes first: it names the new journal
// with nothing in it, so a crash between the two leaves no question open.
func (l *Log) startAfter(last uint64) error {
	begin := position{journal: last + 1}
	if err := l.checkpoint(begin.journal, &begin); err != nil {
		return err
	}
	j, err := createJournal(&l.opts, journalHeader{journal: begin.journal}, &l.counters)
	if err != nil {
		return err
	}
	l.order.journal, l.order.keepFrom = j, j.number
	l.mu.state.pos = position{journal: j.number, offset: j.size()}
	for _, t := range l.mu.state.topics {
		for _, p := range t.partitions {
			p.next = p.end
		}
	}
	return l.removeOrphans()
}

// findStart reads the recovery point and lists the journals from there on. A new
// directory has neither, and starts with journal 1.
func (l *Log) findStart() (*recoveryPoint, []uint64, error) {
	names, err := listDir(l.opts.FS, l.opts.Dir)
	if err != nil {
		return nil, nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := parseJournalName(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	path := l.opts.FS.PathJoin(l.opts.Dir, recoveryFile)
	content, ok, err := readFile(l.opts.FS, path)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		if len(numbers) > 0 || slices.Contains(names, topicsDir) {
			return nil, nil, fmt.Errorf("%w: %s is missing; restore the directory from a backup", commitlog.ErrCorrupt, path)
		}
		return &recoveryPoint{keepFrom: 1, pos: position{journal: 1}, nextID: 1}, nil, nil
	}
	point, err := decodeRecoveryPoint(content)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w; restore the directory from a backup", commitlog.ErrCorrupt, path, err)
	}
	numbers = slices.DeleteFunc(numbers, func(n uint64) bool { return n < point.keepFrom })
	return point, numbers, l.checkSequence(point, numbers)
}

func (l *Log) checkSequence(point *recoveryPoint, numbers []uint64) error {
	if len(numbers) == 0 && point.pos.offset == 0 && point.pos.journal == point.keepFrom {
		return nil // the crash came before the journal was begun
	}
	want := point.keepFrom
	for _, n := range numbers {
		if n != want {
			break
		}
		want++
	}
	if want <= point.pos.journal || int(want-point.keepFrom) != len(numbers) {
		return fmt.Errorf("%w: %s is missing in %s; restore it from a backup", commitlog.ErrCorrupt, journalName(want), l.opts.Dir)
	}
	return nil
}

func restoreState(o *Options, r *recoveryPoint) *state {
	s := newState()
	s.pos = position{journal: r.keepFrom}
	for _, record := range r.topics {
		t := &topic{id: record.id, config: record.config}
		for i, pr := range record.partitions {
			p := newPartition(t, int32(i))
			p.start, p.end, p.written = pr.start, pr.end, pr.end
			restoreSegments(o, p, pr.segments)
			for _, latest := range pr.latest {
				if p.latest != nil {
					p.latest[string(latest.Key)] = latest
				}
			}
			t.partitions = append(t.partitions, p)
		}
		s.topics[t.config.Name], s.byID[t.id] = t, t
	}
	s.nextID = r.nextID
	for _, w := range r.writers {
		s.writers[w.id] = w
	}
	for _, o := range r.offsets {
		s.setOffset(o)
	}
	return s
}

// replay applies journal entries behind the recovery point.
type replay struct {
	log     *Log
	point   *recoveryPoint
	parts   map[uint64][]chunk // of transactions whose commit has not come yet
	applied int
}

// journals reads the journals in turn and returns the number of the last one
// that counts. Where one ends is said by the header of the next; the last may
// end in a torn tail, and if that is its header, it was never begun.
func (r *replay) journals(numbers []uint64) (last uint64, err error) {
	headers := make([]*journalHeader, len(numbers))
	for i, n := range numbers {
		if headers[i], err = r.header(n); err != nil {
			return 0, err
		}
	}
	if n := len(numbers); headers[n-1] == nil {
		// Recovery and rotation put a header on disk before anything refers to it.
		numbers = numbers[:n-1]
	}
	for i, n := range numbers {
		if headers[i] == nil {
			return 0, damaged(journalName(n), 0, "the header is unreadable and a later journal exists")
		}
		end, exact := int64(0), false
		if i+1 < len(numbers) {
			end, exact = headers[i+1].prevEnd, true
		} else if r.point.pos.journal == n {
			end = r.point.pos.offset
		}
		if _, err := readJournal(&r.log.opts, n, end, exact, func(at int64, encoded []byte) error {
			return r.entry(position{journal: n, offset: at}, encoded)
		}); err != nil {
			return 0, err
		}
	}
	return r.point.keepFrom + uint64(len(numbers)) - 1, nil
}

// header reads the first entry of a journal; nil if it was never completed.
func (r *replay) header(number uint64) (*journalHeader, error) {
	var header *journalHeader
	proven := int64(0)
	if r.point.pos.journal == number {
		proven = r.point.pos.offset
	}
	_, err := readJournal(&r.log.opts, number, proven, false, func(_ int64, encoded []byte) error {
		e, err := decodeEntry(encoded)
		if err == nil && (e.kind != entryHeader || e.header.journal != number) {
			err = fmt.Errorf("%w: it does not begin with its header", errDecode)
		}
		if err != nil {
			return corruptEntry(err)
		}
		header = &e.header
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return header, err
}

// errEnough ends the reading of a journal early.
var errEnough = errors.New("no more entries are wanted")

// entry applies one entry. Before the recovery point only parts matter.
func (r *replay) entry(at position, encoded []byte) error {
	e, err := decodeEntry(encoded)
	if err != nil {
		return corruptEntry(err)
	}
	var parts []chunk
	switch e.kind {
	case entryPart:
		r.parts[e.txn] = append(r.parts[e.txn], e.chunks...)
	case entryCommit:
		parts = r.parts[e.txn]
		delete(r.parts, e.txn)
	}
	st := r.log.mu.state
	st.pos = at
	if !r.point.pos.before(at) {
		return nil
	}
	if e.kind == entryCommit {
		if err := placeParts(parts, e); err != nil {
			return corruptEntry(err)
		}
	}
	if err := st.apply(e, parts); err != nil {
		return corruptEntry(err)
	}
	r.applied++
	st.tail.evict(r.log.opts.TailBytes)
	if st.tail.unwritten > r.log.opts.maxBacklog() {
		return r.log.flush()
	}
	return nil
}

// placeParts gives the chunks of earlier parts the offsets that the commit says.
func placeParts(parts []chunk, e *entry) error {
	if len(parts) != len(e.partBases) {
		return fmt.Errorf("%w: a commit of transaction %d counts %d earlier appends, there are %d", errDecode, e.txn, len(e.partBases), len(parts))
	}
	for i := range parts {
		parts[i].base = e.partBases[i]
		if _, err := recordbatch.Rebase(parts[i].raw, parts[i].base); err != nil {
			return fmt.Errorf("%w: %w", errDecode, err)
		}
	}
	return nil
}

// corruptEntry marks an entry that decodes to nonsense as damage.
func corruptEntry(err error) error {
	return fmt.Errorf("%w: %w", commitlog.ErrCorrupt, err)
}

// removeOrphans removes directories of topics that no longer exist: a crash may
// come between a deletion and the removal of the files.
func (l *Log) removeOrphans() error {
	root := l.opts.FS.PathJoin(l.opts.Dir, topicsDir)
	names, err := listDir(l.opts.FS, root)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, t := range l.mu.state.topics {
		known[l.opts.FS.PathBase(topicDir(&l.opts, t))] = true
	}
	for _, name := range names {
		if !known[name] {
			if err := l.opts.FS.RemoveAll(l.opts.FS.PathJoin(root, name)); err != nil {
				return fmt.Errorf("remove the files of deleted topic %s: %w", name, err)
			}
		}
	}
	return nil
}
