package embedded

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// lookupBytes is how much a point read takes from a segment at least.
const lookupBytes = 1

// scanBytes is how much a scan reads at a time.
const scanBytes = 1 << 20

// Latest implements commitlog.Log. A deleted key is found with a nil value. Of a
// topic without KeepLatest the whole partition is scanned.
func (l *Log) Latest(ctx context.Context, tp commitlog.TopicPartition, key []byte) (commitlog.Record, bool, error) {
	if err := l.settle(ctx); err != nil {
		return commitlog.Record{}, false, fmt.Errorf("newest record of %s: %w", tp, err)
	}
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return commitlog.Record{}, false, commitlog.ErrClosed
	}
	p, err := l.mu.state.partition(tp)
	if err != nil {
		l.mu.Unlock()
		return commitlog.Record{}, false, err
	}
	if p.latest != nil {
		record, ok := p.latest[string(key)]
		l.mu.Unlock()
		return record, ok, nil
	}
	bounds := p.bounds()
	l.mu.Unlock()
	return l.scanLatest(ctx, p, bounds, key)
}

func (l *Log) scanLatest(ctx context.Context, p *partition, bounds commitlog.Bounds, key []byte) (latest commitlog.Record, found bool, err error) {
	for at := bounds.Start; at < bounds.StableEnd; {
		if err := ctx.Err(); err != nil {
			return latest, false, context.Cause(ctx)
		}
		batches, err := l.read(p, at, bounds.StableEnd, scanBytes)
		if err != nil {
			return latest, false, err
		}
		for _, b := range batches {
			it := b.Records()
			for it.Next() {
				if it.Key != nil && bytes.Equal(it.Key, key) {
					latest, found = recordOf(&it), true
				}
			}
			if err := it.Err(); err != nil {
				return latest, false, fmt.Errorf("%s: %w: %w", p, commitlog.ErrCorrupt, err)
			}
			at = b.NextOffset()
		}
	}
	return latest, found, nil
}

// recordOf copies: one record must not keep the buffer of a transaction alive.
func recordOf(it *recordbatch.Iterator) commitlog.Record {
	return commitlog.Record{Found: true, Offset: it.Offset, Time: it.Time, Key: slices.Clone(it.Key), Value: slices.Clone(it.Value)}
}

// read returns batches from the one that holds offset on, at least one; offset
// is within the bounds of the partition.
func (l *Log) read(p *partition, offset, end int64, maxBytes int) ([]recordbatch.Batch, error) {
	l.mu.Lock()
	s, err := p.sourceAt(offset)
	dropped := p.dropped
	l.mu.Unlock()
	switch {
	case dropped:
		return nil, fmt.Errorf("%w: topic %s was deleted", commitlog.ErrUnknownTopic, p.topic.config.Name)
	case err != nil:
		return nil, err
	case s.old:
		return l.readSegment(s.segment, offset, end, maxBytes)
	}
	return recentBatches(s.recent, offset, maxBytes, false)
}

// ReadAt implements commitlog.Log. Offsets are visited in order, so that those
// in one batch cost one read.
func (l *Log) ReadAt(ctx context.Context, at []commitlog.RecordID) ([]commitlog.Record, error) {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(at[a].Topic, at[b].Topic), cmp.Compare(at[a].Partition, at[b].Partition), cmp.Compare(at[a].Offset, at[b].Offset))
	})
	records := make([]commitlog.Record, len(at))
	var last cursor
	for _, i := range order {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		record, err := l.readOne(&last, at[i])
		if err != nil {
			return nil, err
		}
		records[i] = record
	}
	return records, nil
}

// cursor is the batch that the last point read looked into, and how far.
type cursor struct {
	p     *partition
	batch recordbatch.Batch
	it    recordbatch.Iterator
	found commitlog.Record
}

func (l *Log) readOne(c *cursor, id commitlog.RecordID) (commitlog.Record, error) {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return commitlog.Record{}, commitlog.ErrClosed
	}
	p, err := l.mu.state.partition(id.TopicPartition)
	if err != nil {
		l.mu.Unlock()
		return commitlog.Record{}, err
	}
	bounds := p.bounds()
	l.mu.Unlock()
	if id.Offset < bounds.Start || id.Offset >= bounds.StableEnd {
		return commitlog.Record{}, nil
	}
	if c.p != p || id.Offset >= c.batch.NextOffset() {
		batches, err := l.read(p, id.Offset, bounds.StableEnd, lookupBytes)
		if err != nil {
			return commitlog.Record{}, err
		}
		*c = cursor{p: p, batch: batches[0], it: batches[0].Records()}
	}
	for !c.found.Found || c.found.Offset < id.Offset {
		if !c.it.Next() {
			break
		}
		c.found = recordOf(&c.it)
	}
	if err := c.it.Err(); err != nil {
		return commitlog.Record{}, fmt.Errorf("%s offset %d: %w: %w", p, id.Offset, commitlog.ErrCorrupt, err)
	}
	if c.found.Offset != id.Offset {
		return commitlog.Record{}, nil
	}
	return c.found, nil
}
