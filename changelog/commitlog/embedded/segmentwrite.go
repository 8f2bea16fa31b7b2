package embedded

import (
	"fmt"
	"strings"
)

// segmentWork is what one flush writes to one partition.
type segmentWork struct {
	p      *partition
	chunks []stored
}

// unwrittenLocked collects what is in memory only.
func (l *Log) unwrittenLocked() []segmentWork {
	dirty := l.mu.state.tail.dirty
	work := make([]segmentWork, 0, len(dirty))
	for p := range dirty {
		work = append(work, segmentWork{p: p, chunks: p.unwritten()})
	}
	return work
}

// writeSegments appends chunks to segments. Needs the flush lock.
func (l *Log) writeSegments(work []segmentWork) error {
	for _, w := range work {
		if err := l.writePartition(w.p, w.chunks); err != nil {
			return fmt.Errorf("%s offset %d: %w", w.p, w.p.written, err)
		}
	}
	return nil
}

func (l *Log) writePartition(p *partition, chunks []stored) error {
	for len(chunks) > 0 {
		s, err := l.segmentFor(p, chunks[0].base)
		if err != nil {
			return err
		}
		raw, n := joinChunks(chunks, p.segmentBytes(&l.opts)-s.size)
		next := chunks[n-1].next
		added, size, err := s.write(raw, s.size, next)
		if err != nil {
			return err
		}
		l.counters.segmentBytes.Add(int64(len(raw)))
		chunks = chunks[n:]
		l.mu.Lock()
		s.size, s.next = size, next
		for _, e := range added {
			s.index.add(e)
		}
		l.mu.state.tail.written(p, next)
		l.mu.state.tail.evict(l.opts.TailBytes)
		l.mu.Unlock()
	}
	return nil
}

// joinBytes is up to what size small chunks are put together for one write.
const joinBytes = 256 << 10

// joinChunks returns the bytes of the first n chunks: one chunk as it is, or
// several small ones copied together, as far as the segment has room.
func joinChunks(chunks []stored, room int64) (raw []byte, n int) {
	size := 0
	for n < len(chunks) && (n == 0 || size+len(chunks[n].raw) <= min(joinBytes, int(room))) {
		size += len(chunks[n].raw)
		n++
	}
	if n == 1 {
		return chunks[0].raw, 1
	}
	raw = make([]byte, 0, size)
	for _, c := range chunks[:n] {
		raw = append(raw, c.raw...)
	}
	return raw, n
}

func (p *partition) segmentBytes(o *Options) int64 {
	if p.topic.config.SegmentBytes > 0 {
		return p.topic.config.SegmentBytes
	}
	return o.SegmentBytes
}

// segmentFor returns the segment to append to, open, beginning a new one when
// the last is full. Needs the flush lock.
func (l *Log) segmentFor(p *partition, base int64) (*segment, error) {
	if n := len(p.segments); n > 0 {
		last := p.segments[n-1]
		if last.size < p.segmentBytes(&l.opts) {
			return last, l.openSegment(last)
		}
		if err := l.seal(last); err != nil {
			return nil, err
		}
	}
	dir := partitionDir(&l.opts, p)
	if err := l.prepareDir(p, dir); err != nil {
		return nil, err
	}
	s := &segment{base: base, next: base, path: l.opts.FS.PathJoin(dir, segmentName(base))}
	file, err := l.opts.FS.Create(s.path, writeCategory)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", s.path, err)
	}
	// WriteAt needs a file opened for reading and writing.
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("create %s: %w", s.path, err)
	}
	if err := l.openSegment(s); err != nil {
		return nil, err
	}
	if err := syncDir(l.opts.FS, dir); err != nil {
		return nil, err
	}
	l.mu.Lock()
	p.segments = append(p.segments, s)
	l.mu.Unlock()
	return s, nil
}

func (l *Log) openSegment(s *segment) (err error) {
	if s.file != nil {
		return nil
	}
	s.file, err = l.opts.FS.OpenReadWrite(s.path, writeCategory)
	return wrapf(err, "open %s", s.path)
}

// prepareDir makes the directory, or removes from it what a crash left: segments
// that no recovery point ever mentioned.
func (l *Log) prepareDir(p *partition, dir string) error {
	if len(p.segments) > 0 && p.segments[len(p.segments)-1].file != nil {
		return nil // this run has been here before
	}
	if err := makeDir(l.opts.FS, dir); err != nil {
		return err
	}
	names, err := listDir(l.opts.FS, dir)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, s := range p.segments {
		known[strings.TrimSuffix(segmentName(s.base), segmentSuffix)] = true
	}
	for _, name := range names {
		if stem, _, _ := strings.Cut(name, "."); known[stem] {
			continue
		}
		if err := removeFile(l.opts.FS, l.opts.FS.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// seal ends a segment: it is synced, indexed on disk and closed.
func (l *Log) seal(s *segment) error {
	if s.file == nil {
		return nil
	}
	if s.dirty {
		l.counters.segmentSyncs.Add(1)
	}
	if err := s.sync(); err != nil {
		return err
	}
	l.mu.Lock()
	index := s.index
	s.index.sealed = true
	l.mu.Unlock()
	if index.whole {
		if err := writeIndex(l.opts.FS, s, index.entries); err != nil {
			return err
		}
	}
	return s.close()
}

// syncSegments puts all that was written on disk. Needs the flush lock.
func (l *Log) syncSegments() error {
	for _, s := range l.dirtySegments() {
		l.counters.segmentSyncs.Add(1)
		if err := s.sync(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) dirtySegments() (dirty []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.mu.state.topics {
		for _, p := range t.partitions {
			// Only the last one is written to; the others were synced when sealed.
			if n := len(p.segments); n > 0 && p.segments[n-1].dirty {
				dirty = append(dirty, p.segments[n-1])
			}
		}
	}
	return dirty
}
