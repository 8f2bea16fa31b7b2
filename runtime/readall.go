package runtime

import (
	"context"
	"fmt"
	"iter"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/topology"
)

// ReadAll goes through the committed records that a topic holds at the time of
// the call, one partition after the other, each in its order. The first error
// ends it, but for a *[DecodeError], which stands for one record.
//
//	for r, err := range runtime.ReadAll(ctx, app, averages) { ... }
func ReadAll[K, V any](ctx context.Context, a *App, t topology.Topic[K, V]) iter.Seq2[processor.Record[K, V], error] {
	return func(yield func(processor.Record[K, V], error) bool) {
		cfg, err := a.log.Topic(ctx, t.Name)
		if err != nil {
			yield(processor.Record[K, V]{}, fmt.Errorf("read topic %s: %w", t.Name, err))
			return
		}
		ends := make([]int64, cfg.Partitions)
		for p := range ends {
			bounds, err := a.log.Bounds(ctx, topicPartition(t.Name, int32(p)))
			if err != nil {
				yield(processor.Record[K, V]{}, err)
				return
			}
			ends[p] = bounds.StableEnd
		}
		for p, end := range ends {
			if !readPartition(ctx, a, t, int32(p), end, yield) {
				return
			}
		}
	}
}

// readPartition yields the records of one partition below end, and reports
// whether to go on.
func readPartition[K, V any](ctx context.Context, a *App, t topology.Topic[K, V], partition int32, end int64,
	yield func(processor.Record[K, V], error) bool) bool {
	tp := topicPartition(t.Name, partition)
	fail := func(err error) bool {
		yield(processor.Record[K, V]{}, fmt.Errorf("read %s: %w", tp, err))
		return false
	}
	bounds, err := a.log.Bounds(ctx, tp)
	if err != nil {
		return fail(err)
	}
	reader, err := a.log.NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return fail(err)
	}
	s := &Subscription[K, V]{app: a, topic: t, reader: reader, next: map[int32]int64{partition: bounds.Start}}
	defer s.Close()
	if err := reader.Assign(tp, bounds.Start); err != nil {
		return fail(err)
	}
	for {
		found, err := s.find(ctx, func() bool { return s.next[partition] >= end })
		if err != nil {
			return fail(err)
		}
		if !found || s.it.Offset >= end {
			return true
		}
		if !yield(s.decode(partition)) {
			return false
		}
	}
}
