package embedded

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// segmentView is what a reader needs of a segment, taken under Log.mu.
type segmentView struct {
	p          *partition
	s          *segment
	next, size int64
	from       indexEntry // the batch at or before the offset asked for
	indexed    bool       // from is valid
}

// viewSegment finds the segment that holds offset. Needs Log.mu.
func (p *partition) viewSegment(offset int64) (segmentView, bool) {
	i, found := slices.BinarySearchFunc(p.segments, offset, func(s *segment, at int64) int {
		switch {
		case s.next <= at:
			return -1
		case s.base > at:
			return 1
		}
		return 0
	})
	if !found {
		return segmentView{}, false
	}
	s := p.segments[i]
	v := segmentView{p: p, s: s, next: s.next, size: s.size}
	v.from, v.indexed = s.index.find(offset)
	return v, true
}

// ensureIndex loads the index of the segment if the view lacks it.
func (l *Log) ensureIndex(v *segmentView, offset int64) error {
	if v.indexed {
		return nil
	}
	l.mu.Lock()
	known := v.s.index
	upTo, sealed := v.s.size, known.sealed
	if len(known.entries) > 0 {
		upTo, sealed = known.entries[0].at, false
	}
	l.mu.Unlock()
	loaded, err := loadIndex(l.opts.FS, v.s.path, v.s.base, upTo, sealed)
	if err != nil {
		return l.readFailed(v.p, offset, v.s.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !v.s.index.whole {
		v.s.index.entries = append(loaded, v.s.index.entries...)
		v.s.index.whole = true
	}
	v.from, v.indexed = v.s.index.find(offset)
	if !v.indexed {
		return corruptSegment(v.p, offset, v.s.path, 0, errors.New("the segment does not begin with its first offset"))
	}
	return nil
}

// readSegment returns the batches from the one that holds offset on, about
// maxBytes of them and at least one, below offset end. The bytes are fresh.
func (l *Log) readSegment(v segmentView, offset, end int64, maxBytes int) ([]recordbatch.Batch, error) {
	if err := l.ensureIndex(&v, offset); err != nil {
		return nil, err
	}
	f, err := l.opts.FS.Open(v.s.path)
	if err != nil {
		return nil, l.readFailed(v.p, offset, v.s.path, err)
	}
	defer f.Close()
	l.counters.segmentReads.Add(1)
	scan := segmentScan{file: f, at: v.from.at, expect: v.from.offset, size: v.size}
	var batches []recordbatch.Batch
	for total := 0; scan.expect < min(v.next, end) && (total == 0 || total < maxBytes); {
		b, err := scan.next(offset, maxBytes-total)
		if err != nil {
			return nil, l.scanFailed(v, max(offset, scan.expect), scan.at, err)
		}
		if b.NextOffset() <= offset {
			continue
		}
		if total > 0 && total+len(b.Raw) > maxBytes {
			break
		}
		batches = append(batches, b)
		total += len(b.Raw)
	}
	return batches, nil
}

// segmentScan reads batch after batch. Base offset and length are outside a
// batch's checksum; what protects them is that each batch must begin where the
// one before it ended.
type segmentScan struct {
	file   vfs.File
	at     int64 // byte of the next batch
	expect int64 // its base offset
	size   int64 // bytes of the segment that count
	buffer []byte
}

// next returns the next batch, verified unless it lies below offset. want is how
// many bytes the caller has use for.
func (s *segmentScan) next(offset int64, want int) (recordbatch.Batch, error) {
	b, rest, err := recordbatch.Parse(s.buffer)
	if errors.Is(err, recordbatch.ErrShort) {
		if err := s.fill(want); err != nil {
			return b, err
		}
		b, rest, err = recordbatch.Parse(s.buffer)
	}
	if err != nil {
		return b, err
	}
	if b.BaseOffset != s.expect {
		return b, fmt.Errorf("%w: a batch of base offset %d where %d was written", recordbatch.ErrCorrupt, b.BaseOffset, s.expect)
	}
	if b.NextOffset() > offset {
		if err := b.Verify(); err != nil {
			return b, err
		}
	}
	s.buffer = rest
	s.at += int64(len(b.Raw))
	s.expect = b.NextOffset()
	return b, nil
}

// fill reads from the next batch on: what the caller wants and the distance
// between index entries, or as much as the batch needs.
func (s *segmentScan) fill(want int) error {
	length := int64(want + indexEvery)
	if size, err := recordbatch.PeekSize(s.buffer); err == nil {
		length = max(length, int64(size))
	} else if !errors.Is(err, recordbatch.ErrShort) {
		return err
	}
	length = min(length, s.size-s.at)
	if length <= int64(len(s.buffer)) {
		return fmt.Errorf("%w: a batch reaches over the %d bytes of the segment", recordbatch.ErrCorrupt, s.size)
	}
	s.buffer = make([]byte, length)
	n, err := s.file.ReadAt(s.buffer, s.at)
	if errors.Is(err, io.EOF) && int64(n) < length {
		return fmt.Errorf("%w: the file ends at byte %d, %d were written", recordbatch.ErrCorrupt, s.at+int64(n), s.size)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	// A batch larger than the window shows its size now and is read whole.
	if size, err := recordbatch.PeekSize(s.buffer); err == nil && int64(size) > length {
		return s.fill(want)
	}
	return nil
}

func (l *Log) scanFailed(v segmentView, offset, at int64, err error) error {
	if errors.Is(err, recordbatch.ErrCorrupt) || errors.Is(err, recordbatch.ErrShort) {
		return corruptSegment(v.p, offset, v.s.path, at, err)
	}
	return l.readFailed(v.p, offset, v.s.path, err)
}

func corruptSegment(p *partition, offset int64, path string, at int64, err error) error {
	return fmt.Errorf("%w: %s offset %d, %s at byte %d: %w; other offsets and partitions go on, restore the file from a backup or read on behind the damage",
		commitlog.ErrCorrupt, p, offset, path, at, err)
}

// readFailed tells a missing file of a deleted topic from real trouble.
func (l *Log) readFailed(p *partition, offset int64, path string, err error) error {
	l.mu.Lock()
	dropped := p.dropped
	l.mu.Unlock()
	if dropped {
		return fmt.Errorf("%w: topic %s was deleted", commitlog.ErrUnknownTopic, p.topic.config.Name)
	}
	if oserror.IsNotExist(err) {
		return corruptSegment(p, offset, path, 0, err)
	}
	return fmt.Errorf("read %s offset %d from %s: %w", p, offset, path, err)
}
