package bench

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// handCell is a row of W1 in a Go map.
type handCell struct {
	key         string
	start, time int64
	sum         float64
	n           int64
	changed     bool
}

func (c *handCell) bits() uint64 { return math.Float64bits(c.sum / float64(c.n)) }

// openHour is a window that has not closed in its partition.
type openHour struct {
	start int64
	cells map[string]*handCell
}

// handPartition is the state of a partition: few hours are open at a time.
type handPartition struct {
	now     int64
	open    []openHour
	changed []*handCell
}

type hourlyLoop struct {
	emission string
	parts    []handPartition
	out      *outputs
}

func newHourlyLoop(j Job, o *outputs) *hourlyLoop {
	return &hourlyLoop{emission: j.Emit, parts: make([]handPartition, j.Partitions), out: o}
}

func (l *hourlyLoop) take(partition int32, at int64, key, value []byte) error {
	if len(value) != 8 {
		return fmt.Errorf("the value has %d bytes, want 8", len(value))
	}
	p := &l.parts[partition]
	if at > p.now {
		p.now = at
		l.close(partition, p)
	}
	start := hourOf(at)
	if late(start, p.now) {
		return nil
	}
	cells := p.hour(start)
	c := cells[string(key)]
	if c == nil {
		c = &handCell{key: string(key), start: start}
		cells[c.key] = c
	}
	c.sum += math.Float64frombits(binary.BigEndian.Uint64(value))
	c.n++
	c.time = max(c.time, at)
	switch {
	case l.emission == EmitUpdate:
		l.out.appendWindowed(partition, c.time, c.key, c.start, c.bits())
	case l.emission == EmitCommit && !c.changed:
		c.changed = true
		p.changed = append(p.changed, c)
	}
	return nil
}

func (p *handPartition) hour(start int64) map[string]*handCell {
	for i := range p.open {
		if p.open[i].start == start {
			return p.open[i].cells
		}
	}
	cells := map[string]*handCell{}
	p.open = append(p.open, openHour{start, cells})
	return cells
}

// close forgets the hours that end before the grace period, and emits them if
// that was to wait until now.
func (l *hourlyLoop) close(partition int32, p *handPartition) {
	kept := p.open[:0]
	for _, h := range p.open {
		if !late(h.start, p.now) {
			kept = append(kept, h)
			continue
		}
		if l.emission != EmitClose {
			continue
		}
		for _, c := range h.cells {
			l.out.appendWindowed(partition, c.time, c.key, c.start, c.bits())
		}
	}
	clear(p.open[len(kept):])
	p.open = kept
}

func (l *hourlyLoop) emit() {
	for partition := range l.parts {
		p := &l.parts[partition]
		for _, c := range p.changed {
			c.changed = false
			l.out.appendWindowed(int32(partition), c.time, c.key, c.start, c.bits())
		}
		p.changed = p.changed[:0]
	}
}

// handCount is a row of W2 in a Go map.
type handCount struct {
	key     string
	n, time int64
	changed bool
}

type countLoop struct {
	emission string
	counts   []map[string]*handCount // by partition
	changed  [][]*handCount
	out      *outputs
}

func newCountLoop(j Job, o *outputs) *countLoop {
	l := &countLoop{emission: j.Emit, counts: make([]map[string]*handCount, j.Partitions), changed: make([][]*handCount, j.Partitions), out: o}
	for p := range l.counts {
		l.counts[p] = map[string]*handCount{}
	}
	return l
}

func (l *countLoop) take(partition int32, at int64, key, value []byte) error {
	if len(value) != 8 {
		return fmt.Errorf("the value has %d bytes, want 8", len(value))
	}
	c := l.counts[partition][string(key)]
	if c == nil {
		c = &handCount{key: string(key)}
		l.counts[partition][c.key] = c
	}
	c.n++
	c.time = max(c.time, at)
	switch {
	case l.emission == EmitUpdate:
		l.out.append(partition, c.time, c.key, uint64(c.n))
	case !c.changed:
		c.changed = true
		l.changed[partition] = append(l.changed[partition], c)
	}
	return nil
}

func (l *countLoop) emit() {
	for partition, changed := range l.changed {
		for _, c := range changed {
			c.changed = false
			l.out.append(int32(partition), c.time, c.key, uint64(c.n))
		}
		l.changed[partition] = changed[:0]
	}
}

// restoreByHand reads a changelog into a Go map.
func restoreByHand(j Job, batches []partitionBatch) (out Outcome, err error) {
	m, err := startMeter(j)
	if err != nil {
		return out, err
	}
	rows := map[string]int64{}
	for _, b := range batches {
		if err := b.Verify(); err != nil {
			return out, err
		}
		err := eachRecord(b.Batch, func(it *recordbatch.Iterator) error {
			out.Records++
			if len(it.Value) < 8 {
				return fmt.Errorf("changelog offset %d: the value has %d bytes, want at least 8", it.Offset, len(it.Value))
			}
			rows[string(it.Key)] = int64(binary.BigEndian.Uint64(it.Value[len(it.Value)-8:]))
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	if err := m.stop(j, &out); err != nil {
		return out, err
	}
	out.ChangelogRecords = out.Records
	sum := int64(0)
	for _, n := range rows {
		sum += n
	}
	if sum != j.Records() {
		out.Problems = append(out.Problems, fmt.Sprintf("the counts of %d keys add up to %d, want %d", len(rows), sum, j.Records()))
	}
	return out, nil
}
