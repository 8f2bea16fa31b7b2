package kafka

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

const (
	latestBytes      = 1 << 20 // how much a scan asks for at a time
	latestWaitMillis = 100
)

// latest holds the newest record of each key of one partition, up to an offset.
type latest struct {
	sync.Mutex
	topicID [16]byte
	start   int64 // of the log, when it was last looked at
	next    int64 // everything below is in
	records map[string]commitlog.Record
}

// Latest implements commitlog.Log. A deleted key is found with a nil value. Of
// topics declared KeepLatest, and of positions topics, the records are kept and
// only what came since is read; of others the whole partition is scanned, since
// nothing bounds how many keys they have.
func (l *Log) Latest(ctx context.Context, tp commitlog.TopicPartition, key []byte) (commitlog.Record, bool, error) {
	settled, err := l.Settled(ctx, []commitlog.TopicPartition{tp})
	if err != nil {
		return commitlog.Record{}, false, fmt.Errorf("latest record of a key in %s: %w", tp, err)
	}
	bounds := settled[tp]
	kept, err := l.latestOf(ctx, tp)
	if err != nil {
		return commitlog.Record{}, false, err
	}
	if kept == nil {
		return l.scanLatest(ctx, tp, bounds, key)
	}
	kept.Lock()
	defer kept.Unlock()
	if err := l.catchUp(ctx, kept, tp, bounds); err != nil {
		return commitlog.Record{}, false, err
	}
	record, ok := kept.records[string(key)]
	return record, ok, nil
}

// latestOf returns the cache of a partition, nil if it is not kept.
func (l *Log) latestOf(ctx context.Context, tp commitlog.TopicPartition) (*latest, error) {
	info, err := l.client.TopicInfo(ctx, tp.Topic)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.noted[tp.Topic].keepLatest && !isPositions(tp.Topic) {
		return nil, nil
	}
	kept := l.mu.latest[tp]
	if kept == nil || kept.topicID != info.ID {
		kept = &latest{topicID: info.ID, records: map[string]commitlog.Record{}}
		l.mu.latest[tp] = kept
	}
	return kept, nil
}

func (l *Log) catchUp(ctx context.Context, kept *latest, tp commitlog.TopicPartition, bounds commitlog.Bounds) error {
	if bounds.Start > kept.start { // trimmed: some of what is held may be gone
		kept.start, kept.next = bounds.Start, bounds.Start
		clear(kept.records)
	}
	if kept.next >= bounds.StableEnd {
		return nil
	}
	next, err := l.scan(ctx, tp, kept.next, bounds.StableEnd, func(it *recordbatch.Iterator) {
		if it.Key != nil {
			kept.records[string(it.Key)] = recordOf(it)
		}
	})
	kept.next = max(kept.next, next)
	return err
}

func (l *Log) scanLatest(ctx context.Context, tp commitlog.TopicPartition, bounds commitlog.Bounds, key []byte) (newest commitlog.Record, found bool, err error) {
	_, err = l.scan(ctx, tp, bounds.Start, bounds.StableEnd, func(it *recordbatch.Iterator) {
		if it.Key != nil && bytes.Equal(it.Key, key) {
			newest, found = recordOf(it), true
		}
	})
	return newest, found, err
}

// recordOf copies: one record must not keep a whole reply alive.
func recordOf(it *recordbatch.Iterator) commitlog.Record {
	return commitlog.Record{Found: true, Offset: it.Offset, Time: it.Time, Key: slices.Clone(it.Key), Value: slices.Clone(it.Value)}
}

// scan visits the committed records of a partition from an offset on until its
// position has reached end. It returns the position, also with an error.
func (l *Log) scan(ctx context.Context, tp commitlog.TopicPartition, from, end int64, visit func(*recordbatch.Iterator)) (next int64, err error) {
	limit := int32(latestBytes)
	backoff := l.client.Backoff(fmt.Sprintf("read %s", tp))
	at := from
	for at < end {
		d, err := l.fetchOne(ctx, tp, at, limit)
		if err == nil && d.err == nil && d.next == at {
			limit = max(limit, int32(d.short))
			err = fmt.Errorf("%w: nothing at offset %d, below the stable end %d", wire.OffsetNotAvailable, at, end)
		}
		if err != nil {
			if err := backoff.Wait(ctx, err); err != nil {
				return at, named(err, "READ on topic "+tp.Topic)
			}
			if err := l.client.Refresh(ctx, tp.Topic); err != nil {
				return at, err
			}
			continue
		}
		for _, b := range d.batches {
			if err := visitRecords(tp, b, at, visit); err != nil {
				return at, err
			}
		}
		if at = d.next; d.err != nil && at < end {
			return at, d.err
		}
		backoff = l.client.Backoff(fmt.Sprintf("read %s", tp))
	}
	return at, nil
}

func (l *Log) fetchOne(ctx context.Context, tp commitlog.TopicPartition, at int64, limit int32) (decoded, error) {
	leader, err := l.client.Leader(ctx, tp.Topic, tp.Partition)
	if err != nil {
		return decoded{}, err
	}
	info, err := l.client.TopicInfo(ctx, tp.Topic)
	if err != nil {
		return decoded{}, err
	}
	spot := fetchSpot{at: tp, topicID: info.ID, from: at, limit: limit}
	answers, err := l.fetch(ctx, leader, latestWaitMillis, limit, []fetchSpot{spot})
	if err != nil {
		return decoded{}, err
	}
	answer := answers[0].of(spot)
	if answer == nil {
		return decoded{}, fmt.Errorf("%s forgot %s: %w", leader, tp, wire.NotLeader)
	}
	if err := wire.CodeError(answer.ErrorCode); err != nil {
		return decoded{}, err
	}
	return l.decode(tp, answer.RecordBatches, at, answer.AbortedTransactions), nil
}

// visitRecords visits the records of a batch from an offset on.
func visitRecords(tp commitlog.TopicPartition, b recordbatch.Batch, from int64, visit func(*recordbatch.Iterator)) error {
	it := b.Records()
	for it.Next() {
		if it.Offset >= from {
			visit(&it)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("%s offset %d, codec %s: %w: %w", tp, b.BaseOffset, b.Codec(), commitlog.ErrCorrupt, err)
	}
	return nil
}
