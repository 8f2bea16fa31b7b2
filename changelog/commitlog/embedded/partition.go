package embedded

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// partition is one partition. Unless said otherwise fields are guarded by Log.mu.
type partition struct {
	topic *topic
	index int32

	start int64 // first readable offset
	end   int64 // one past the last committed, durable offset

	// next is the offset that the next commit gets: end plus what is in the
	// journal but not known to be on disk. Guarded by the order lock.
	next int64

	// holder is the writer that claimed the partition; one that is fenced or
	// closed holds nothing.
	holder atomic.Pointer[Writer]

	// recent are the latest chunks, oldest first, without a gap up to end.
	recent []stored
	// forgotten counts chunks before recent in its array. Readers share the array,
	// so it is never cleared but left behind when most of it is forgotten.
	forgotten int
	// written is the end of what the segments hold. recent reaches down to it or
	// below, so between the two nothing is missing.
	written  int64
	segments []*segment
	dropped  bool // the topic was deleted

	latest map[string]commitlog.Record // by key, for topics with KeepLatest
}

// stored is one chunk in memory. raw is immutable and may be shared with readers.
type stored struct {
	base, next int64
	raw        []byte
}

func newPartition(t *topic, index int32) *partition {
	p := &partition{topic: t, index: index}
	if t.config.KeepLatest {
		p.latest = map[string]commitlog.Record{}
	}
	return p
}

func (p *partition) tp() commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: p.topic.config.Name, Partition: p.index}
}

func (p *partition) String() string {
	return fmt.Sprintf("topic %s partition %d", p.topic.config.Name, p.index)
}

func (p *partition) bounds() commitlog.Bounds {
	return commitlog.Bounds{Start: p.start, StableEnd: p.end}
}

// claimedBy returns the live writer that holds the partition, or nil.
func (p *partition) claimedBy() *Writer {
	if w := p.holder.Load(); w != nil && !w.dead() {
		return w
	}
	return nil
}

// checkHolder refuses everybody but the holder.
func (p *partition) checkHolder(w *Writer) error {
	if h := p.claimedBy(); h != nil && h != w {
		return fmt.Errorf("%s belongs to writer %s (epoch %d), writer %s cannot append to it; take that identity over, or have it closed",
			p, h.id, h.epoch, w.id)
	}
	return nil
}

// recentFrom returns the chunks that hold offset and what follows; ok is false
// if offset lies below what is in memory.
func (p *partition) recentFrom(offset int64) (chunks []stored, ok bool) {
	if offset >= p.end {
		return nil, true
	}
	i, found := slices.BinarySearchFunc(p.recent, offset, func(c stored, at int64) int {
		switch {
		case c.next <= at:
			return -1
		case c.base > at:
			return 1
		}
		return 0
	})
	if !found {
		return nil, false
	}
	// Only the part up to the present end, which a later append does not touch.
	return p.recent[i:len(p.recent):len(p.recent)], true
}

// unwritten returns the chunks that are not in segments yet.
func (p *partition) unwritten() []stored {
	i, _ := slices.BinarySearchFunc(p.recent, p.written, func(c stored, at int64) int {
		return cmp.Compare(c.base, at)
	})
	return p.recent[i:len(p.recent):len(p.recent)]
}

func (p *partition) forgetOldest() {
	p.recent = p.recent[1:]
	if p.forgotten++; p.forgotten > len(p.recent) {
		p.recent, p.forgotten = append([]stored(nil), p.recent...), 0
	}
}

// keepLatest notes the newest record of each key. Keys and values are copied: a
// small record must not keep a whole transaction in memory.
func (p *partition) keepLatest(raw []byte) error {
	for len(raw) > 0 {
		b, rest, err := recordbatch.Parse(raw)
		if err != nil {
			return err
		}
		it := b.Records()
		for it.Next() {
			if it.Key == nil {
				continue
			}
			p.latest[string(it.Key)] = commitlog.Record{
				Found: true, Offset: it.Offset, Time: it.Time,
				Key: slices.Clone(it.Key), Value: slices.Clone(it.Value),
			}
		}
		if err := it.Err(); err != nil {
			return err
		}
		raw = rest
	}
	return nil
}
