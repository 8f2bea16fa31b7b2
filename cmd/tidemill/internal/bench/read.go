package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// partitionBatch is a batch as the log hands it out, and where it lies.
type partitionBatch struct {
	partition int32
	recordbatch.Batch
}

// eachBatch visits all committed batches of a topic, in the order in which a
// reader of all its partitions gets them.
func eachBatch(ctx context.Context, log commitlog.Log, topic string, visit func(partitionBatch) error) (err error) {
	cfg, err := log.Topic(ctx, topic)
	if err != nil {
		return err
	}
	r, err := log.NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	left := map[commitlog.TopicPartition]int64{}
	for p := range cfg.Partitions {
		tp := commitlog.TopicPartition{Topic: topic, Partition: p}
		bounds, err := log.Bounds(ctx, tp)
		if err != nil {
			return err
		}
		if bounds.Start == bounds.StableEnd {
			continue
		}
		left[tp] = bounds.StableEnd
		if err := r.Assign(tp, bounds.Start); err != nil {
			return err
		}
	}
	for len(left) > 0 {
		fetched, err := r.Poll(ctx)
		if err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		for _, f := range fetched {
			for _, b := range f.Batches {
				if err := visit(partitionBatch{f.Partition, b}); err != nil {
					return err
				}
			}
			if end, ok := left[f.TopicPartition]; ok && f.Next >= end {
				delete(left, f.TopicPartition)
				r.Unassign(f.TopicPartition)
			}
		}
	}
	return nil
}

// eachRecord visits the records of a batch.
func eachRecord(b recordbatch.Batch, visit func(it *recordbatch.Iterator) error) error {
	it := b.Records()
	for it.Next() {
		if err := visit(&it); err != nil {
			return err
		}
	}
	return it.Err()
}

// verify reads the results back and compares them with the expected ones.
func verify(ctx context.Context, j Job) (out Outcome, err error) {
	log, err := j.openLog()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	c := newChecker(j)
	err = eachBatch(ctx, log, outputTopic, func(b partitionBatch) error {
		return eachRecord(b.Batch, func(it *recordbatch.Iterator) error {
			c.add(b.partition, it.Key, it.Value)
			return nil
		})
	})
	if err != nil {
		return out, err
	}
	out.OutputRecords, out.Problems = c.finish()
	return out, nil
}
