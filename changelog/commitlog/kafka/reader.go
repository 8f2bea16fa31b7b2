package kafka

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

var _ commitlog.Reader = (*Reader)(nil)

// firstAnswerWait is how much longer than MaxWait a Poll waits for the first
// answer about a partition, so that an ordinary first Poll has all entries.
const firstAnswerWait = 2 * time.Second

// Reader reads committed batches. For each broker that leads one of its
// partitions it runs two lanes, each with one long poll at a time: while one
// waits on idle partitions, the other serves those that have become ready since
// (drained, resumed, new). If both wait, one is called back. They fetch ahead of Poll, up to MaxBytes in all and
// MaxPartitionBytes a partition; what is under way when that is reached, and a
// share of MaxBytes for each partition that has nothing yet, come on top. Batches
// alias the replies, which are not reused.
type Reader struct {
	log    *Log
	opts   commitlog.ReaderOptions
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	// Signals, each with room for one: somebody woke Poll, a lane has news for Poll,
	// partitions need a leader, partitions are paused.
	wake, news, lost, paused chan struct{}

	mu struct {
		sync.Mutex
		work     sync.Cond // lanes wait here for partitions to fetch
		closed   bool
		assigned []*assignment
		lanes    map[wire.Node]*lanes
		buffered int  // bytes of batches that wait for Poll
		turn     int  // whose turn it is to be delivered first
		replies  int  // with bytes of a partition, so far
		looking  bool // readyLocked will be called again
		failure  error
	}
}

// NewReader implements commitlog.Log.
func (l *Log) NewReader(opts commitlog.ReaderOptions) (commitlog.Reader, error) {
	if opts.MaxWait <= 0 {
		opts.MaxWait = 500 * time.Millisecond
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 8 << 20
	}
	if opts.MaxPartitionBytes <= 0 {
		opts.MaxPartitionBytes = 1 << 20
	}
	signal := func() chan struct{} { return make(chan struct{}, 1) }
	r := &Reader{log: l, opts: opts, wake: signal(), news: signal(), lost: signal(), paused: signal()}
	r.mu.work.L = &r.mu.Mutex
	r.mu.lanes = map[wire.Node]*lanes{}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, commitlog.ErrClosed
	}
	l.mu.readers[r] = struct{}{}
	r.ctx, r.cancel = context.WithCancel(l.ctx)
	r.tasks.Go(r.route)
	r.tasks.Go(r.followPaused)
	return r, nil
}

func raise(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default: // it is up already
	}
}

// Assign implements commitlog.Reader. Fetching begins with the next Poll, so that
// partitions assigned together are fetched together.
func (r *Reader) Assign(tp commitlog.TopicPartition, offset int64) error {
	info, err := r.log.client.TopicInfo(r.ctx, tp.Topic)
	if err != nil {
		return fmt.Errorf("assign %s: %w", tp, named(err, "READ on topic "+tp.Topic))
	}
	if tp.Partition < 0 || tp.Partition >= info.Partitions {
		return fmt.Errorf("assign %s: %w: the topic has %d partitions", tp, commitlog.ErrUnknownTopic, info.Partitions)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed {
		return commitlog.ErrClosed
	}
	a := &assignment{TopicPartition: tp, topicID: info.ID, next: offset, fetched: offset, end: -1}
	if i := r.findLocked(tp); i >= 0 {
		old := r.mu.assigned[i]
		r.dropLocked(old)
		a.paused, a.end, a.node, a.routed = old.paused, old.end, old.node, old.routed
		r.mu.assigned[i] = a
		return nil
	}
	r.mu.assigned = append(r.mu.assigned, a)
	return nil
}

func (r *Reader) findLocked(tp commitlog.TopicPartition) int {
	return slices.IndexFunc(r.mu.assigned, func(a *assignment) bool { return a.TopicPartition == tp })
}

// dropLocked forgets what was fetched. A reply that is under way is dropped when
// it comes, because the assignment is gone.
func (r *Reader) dropLocked(a *assignment) {
	a.gone = true
	r.mu.buffered -= a.queued
	a.queue, a.queued = nil, 0
}

// Unassign implements commitlog.Reader.
func (r *Reader) Unassign(tp commitlog.TopicPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.findLocked(tp); i >= 0 {
		r.dropLocked(r.mu.assigned[i])
		r.mu.assigned = slices.Delete(r.mu.assigned, i, i+1)
		r.readyLocked() // there is room now
	}
}

// Pause implements commitlog.Reader. What was fetched ahead is kept for Resume.
func (r *Reader) Pause(tp commitlog.TopicPartition) {
	r.setPaused(tp, true)
	raise(r.paused)
}

// Resume implements commitlog.Reader.
func (r *Reader) Resume(tp commitlog.TopicPartition) { r.setPaused(tp, false) }

func (r *Reader) setPaused(tp commitlog.TopicPartition, paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.findLocked(tp); i >= 0 {
		r.mu.assigned[i].paused = paused
		r.readyLocked()
	}
}

// Wake implements commitlog.Reader.
func (r *Reader) Wake() { raise(r.wake) }

// Close implements commitlog.Reader. It waits for the reader's goroutines.
func (r *Reader) Close() error {
	r.mu.Lock()
	r.mu.closed = true
	r.mu.work.Broadcast()
	r.mu.Unlock()
	r.cancel()
	r.Wake()
	r.tasks.Wait()
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	delete(r.log.mu.readers, r)
	return nil
}

// Poll implements commitlog.Reader. It also returns when a position has moved
// over offsets that are no records, and when the last unknown stable end has
// become known, so that nobody waits for MaxWait to learn that he is at the end.
// While a partition has not been heard of since it was assigned, it waits for up
// to 2 s more than MaxWait. No position moves in a Poll that fails; a failed
// partition fails each Poll until it is unassigned or assigned elsewhere, but for
// commitlog.ErrUnreachable, after which the next Poll tries anew.
func (r *Reader) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	r.publish()
	timer := time.NewTimer(r.opts.MaxWait)
	defer timer.Stop()
	patience := r.log.cfg.Now().Add(r.opts.MaxWait)
	for woken := false; ; {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		fetched, state, err := r.collect()
		if err != nil || woken || state.urgent {
			return fetched, err
		}
		select {
		case <-r.news:
		case <-ctx.Done():
		case <-r.ctx.Done():
			return nil, commitlog.ErrClosed
		case <-r.wake:
			woken = true
		case <-timer.C:
			if state.graceUntil.After(patience) && r.log.cfg.Now().Before(state.graceUntil) {
				patience = state.graceUntil
				timer.Reset(state.graceUntil.Sub(r.log.cfg.Now()))
				continue
			}
			woken = true // collect once more: it may have come just now
		}
	}
}
