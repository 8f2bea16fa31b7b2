package embedded

import "slices"

// tail is the memory of recent chunks over all partitions, oldest first. A chunk
// leaves it when it is in a segment and the whole has grown over its limit.
// Guarded by Log.mu.
type tail struct {
	queue     []*partition // whose oldest chunk is next to leave
	head      int
	bytes     int64
	unwritten int64 // bytes not in segments yet
	dirty     map[*partition]struct{}
}

func (t *tail) add(p *partition, c stored) {
	p.recent = append(p.recent, c)
	p.end = c.next
	t.queue = append(t.queue, p)
	t.bytes += int64(len(c.raw))
	t.unwritten += int64(len(c.raw))
	if t.dirty == nil {
		t.dirty = map[*partition]struct{}{}
	}
	t.dirty[p] = struct{}{}
}

// written notes that the chunks of p up to offset end are in segments.
func (t *tail) written(p *partition, end int64) {
	if p.dropped {
		return
	}
	for _, c := range p.unwritten() {
		if c.next <= end {
			t.unwritten -= int64(len(c.raw))
		}
	}
	p.written = end
	if p.written == p.end {
		delete(t.dirty, p)
	}
}

// evict drops the oldest chunks while there is more than limit. Chunks leave in
// the order they came, so a partition loses its own in order too.
func (t *tail) evict(limit int64) {
	for t.bytes > limit && t.head < len(t.queue) {
		p := t.queue[t.head]
		if !p.dropped {
			if p.recent[0].next > p.written {
				break
			}
			t.bytes -= int64(len(p.recent[0].raw))
			p.forgetOldest()
		}
		t.queue[t.head] = nil
		t.head++
	}
	if t.head > len(t.queue)/2 {
		t.queue = slices.Delete(t.queue, 0, t.head)
		t.head = 0
	}
}

// drop forgets a partition. Its places in the queue are skipped when they come.
func (t *tail) drop(p *partition) {
	for _, c := range p.recent {
		t.bytes -= int64(len(c.raw))
	}
	for _, c := range p.unwritten() {
		t.unwritten -= int64(len(c.raw))
	}
	p.recent, p.dropped = nil, true
	delete(t.dirty, p)
}
