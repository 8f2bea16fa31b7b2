package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

const (
	// scanVersion of Fetch, the last before topic ids.
	scanVersion     = 12
	scanBytes       = 8 << 20
	scanWaitMillis  = 500
	readUncommitted = 0
	commitMarker    = 1
)

// errUndecidable: with the older transaction protocol all transactions of a writer
// share an epoch, and nothing in the log tells their markers apart.
var errUndecidable = errors.New("the coordinator has forgotten how the transaction ended, and with the older transaction protocol its markers cannot be told " +
	"from others; compare what depends on it, then end it with kafka-transactions.sh abort, or leave it")

// findMarker looks on all partitions that know the producer for the marker with
// which the transaction ended there. It reads them from their start: record times
// may be anything, so there is no place to begin by time. This takes a while and
// is done once in the life of a cluster, by hand.
func (l *Log) findMarker(ctx context.Context, t Transaction) (where commitlog.TopicPartition, committed bool, err error) {
	all, err := l.partitionsOfAll(ctx)
	if err != nil {
		return where, false, err
	}
	var candidates []commitlog.TopicPartition
	err = l.describeProducers(ctx, all, func(tp commitlog.TopicPartition, p kmsg.DescribeProducersResponseTopicPartitionActiveProducer) {
		if p.ProducerID == t.ProducerID {
			candidates = append(candidates, tp)
		}
	})
	if err != nil {
		return where, false, err
	}
	for _, tp := range candidates {
		committed, err := l.scanForMarker(ctx, tp, t)
		if err != nil {
			return where, false, fmt.Errorf("look for the marker of producer %d on %s: %w", t.ProducerID, tp, err)
		}
		if committed {
			return tp, true, nil
		}
	}
	return where, false, nil
}

// scanForMarker reports whether a partition holds the commit marker of the
// transaction. With the newer protocol that is the one of the next epoch which
// follows the transaction's data.
func (l *Log) scanForMarker(ctx context.Context, tp commitlog.TopicPartition, t Transaction) (committed bool, err error) {
	ours := false
	err = l.walk(ctx, tp, func(b recordbatch.Batch) (done bool, err error) {
		switch {
		case b.Producer.ID != t.ProducerID:
		case !b.Control():
			ours = b.Producer.Epoch == t.Epoch
		case ours && b.Producer.Epoch == t.Epoch:
			return true, errUndecidable
		case ours:
			committed, err = isCommit(b)
			return true, err
		}
		return false, nil
	})
	return committed, err
}

// walk calls visit for every batch of a partition, those included that readers do
// not see, until it is done or the high watermark is reached: another hanging
// transaction may hold the stable end back.
func (l *Log) walk(ctx context.Context, tp commitlog.TopicPartition, visit func(recordbatch.Batch) (done bool, err error)) error {
	bounds, err := l.Bounds(ctx, tp)
	if err != nil {
		return err
	}
	for next, end := bounds.Start, bounds.StableEnd+1; next < end; {
		var raw []byte
		if raw, end, err = l.fetchRaw(ctx, tp, next); err != nil {
			return err
		}
		before := next
		for len(raw) > 0 {
			b, rest, err := recordbatch.Parse(raw)
			if errors.Is(err, recordbatch.ErrShort) {
				break // cut off by the size limit
			}
			if err != nil {
				return fmt.Errorf("%s: %w", tp, err)
			}
			next, raw = max(next, b.NextOffset()), rest
			if done, err := visit(b); done || err != nil {
				return err
			}
		}
		if next == before && next < end {
			return fmt.Errorf("%s: no batch at offset %d below the end %d", tp, next, end)
		}
	}
	return nil
}

func isCommit(b recordbatch.Batch) (bool, error) {
	it := b.Records()
	if it.Next() && len(it.Key) >= 4 {
		return binary.BigEndian.Uint16(it.Key[2:]) == commitMarker, nil
	}
	if err := it.Err(); err != nil {
		return false, err
	}
	return false, fmt.Errorf("%w: marker at offset %d without a type", commitlog.ErrCorrupt, b.BaseOffset)
}

// fetchRaw returns batches of a partition from an offset on, markers and aborted
// data included, and the high watermark.
func (l *Log) fetchRaw(ctx context.Context, tp commitlog.TopicPartition, offset int64) ([]byte, int64, error) {
	backoff := l.client.Backoff("read " + tp.String())
	for {
		raw, end, err := l.fetchRawOnce(ctx, tp, offset)
		if err == nil {
			return raw, end, nil
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return nil, 0, err
		}
		if err := l.client.Refresh(ctx, tp.Topic); err != nil {
			return nil, 0, err
		}
	}
}

func (l *Log) fetchRawOnce(ctx context.Context, tp commitlog.TopicPartition, offset int64) ([]byte, int64, error) {
	leader, err := l.client.Leader(ctx, tp.Topic, tp.Partition)
	if err != nil {
		return nil, 0, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = scanWaitMillis, 1, scanBytes, readUncommitted, -1
	topic, part := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes, part.CurrentLeaderEpoch = tp.Partition, offset, scanBytes, -1
	topic.Topic, topic.Partitions = tp.Topic, append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	resp, err := l.client.CallAt(ctx, leader, scanVersion, req)
	if err != nil {
		return nil, 0, err
	}
	fetched := resp.(*kmsg.FetchResponse)
	if err := wire.CodeError(fetched.ErrorCode); err != nil {
		return nil, 0, err
	}
	for _, t := range fetched.Topics {
		for _, p := range t.Partitions {
			return p.RecordBatches, p.HighWatermark, refused(p.ErrorCode, nil, "read "+tp.String(), "READ on topic "+tp.Topic)
		}
	}
	return nil, 0, wire.UnknownTopicOrPartition
}
