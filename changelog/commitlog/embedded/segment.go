package embedded

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// segment is a file of batches without gaps. next, size and index are guarded by
// Log.mu; the file handle belongs to whoever holds the flush lock.
type segment struct {
	base  int64 // offset of the first record, and the file's name
	next  int64
	size  int64 // bytes that count; the file may be longer
	path  string
	index sparseIndex

	file  vfs.File // for writing; nil if not open
	dirty bool     // written since it was last synced
}

const (
	segmentSuffix = ".log"
	indexSuffix   = ".idx"
	topicsDir     = "topics"
)

func segmentName(base int64) string { return fmt.Sprintf("%020d%s", base, segmentSuffix) }

// topicDir has the topic's id in its name: a topic created again never meets the
// files of the one that was deleted.
func topicDir(o *Options, t *topic) string {
	return o.FS.PathJoin(o.Dir, topicsDir, fmt.Sprintf("%s.%d", t.config.Name, t.id))
}

func partitionDir(o *Options, p *partition) string {
	return o.FS.PathJoin(topicDir(o, p.topic), fmt.Sprint(p.index))
}

// restoreSegments rebuilds the list of segments from a recovery point. No file
// is touched: a missing or damaged one concerns whoever reads it.
func restoreSegments(o *Options, p *partition, records []segmentRecord) {
	dir := partitionDir(o, p)
	for i, r := range records {
		p.segments = append(p.segments, &segment{
			base: r.base, next: r.next, size: r.size,
			path:  o.FS.PathJoin(dir, segmentName(r.base)),
			index: sparseIndex{sealed: i < len(records)-1},
		})
	}
}

// write appends batches at the position that counts, over whatever an earlier
// run may have left there. It returns the new entries of the index.
func (s *segment) write(raw []byte, size, next int64) (added []indexEntry, newSize int64, err error) {
	if _, err := s.file.WriteAt(raw, size); err != nil {
		return nil, 0, fmt.Errorf("write %s at byte %d: %w", s.path, size, err)
	}
	s.dirty = true
	for rest := raw; len(rest) > 0; {
		b, after, err := recordbatch.Parse(rest)
		if err != nil {
			return nil, 0, fmt.Errorf("index %s: %w", s.path, err)
		}
		added = append(added, indexEntry{offset: b.BaseOffset, at: size + int64(len(raw)-len(rest))})
		rest = after
	}
	return added, size + int64(len(raw)), nil
}

// sync puts what was written on disk. It is never called again after a failure.
func (s *segment) sync() error {
	if !s.dirty {
		return nil
	}
	if err := s.file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", s.path, err)
	}
	s.dirty = false
	return nil
}

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return wrapf(file.Close(), "close %s", s.path)
}
