package topology_test

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// numberFunc is a processor that is a function, from numbers to numbers.
type numberFunc = processor.Func[string, int64, string, int64]

// A processor passes on only what is new. It reaches its store by the handle.
func ExampleProcess() {
	prices, changed := numberTopic("prices"), numberTopic("changed-prices")
	known := state.KeyValue("known-prices", serde.String, serde.Int64)
	onlyNew := func() processor.Processor[string, int64, string, int64] {
		return numberFunc(func(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
			rows, err := state.Of(ctx, known)
			if err != nil {
				return err
			}
			if old, ok, err := rows.Get(r.Key); err != nil || ok && old == r.Value {
				return err
			}
			if err := rows.Put(r.Key, r.Value); err != nil {
				return err
			}
			return ctx.Forward(r)
		})
	}
	build := func() (*topology.Topology, error) {
		b := topology.New("prices")
		topology.Process(topology.Source(b, prices), "only-new", onlyNew, known).To(changed)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, prices)
		in.Send("fig", 3)
		in.Send("fig", 3)
		in.Send("fig", 4)
		printRecords(streamtest.Output(d, changed))
	})
	// Output:
	// fig 3
	// fig 4
}

// heartbeat says every ten seconds of wall-clock time that it is there.
type heartbeat struct{}

func (heartbeat) Init(ctx processor.Context[string, int64]) error {
	beat := func(ctx processor.Context[string, int64], now processor.Timestamp) error {
		return ctx.Forward(processor.Record[string, int64]{Key: "alive", Value: now.Time().Unix(), Time: now})
	}
	return ctx.Schedule("beat", 10*time.Second, processor.WallClock, beat)
}

func (heartbeat) Process(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
	return ctx.Forward(r)
}

// A punctuation is scheduled in Init. In a test, the test moves the clock.
func ExampleProcess_punctuation() {
	orders, out := numberTopic("orders"), numberTopic("orders-and-beats")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		topology.Process(topology.Source(b, orders), "heartbeat",
			func() processor.Processor[string, int64, string, int64] { return heartbeat{} }).To(out)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, orders).Send("ann", 40)
		d.Advance(10 * time.Second)
		d.Advance(25 * time.Second) // two intervals passed: one call
		printRecords(streamtest.Output(d, out))
	})
	// Output:
	// ann 40
	// alive 10
	// alive 35
}

// Range visits the rows of a key-value store from one key up to another, which it
// leaves out, in the order of the encoded keys.
func ExampleProcess_range() {
	scores, out := numberTopic("scores"), numberTopic("sums")
	board := state.KeyValue("board", serde.String, serde.Int64)
	sumAtoM := func() processor.Processor[string, int64, string, int64] {
		return numberFunc(func(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
			rows, err := state.Of(ctx, board)
			if err != nil {
				return err
			}
			if err := rows.Put(r.Key, r.Value); err != nil {
				return err
			}
			var sum int64
			err = rows.Range("a", "n", func(_ string, score int64) bool {
				sum += score
				return true
			})
			if err != nil {
				return err
			}
			return ctx.Forward(processor.WithKey(r, "a to m", sum))
		})
	}
	build := func() (*topology.Topology, error) {
		b := topology.New("scores")
		topology.Process(topology.Source(b, scores), "sum-a-to-m", sumAtoM, board).To(out)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, scores)
		in.Send("ann", 1)
		in.Send("zoe", 10)
		in.Send("bob", 100)
		printRecords(streamtest.Output(d, out))
	})
	// Output:
	// a to m 1
	// a to m 1
	// a to m 101
}

// Fetch visits the windows of one key. Here every record has a window of its own,
// and the answer is the sum of the last minute.
func ExampleProcess_windows() {
	readings, out := numberTopic("readings"), numberTopic("last-minute")
	recent := state.Window("recent", serde.String, serde.Int64).Retention(5 * time.Minute)
	lastMinute := func() processor.Processor[string, int64, string, int64] {
		return numberFunc(func(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
			windows, err := state.WindowsOf(ctx, recent)
			if err != nil {
				return err
			}
			if _, err := windows.Put(r.Key, r.Time, r.Value); err != nil {
				return err
			}
			var sum int64
			err = windows.Fetch(r.Key, r.Time.Add(-time.Minute), r.Time+1, func(_ processor.Timestamp, v int64) bool {
				sum += v
				return true
			})
			if err != nil {
				return err
			}
			return ctx.Forward(processor.WithKey(r, r.Key, sum))
		})
	}
	build := func() (*topology.Topology, error) {
		b := topology.New("meters")
		topology.Process(topology.Source(b, readings), "last-minute", lastMinute, recent).To(out)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, readings)
		in.SendAt("m17", 1, second(100))
		in.SendAt("m17", 10, second(130))
		in.SendAt("m17", 100, second(161))
		printRecords(streamtest.Output(d, out))
		fmt.Println(len(streamtest.WindowRows(d, recent)), "rows")
	})
	// Output:
	// m17 1
	// m17 11
	// m17 110
	// 3 rows
}
