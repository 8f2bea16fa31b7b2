package gokaadopt

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// sample is how many of the newest offsets of a partition are looked at.
const sample = 1000

// isAdopted says that a store's rows are those of a topic that another program has
// written.
func isAdopted(s state.Spec) bool { return s.Changelog != "" }

// checkPlacement is an error if a record does not lie in the partition of its key.
func checkPlacement(ctx context.Context, log commitlog.Log, topic string, n int32, by *topology.Partitioner) error {
	if by == nil {
		by = &topology.Partitioner{Name: "murmur2", Place: commitlog.Murmur2}
	}
	reader, err := log.NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return err
	}
	defer reader.Close()
	for p := range n {
		tp := commitlog.TopicPartition{Topic: topic, Partition: p}
		bounds, err := log.Bounds(ctx, tp)
		if errors.Is(err, commitlog.ErrUnknownTopic) {
			return nil // it will be created
		}
		if err != nil {
			return fmt.Errorf("bounds of %s: %w", tp, err)
		}
		if err := checkPartition(ctx, reader, tp, bounds, n, by); err != nil {
			return err
		}
	}
	return nil
}

func checkPartition(ctx context.Context, reader commitlog.Reader, tp commitlog.TopicPartition, bounds commitlog.Bounds, n int32,
	by *topology.Partitioner) error {
	next := max(bounds.Start, bounds.StableEnd-sample)
	if next >= bounds.StableEnd {
		return nil
	}
	if err := reader.Assign(tp, next); err != nil {
		return fmt.Errorf("read %s from offset %d: %w", tp, next, err)
	}
	defer reader.Unassign(tp)
	for next < bounds.StableEnd {
		fetched, err := reader.Poll(ctx)
		if err != nil {
			return fmt.Errorf("read %s from offset %d: %w", tp, next, err)
		}
		for _, f := range fetched {
			if f.TopicPartition != tp {
				continue
			}
			if err := checkKeys(f, n, by); err != nil {
				return err
			}
			next = max(next, f.Next)
		}
	}
	return nil
}

func checkKeys(f commitlog.Fetched, n int32, by *topology.Partitioner) error {
	for _, b := range f.Batches {
		it := b.Records()
		for it.Next() {
			if it.Key == nil {
				continue
			}
			if want := by.Place(it.Key, n); want != f.Partition {
				return fmt.Errorf("%s offset %d: key %q belongs to partition %d of %d by %s, where goka keeps its row: the table cannot be "+
					"taken over as it is; fill the inputs with that partitioner, and rebuild the table from them under a new group name",
					f.TopicPartition, it.Offset, it.Key, want, n, by.Name)
			}
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("%s: %w", f.TopicPartition, err)
		}
	}
	return nil
}
