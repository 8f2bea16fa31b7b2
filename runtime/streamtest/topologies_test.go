package streamtest_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// The topologies that the tests drive.

var (
	words  = topology.Topic[string, string]{Name: "words", Partitions: 3, Key: serde.String, Value: serde.String}
	byWord = topology.Topic[string, string]{Name: "by-word", Partitions: 2, Key: serde.String, Value: serde.String}
	counts = topology.Topic[string, int64]{Name: "counts", Partitions: 2, Key: serde.String, Value: serde.Int64}

	wordCount = state.KeyValue("word-count", serde.String, serde.Int64)
)

// countWords has two sub-topologies and several partitions.
func countWords() (*topology.Topology, error) {
	b := topology.New("count-words")
	split := topology.FlatMap(topology.Source(b, words), func(_, line string, emit func(string, string)) {
		for w := range strings.FieldsSeq(line) {
			emit(w, w)
		}
	})
	topology.Count(split.Repartition(byWord).GroupByKey(), wordCount).ToStream().To(counts)
	return b.Build()
}

var (
	readings = topology.Topic[string, float64]{Name: "readings", Key: serde.String, Value: serde.Float64}
	sums     = topology.Topic[state.Windowed[string], float64]{Name: "sums",
		Key: serde.TimeWindowed(serde.String, time.Minute), Value: serde.Float64}

	minuteSum = state.Window("minute-sum", serde.String, serde.Float64)
)

// sumMinutes emits each minute's sum when the minute closes.
func sumMinutes() (*topology.Topology, error) {
	b := topology.New("sum-minutes")
	byMinute := topology.Source(b, readings).GroupByKey().WindowedBy(topology.Tumbling(time.Minute).Grace(10 * time.Second))
	add := topology.Fold(func(sum, v float64) float64 { return sum + v })
	topology.Aggregate(byMinute.Emit(topology.OnClose), add, minuteSum).ToStream().To(sums)
	return b.Build()
}

var (
	events = topology.Topic[string, string]{Name: "events", Key: serde.String, Value: serde.String}
	ticks  = topology.Topic[string, int64]{Name: "ticks", Key: serde.String, Value: serde.Int64}
)

// ticking forwards a tick with every wall-clock interval of 50 ms.
func ticking() (*topology.Topology, error) {
	b := topology.New("ticking")
	topology.Process(topology.Source(b, events), "ticker", func() processor.Processor[string, string, string, int64] {
		return ticker{}
	}).To(ticks)
	return b.Build()
}

type ticker struct{}

func (ticker) Init(ctx processor.Context[string, int64]) error {
	return ctx.Schedule("tick", 50*time.Millisecond, processor.WallClock,
		func(ctx processor.Context[string, int64], t processor.Timestamp) error {
			return ctx.Forward(processor.Record[string, int64]{Key: "tick", Value: int64(t), Time: t})
		})
}

func (ticker) Process(ctx processor.Context[string, int64], r processor.Record[string, string]) error {
	if r.Value == "fail" {
		return errors.New("asked to fail")
	}
	return ctx.Forward(processor.WithKey(r, r.Key, int64(len(r.Value))))
}

// forgetful counts in a variable instead of a store: what the modes are there to
// find.
func forgetful() (*topology.Topology, error) {
	b := topology.New("forgetful")
	seen := func() processor.Processor[string, string, string, int64] {
		var n int64
		return processor.Func[string, string, string, int64](
			func(ctx processor.Context[string, int64], r processor.Record[string, string]) error {
				n++
				return ctx.Forward(processor.WithKey(r, r.Key, n))
			})
	}
	topology.Process(topology.Source(b, events), "forgetful", seen).To(ticks)
	return b.Build()
}

func textOf[K, V any](records []processor.Record[K, V]) string {
	var out []string
	for _, r := range records {
		out = append(out, fmt.Sprintf("%v=%v@%d", r.Key, r.Value, int64(r.Time)))
	}
	return strings.Join(out, " ")
}
