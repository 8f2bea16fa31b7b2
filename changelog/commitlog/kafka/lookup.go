package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

const (
	// lookupLimit is asked for of each partition. Only the first of a request is
	// sure to get a whole batch, whatever the limit; the others need room for theirs.
	lookupLimit = 16 << 10
	// lookupReply bounds one reply.
	lookupReply = 4 << 20
	// lookupDepth is how many requests are under way at once. The broker's cost per
	// request is the limit, so deeper gains nothing.
	lookupDepth = 8
)

// lookup is what a ReadAt still wants of one partition.
type lookup struct {
	at      commitlog.TopicPartition
	topicID [16]byte
	wanted  []int // indices into the ids asked for, by offset
	limit   int32
}

// readAt is one call of ReadAt.
type readAt struct {
	log       *Log
	ids       []commitlog.RecordID
	records   []commitlog.Record
	open      []*lookup
	depth     int
	turn      int
	unsettled map[commitlog.TopicPartition]bool
}

// ReadAt implements commitlog.Log. One request asks for one offset of each of
// many partitions, and several requests travel together for the other offsets. An
// answer is what lies at or behind the offset asked for, possibly a later batch or
// a batch without the record: only a record of that very offset counts as found.
func (l *Log) ReadAt(ctx context.Context, at []commitlog.RecordID) ([]commitlog.Record, error) {
	if l.closed() {
		return nil, commitlog.ErrClosed
	}
	r := &readAt{log: l, ids: at, records: make([]commitlog.Record, len(at)), depth: 1}
	if err := r.group(ctx); err != nil {
		return nil, fmt.Errorf("point read: %w", err)
	}
	backoff := l.client.Backoff("read records at their offsets")
	for len(r.open) > 0 {
		resolved, err := r.round(ctx)
		if resolved > 0 && err == nil {
			backoff = l.client.Backoff("read records at their offsets")
			continue
		}
		if err == nil && len(r.open) > 0 {
			err = fmt.Errorf("no whole batch of %s: %w", r.open[0].at, wire.OffsetNotAvailable)
		}
		if err != nil {
			if err := backoff.Wait(ctx, err); err != nil {
				return nil, err
			}
		}
		if err := r.refresh(ctx); err != nil {
			return nil, err
		}
	}
	return r.records, nil
}

// group sorts the ids into lookups. Offsets that no log has are missing at once.
func (r *readAt) group(ctx context.Context) error {
	byPartition := map[commitlog.TopicPartition]*lookup{}
	for i, id := range r.ids {
		k := byPartition[id.TopicPartition]
		if k == nil {
			if _, err := r.log.client.Leader(ctx, id.Topic, id.Partition); err != nil {
				return named(err, "READ on topic "+id.Topic)
			}
			info, err := r.log.client.TopicInfo(ctx, id.Topic)
			if err != nil {
				return err
			}
			k = &lookup{at: id.TopicPartition, topicID: info.ID, limit: lookupLimit}
			byPartition[id.TopicPartition] = k
			r.open = append(r.open, k)
		}
		if id.Offset >= 0 {
			k.wanted = append(k.wanted, i)
		}
	}
	for _, k := range r.open {
		slices.SortFunc(k.wanted, func(a, b int) int { return cmp.Compare(r.ids[a].Offset, r.ids[b].Offset) })
	}
	r.dropDone()
	return nil
}

func (r *readAt) dropDone() {
	r.open = slices.DeleteFunc(r.open, func(k *lookup) bool { return len(k.wanted) == 0 })
}

// round sends one pipeline to each broker. It returns how many ids it resolved,
// and the first failure that may pass.
func (r *readAt) round(ctx context.Context) (resolved int, err error) {
	byLeader := map[wire.Node][]*lookup{}
	r.turn++
	for i := range r.open {
		k := r.open[(i+r.turn)%len(r.open)]
		leader, err := r.log.client.Leader(ctx, k.at.Topic, k.at.Partition)
		if err != nil {
			return 0, err
		}
		byLeader[leader] = append(byLeader[leader], k)
	}
	asked := 0
	r.unsettled = nil
	for leader, mine := range byLeader {
		lists := r.requests(mine)
		answers, failed := r.log.fetch(ctx, leader, 0, lookupReply, lists...)
		if failed != nil {
			err = failed
			continue
		}
		for i, spots := range lists {
			for j, s := range spots {
				n, failed := r.resolve(mine, s, j == 0, answers[i].of(s))
				if resolved += n; failed != nil {
					err = failed
				}
				asked++
			}
		}
	}
	r.dropDone()
	if r.depth = lookupDepth; resolved > 2*asked {
		r.depth = 1 // many wanted records in a batch: asking ahead would fetch it again
	}
	return resolved, r.settle(ctx, err)
}

// requests lists what to ask: in the n-th request the n-th offset wanted of each
// partition, because a request answers for a partition once.
func (r *readAt) requests(mine []*lookup) [][]fetchSpot {
	var lists [][]fetchSpot
	for n := range r.depth {
		var spots []fetchSpot
		for _, k := range mine {
			if n < len(k.wanted) && (n == 0 || r.ids[k.wanted[n]].Offset != r.ids[k.wanted[n-1]].Offset) {
				spots = append(spots, fetchSpot{at: k.at, topicID: k.topicID, from: r.ids[k.wanted[n]].Offset, limit: k.limit})
			}
		}
		if len(spots) == 0 {
			break
		}
		lists = append(lists, spots)
	}
	return lists
}

// resolve files one answer: all wanted offsets from the one asked for up to the
// position behind what it holds are found, or are not there.
func (r *readAt) resolve(mine []*lookup, s fetchSpot, first bool, answer *kmsg.FetchResponseTopicPartition) (resolved int, err error) {
	k := mine[slices.IndexFunc(mine, func(k *lookup) bool { return k.at == s.at })]
	switch {
	case answer == nil:
		return 0, fmt.Errorf("no answer for %s: %w", s.at, wire.NotLeader)
	case wire.Code(answer.ErrorCode) == wire.OffsetOutOfRange:
		return r.missing(k, s.from, s.from+1), nil
	case answer.ErrorCode != 0:
		return 0, refused(answer.ErrorCode, nil, fmt.Sprintf("read %s at offset %d", s.at, s.from), "READ on topic "+s.at.Topic)
	}
	d := r.log.decode(s.at, answer.RecordBatches, s.from, answer.AbortedTransactions)
	if d.err != nil {
		return 0, d.err
	}
	if d.next > s.from {
		if err := r.found(k, s.from, d); err != nil {
			return 0, err
		}
		return r.missing(k, s.from, d.next), nil
	}
	switch {
	case s.from >= answer.LastStableOffset && s.from < answer.HighWatermark:
		if r.unsettled == nil {
			r.unsettled = map[commitlog.TopicPartition]bool{}
		}
		r.unsettled[s.at] = true
	case s.from >= answer.LastStableOffset:
		return r.missing(k, s.from, s.from+1), nil
	case d.short > int(k.limit) && !first:
		k.limit = int32(min(d.short, recordbatch.MaxBatchBytes))
	}
	return 0, nil
}

// found fills in the records that a reply holds.
func (r *readAt) found(k *lookup, from int64, d decoded) error {
	wanted := k.wanted
	for len(wanted) > 0 && r.ids[wanted[0]].Offset < from {
		wanted = wanted[1:]
	}
	for _, b := range d.batches {
		err := visitRecords(k.at, b, from, func(it *recordbatch.Iterator) {
			for len(wanted) > 0 && r.ids[wanted[0]].Offset < it.Offset {
				wanted = wanted[1:]
			}
			for len(wanted) > 0 && r.ids[wanted[0]].Offset == it.Offset {
				r.records[wanted[0]] = recordOf(it)
				wanted = wanted[1:]
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// missing takes offsets in [from, next) off the list; those that were not found
// are not there.
func (r *readAt) missing(k *lookup, from, next int64) (n int) {
	k.wanted = slices.DeleteFunc(k.wanted, func(i int) bool {
		done := from <= r.ids[i].Offset && r.ids[i].Offset < next
		if done {
			n++
		}
		return done
	})
	return n
}

// settle waits for offsets that are appended and not decided: a commit that was
// acknowledged a moment ago.
func (r *readAt) settle(ctx context.Context, err error) error {
	if err != nil || len(r.unsettled) == 0 {
		return err
	}
	var tps []commitlog.TopicPartition
	for tp := range r.unsettled {
		tps = append(tps, tp)
	}
	_, err = r.log.Settled(ctx, tps)
	return err
}

func (r *readAt) refresh(ctx context.Context) error {
	var tps []commitlog.TopicPartition
	for _, k := range r.open {
		tps = append(tps, k.at)
	}
	if len(tps) == 0 {
		return nil
	}
	if err := r.log.client.Refresh(ctx, topicsOf(tps)...); err != nil {
		return err
	}
	for _, k := range r.open {
		info, err := r.log.client.TopicInfo(ctx, k.at.Topic)
		if err != nil {
			return err
		}
		k.topicID = info.ID
	}
	return nil
}
