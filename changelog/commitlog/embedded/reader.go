package embedded

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

var _ commitlog.Reader = (*Reader)(nil)

// Reader reads committed batches. Recent ones are handed out as they lie in
// memory, older ones are read from segments into fresh buffers.
type Reader struct {
	log    *Log
	opts   commitlog.ReaderOptions
	wake   chan struct{}
	closed atomic.Bool

	assigned []*assignment
	first    int // whose turn it is to be filled first
}

type assignment struct {
	p      *partition
	next   int64
	paused bool
}

// NewReader implements commitlog.Log.
func (l *Log) NewReader(opts commitlog.ReaderOptions) (commitlog.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, commitlog.ErrClosed
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = 500 * time.Millisecond
	}
	defaultTo(&opts.MaxBytes, 8<<20)
	defaultTo(&opts.MaxPartitionBytes, 1<<20)
	return &Reader{log: l, opts: opts, wake: make(chan struct{}, 1)}, nil
}

// Assign implements commitlog.Reader.
func (r *Reader) Assign(tp commitlog.TopicPartition, offset int64) error {
	if r.closed.Load() {
		return commitlog.ErrClosed
	}
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return commitlog.ErrClosed
	}
	p, err := l.mu.state.partition(tp)
	if err != nil {
		return fmt.Errorf("assign %s: %w", tp, err)
	}
	if i := r.find(tp); i >= 0 {
		*r.assigned[i] = assignment{p: p, next: offset, paused: r.assigned[i].paused}
		return nil
	}
	r.assigned = append(r.assigned, &assignment{p: p, next: offset})
	return nil
}

func (r *Reader) find(tp commitlog.TopicPartition) int {
	return slices.IndexFunc(r.assigned, func(a *assignment) bool { return a.p.tp() == tp })
}

// Unassign implements commitlog.Reader.
func (r *Reader) Unassign(tp commitlog.TopicPartition) {
	if i := r.find(tp); i >= 0 {
		r.assigned = slices.Delete(r.assigned, i, i+1)
	}
}

// Pause implements commitlog.Reader.
func (r *Reader) Pause(tp commitlog.TopicPartition) { r.setPaused(tp, true) }

// Resume implements commitlog.Reader.
func (r *Reader) Resume(tp commitlog.TopicPartition) { r.setPaused(tp, false) }

func (r *Reader) setPaused(tp commitlog.TopicPartition, paused bool) {
	if i := r.find(tp); i >= 0 {
		r.assigned[i].paused = paused
	}
}

// Wake implements commitlog.Reader.
func (r *Reader) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close implements commitlog.Reader.
func (r *Reader) Close() error {
	r.closed.Store(true)
	r.Wake()
	return nil
}

// Poll implements commitlog.Reader. A damaged batch fails the Poll with an error
// that names its partition; Unassign or Assign it elsewhere to go on with the
// others. No position moves in a Poll that fails.
func (r *Reader) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	var timeout <-chan time.Time
	for {
		if r.closed.Load() {
			return nil, commitlog.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		fetched, found, changed, err := r.collect()
		if err != nil || found {
			return fetched, err
		}
		if timeout == nil {
			timer := time.NewTimer(r.opts.MaxWait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timeout:
		case <-r.wake:
		}
		if r.closed.Load() {
			return nil, commitlog.ErrClosed
		}
		return fetched, nil
	}
}

// source is where a partition's next batches come from: memory, or a segment.
type source struct {
	recent  []stored
	segment segmentView
	old     bool
}

// collect takes one consistent view of all partitions and fetches from it, so
// that a transaction shows in one Poll on all partitions or on none of them.
func (r *Reader) collect() (fetched []commitlog.Fetched, found bool, changed <-chan struct{}, err error) {
	fetched = make([]commitlog.Fetched, len(r.assigned))
	sources := make([]source, len(r.assigned))
	if changed, err = r.view(fetched, sources); err != nil {
		return nil, false, nil, err
	}
	budget := r.opts.MaxBytes
	n := len(r.assigned)
	for turn := 0; turn < n && budget > 0; turn++ {
		i := (r.first + turn) % n
		f := &fetched[i]
		limit := min(r.opts.MaxPartitionBytes, budget)
		switch s := sources[i]; {
		case s.old:
			f.Batches, err = r.log.readSegment(s.segment, f.Next, f.StableEnd, limit)
			if found && len(f.Batches) == 1 && len(f.Batches[0].Raw) > limit {
				f.Batches = nil // too large to come on top; its turn comes
			}
		case len(s.recent) > 0:
			f.Batches, err = recentBatches(s.recent, f.Next, limit, found)
		}
		if err != nil {
			return nil, false, nil, err
		}
		if len(f.Batches) == 0 {
			continue
		}
		found = true
		f.Next = f.Batches[len(f.Batches)-1].NextOffset()
		for _, b := range f.Batches {
			budget -= len(b.Raw)
		}
	}
	for i, a := range r.assigned {
		a.next = fetched[i].Next
	}
	if n > 0 && found {
		r.first = (r.first + 1) % n
	}
	return fetched, found, changed, nil
}

// view notes ends and sources of all partitions at one moment.
func (r *Reader) view(fetched []commitlog.Fetched, sources []source) (<-chan struct{}, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, commitlog.ErrClosed
	}
	for i, a := range r.assigned {
		p := a.p
		if p.dropped {
			return nil, fmt.Errorf("%w: topic %s was deleted; unassign it", commitlog.ErrUnknownTopic, p.topic.config.Name)
		}
		fetched[i] = commitlog.Fetched{TopicPartition: p.tp(), Next: a.next, StableEnd: p.end}
		if a.paused {
			continue
		}
		if a.next < p.start || a.next > p.end {
			return nil, &commitlog.OffsetOutOfRangeError{TopicPartition: p.tp(), Offset: a.next, Bounds: p.bounds()}
		}
		s, err := p.sourceAt(a.next)
		if err != nil {
			return nil, err
		}
		sources[i] = s
	}
	return l.mu.changed, nil
}

// sourceAt needs Log.mu.
func (p *partition) sourceAt(offset int64) (source, error) {
	recent, ok := p.recentFrom(offset)
	if ok {
		return source{recent: recent}, nil
	}
	view, ok := p.viewSegment(offset)
	if !ok {
		return source{}, fmt.Errorf("%w: %s offset %d is in no segment; restore the directory from a backup", commitlog.ErrCorrupt, p, offset)
	}
	return source{segment: view, old: true}, nil
}

// recentBatches returns batches from memory, up to limit bytes. The first is
// taken whatever its size, unless others were already found.
func recentBatches(chunks []stored, offset int64, limit int, strict bool) ([]recordbatch.Batch, error) {
	var batches []recordbatch.Batch
	total := 0
	for _, c := range chunks {
		for raw := c.raw; len(raw) > 0; {
			b, rest, err := recordbatch.Parse(raw)
			if err != nil {
				return nil, fmt.Errorf("batches in memory at offset %d: %w", c.base, err)
			}
			raw = rest
			if b.NextOffset() <= offset {
				continue
			}
			if total+len(b.Raw) > limit && (total > 0 || strict) {
				return batches, nil
			}
			batches = append(batches, b)
			total += len(b.Raw)
		}
	}
	return batches, nil
}
