package simtest

import (
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

const (
	partitions      = 2
	groupPartitions = 2
	windowSize      = 100 * time.Millisecond
	grace           = 30 * time.Millisecond
	retention       = 400 * time.Millisecond
	tickEvery       = 70 * time.Millisecond
)

// The value of a record is its number in the source, so that whatever is summed
// or chained shows a missing record, a repeated one, and a wrong order.
var (
	numbers  = numberTopic("numbers", partitions)
	byGroup  = numberTopic("by-group", groupPartitions)
	sampled  = numberTopic("sampled", partitions)
	grouped  = numberTopic("grouped", groupPartitions)
	chained  = numberTopic("chained", partitions)
	windowed = topology.Topic[state.Windowed[string], int64]{Name: "windowed", Partitions: partitions,
		Key: serde.TimeWindowed(serde.String, windowSize), Value: serde.Int64}

	windowSum  = state.Window("window-sum", serde.String, serde.Int64).Retention(retention)
	sampleSum  = state.KeyValue("sample-sum", serde.String, serde.Int64)
	groupSum   = state.KeyValue("group-sum", serde.String, serde.Int64)
	chainStore = state.KeyValue("chain", serde.String, serde.Int64)
)

func numberTopic(name string, n int32) topology.Topic[string, int64] {
	return topology.Topic[string, int64]{Name: name, Partitions: n, Key: serde.String, Value: serde.Int64}
}

// sumAndCount keeps a sum above a count.
func sumAndCount(acc, v int64) int64 { return acc + v<<16 + 1 }

// link chains the records of a key: the result depends on each and their order.
func link(acc, v int64) int64 { return acc*31 + v + 1 }

func kept(v int64) bool { return v%7 != 3 }

func groupOf(v int64) string { return string(rune('A' + v%3)) }

// build makes the topology: a filter, and below it a window, an emission per
// commit, an aggregation behind a repartition topic, and a processor with a store
// of its own.
func build(windows topology.Emission) (*topology.Topology, error) {
	b := topology.New("sim")
	valid := topology.Source(b, numbers).Filter(func(_ string, v int64) bool { return kept(v) })
	add := topology.Fold(sumAndCount)
	byKey := valid.GroupByKey()
	perWindow := byKey.WindowedBy(topology.Tumbling(windowSize).Grace(grace)).Emit(windows)
	topology.Aggregate(perWindow, add, windowSum).ToStream().To(windowed)
	topology.Aggregate(byKey.Emit(topology.OnCommit), add, sampleSum).ToStream().To(sampled)
	regrouped := topology.SelectKey(valid, func(_ string, v int64) string { return groupOf(v) }).Repartition(byGroup)
	topology.Aggregate(regrouped.GroupByKey(), add, groupSum).ToStream().To(grouped)
	topology.Process(valid, "chain", func() processor.Processor[string, int64, string, int64] { return chainer{} }, chainStore).To(chained)
	return b.Build()
}

// chainer forwards the chain of each key, and with stream time a tick.
type chainer struct{}

func (chainer) Init(ctx processor.Context[string, int64]) error {
	return ctx.Schedule("tick", tickEvery, processor.StreamTime,
		func(ctx processor.Context[string, int64], t processor.Timestamp) error {
			return ctx.Forward(processor.Record[string, int64]{Key: tickKey(ctx.Partition()), Value: int64(t), Time: t})
		})
}

func (chainer) Process(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
	chain, err := state.Of(ctx, chainStore)
	if err != nil {
		return err
	}
	acc, _, err := chain.Get(r.Key)
	if err != nil {
		return err
	}
	acc = link(acc, r.Value)
	if err := chain.Put(r.Key, acc); err != nil {
		return err
	}
	return ctx.Forward(processor.WithKey(r, r.Key, acc))
}

// tickKey keeps the ticks of different tasks apart: their order is not defined.
func tickKey(partition int32) string { return "tick-" + string(rune('0'+partition)) }
