package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// maxStalls is how many replies with half a batch in the first place end a
// partition. The first partition of a request always gets a whole batch, so this
// is damage, and asking on would be a busy loop.
const maxStalls = 8

// fetchClaim is a partition that a lane is asking for. The position is the one at
// which it was claimed.
type fetchClaim struct {
	*assignment
	fetchSpot
	known bool // its stable end
}

// claimLocked puts those first that have waited longest for data: the first
// partition of a request is the only one sure to get a whole batch, and a reply
// that is full with it may bring the others nothing.
func (r *Reader) claimLocked(node wire.Node) []fetchClaim {
	// A partition without anything queued may always fetch its share. Otherwise
	// the broker that happens to answer first would use up the whole of MaxBytes.
	full, share := r.mu.buffered >= r.opts.MaxBytes, max(r.opts.MaxBytes/max(len(r.mu.assigned), 1), 1)
	var claims []fetchClaim
	for _, a := range r.mu.assigned {
		if !r.isReadyLocked(a, node) {
			continue
		}
		limit := min(r.opts.MaxPartitionBytes-a.queued, 1<<30)
		if full {
			limit = min(limit, share)
		}
		a.inFlight = true
		claims = append(claims, fetchClaim{assignment: a, known: a.end >= 0, fetchSpot: fetchSpot{a.TopicPartition, a.topicID, a.fetched, int32(limit)}})
	}
	slices.SortStableFunc(claims, func(a, b fetchClaim) int { return cmp.Compare(a.served, b.served) })
	return claims
}

// release gives claimed partitions back after a failed request.
func (r *Reader) release(claims []fetchClaim, err error) {
	if r.ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range claims {
		r.loseLocked(c.assignment, fmt.Errorf("fetch %s: %w", c.at, err))
	}
}

// file takes a reply apart.
func (r *Reader) file(claims []fetchClaim, answers fetchAnswers) {
	for i, c := range claims {
		answer := answers.of(c.fetchSpot)
		switch {
		case answer == nil && len(answers) > 0:
			r.passOver(c) // the reply was full before its turn came, which is next
		case answer == nil:
			r.release(claims[i:i+1], wire.UnknownTopicOrPartition)
		case answer.ErrorCode != 0:
			r.refuse(c, wire.Code(answer.ErrorCode))
		default:
			// Checksums are the work here, so it is done without the lock.
			d := r.log.decode(c.at, answer.RecordBatches, c.from, answer.AbortedTransactions)
			r.deliver(c, d, answer, i == 0)
		}
	}
	raise(r.news)
}

func (r *Reader) passOver(c fetchClaim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.inFlight = false
}

// deliver queues what was decoded.
func (r *Reader) deliver(c fetchClaim, d decoded, answer *kmsg.FetchResponseTopicPartition, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := c.assignment
	a.inFlight = false
	if a.gone {
		return
	}
	a.answered()
	a.end = max(a.end, answer.LastStableOffset)
	for _, b := range d.batches {
		a.queued += len(b.Raw)
		r.mu.buffered += len(b.Raw)
	}
	a.queue = append(a.queue, d.batches...)
	switch {
	case d.next != c.from:
		r.mu.replies++
		a.fetched, a.stalls, a.served = d.next, 0, r.mu.replies
	case first && d.err == nil && len(answer.RecordBatches) > 0:
		a.stalls++
	}
	if a.err = d.err; a.err == nil && a.stalls >= maxStalls {
		a.err = fmt.Errorf("%s offset %d: %w: the broker returns %d bytes that hold no whole batch, of one that declares %d",
			a.TopicPartition, a.fetched, commitlog.ErrCorrupt, len(answer.RecordBatches), d.short)
	}
}

func (a *assignment) answered() {
	a.confirmed = true
	a.failures = 0
}

// refuse acts on an error code of one partition.
func (r *Reader) refuse(c fetchClaim, code wire.Code) {
	err := refused(int16(code), nil, fmt.Sprintf("fetch %s at offset %d", c.at, c.from), "READ on topic "+c.at.Topic)
	if code == wire.OffsetOutOfRange {
		if err = r.log.outOfRange(r.ctx, c.at, c.from); err == nil {
			err = fmt.Errorf("fetch %s at offset %d: %w", c.at, c.from, wire.NotLeader)
		}
	}
	if r.ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if retriable(err) {
		r.loseLocked(c.assignment, err)
		return
	}
	c.inFlight = false
	c.err = err
	raise(r.news)
}

// outOfRange says where the log is; nil if the offset is in it after all, as when
// a broker that has just become the leader is behind.
func (l *Log) outOfRange(ctx context.Context, tp commitlog.TopicPartition, offset int64) error {
	found, err := l.offsets(ctx, []commitlog.TopicPartition{tp}, logStart, highWatermark, stableEnd)
	if err != nil {
		return fmt.Errorf("offset %d of %s is out of range: %w", offset, tp, err)
	}
	if at := found[tp]; offset < at[0] || offset > at[1] {
		return &commitlog.OffsetOutOfRangeError{TopicPartition: tp, Offset: offset, Bounds: commitlog.Bounds{Start: at[0], StableEnd: at[2]}}
	}
	return nil
}
