package topology_test

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

const minute = time.Minute

// minuteCounts is a topic for counts of windows of one minute.
func minuteCounts(name string) topology.Topic[state.Windowed[string], int64] {
	return topology.Topic[state.Windowed[string], int64]{Name: name, Partitions: 1,
		Key: serde.TimeWindowed(serde.String, minute), Value: serde.Int64}
}

func ExampleTumbling() {
	clicks, counts := wordTopic("clicks"), minuteCounts("clicks-per-minute")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		perMinute := topology.Source(b, clicks).GroupByKey().WindowedBy(topology.Tumbling(time.Minute))
		topology.Count(perMinute, state.Window("clicks-per-minute", serde.String, serde.Int64)).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.SendAt("ann", "/home", second(0))
		in.SendAt("ann", "/help", second(59))
		in.SendAt("ann", "/home", second(60))
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// ann@[0,60000) 1
	// ann@[0,60000) 2
	// ann@[60000,120000) 1
}

// A record belongs to every window that contains its time.
func ExampleHopping() {
	clicks, counts := wordTopic("clicks"), minuteCounts("clicks-per-minute")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		lastMinute := topology.Source(b, clicks).GroupByKey().WindowedBy(topology.Hopping(time.Minute, 30*time.Second))
		topology.Count(lastMinute, state.Window("clicks-per-minute", serde.String, serde.Int64)).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, clicks).SendAt("ann", "/home", second(70))
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// ann@[30000,90000) 1
	// ann@[60000,120000) 1
}

// Grace keeps a window open for records that come late. Those that come later
// still are dropped and counted.
func ExampleWindows_Grace() {
	clicks, counts := wordTopic("clicks"), minuteCounts("clicks-per-minute")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		windows := topology.Tumbling(time.Minute).Grace(10 * time.Second)
		perMinute := topology.Source(b, clicks).GroupByKey().WindowedBy(windows)
		topology.Count(perMinute, state.Window("clicks-per-minute", serde.String, serde.Int64)).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.SendAt("ann", "/home", second(5))
		in.SendAt("bob", "/home", second(69))
		in.SendAt("ann", "/help", second(6)) // behind the end, within the grace
		in.SendAt("bob", "/home", second(70))
		in.SendAt("ann", "/late", second(7)) // the window has closed
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// ann@[0,60000) 1
	// bob@[60000,120000) 1
	// ann@[0,60000) 2
	// bob@[60000,120000) 2
}

// On close, a window gives one result for each key: the final one.
func ExampleWindowedStream_Emit() {
	clicks, counts := wordTopic("clicks"), minuteCounts("clicks-per-minute")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		perMinute := topology.Source(b, clicks).GroupByKey().WindowedBy(topology.Tumbling(time.Minute)).Emit(topology.OnClose)
		topology.Count(perMinute, state.Window("clicks-per-minute", serde.String, serde.Int64)).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		out := streamtest.Output(d, counts)
		in := streamtest.Input(d, clicks)
		in.SendAt("bob", "/home", second(5))
		in.SendAt("ann", "/home", second(6))
		in.SendAt("ann", "/help", second(7))
		fmt.Println(len(out.Records()), "results while the window is open")
		in.SendAt("cid", "/home", second(60))
		printRecords(out)
	})
	// Output:
	// 0 results while the window is open
	// ann@[0,60000) 2
	// bob@[0,60000) 1
}

// Count, Reduce and Aggregate take windowed groups as they take plain ones.
func ExampleGroupedStream_WindowedBy() {
	bids, highest := numberTopic("bids"), minuteCounts("highest-per-minute")
	perMinute := state.Window("highest-per-minute", serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("auction")
		windows := topology.Source(b, bids).GroupByKey().WindowedBy(topology.Tumbling(time.Minute))
		higher := func(old, bid int64) int64 { return max(old, bid) }
		topology.Reduce(windows, higher, perMinute).ToStream().To(highest)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, bids)
		in.SendAt("vase", 50, second(1))
		in.SendAt("vase", 40, second(2))
		in.SendAt("vase", 30, second(61))
		for _, row := range streamtest.WindowRows(d, perMinute) {
			fmt.Println(row.Key, row.Value, row.Time)
		}
	})
	// Output:
	// vase@[0,60000) 50 1970-01-01T00:00:02.000Z
	// vase@[60000,120000) 30 1970-01-01T00:01:01.000Z
}
