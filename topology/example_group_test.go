package topology_test

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

func ExampleCount() {
	clicks, counts := wordTopic("clicks"), numberTopic("clicks-per-user")
	perUser := state.KeyValue("clicks-per-user", serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		topology.Count(topology.Source(b, clicks).GroupByKey(), perUser).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.Send("ann", "/home")
		in.Send("bob", "/home")
		in.Send("ann", "/help")
		printRecords(streamtest.Output(d, counts))
		for _, row := range streamtest.Rows(d, perUser) {
			fmt.Println("row", row.Key, row.Value)
		}
	})
	// Output:
	// ann 1
	// bob 1
	// ann 2
	// row ann 2
	// row bob 1
}

// A stream whose key may have changed cannot be grouped by it: equal keys may lie
// in different partitions.
func ExampleStream_GroupByKey() {
	b := topology.New("clicks")
	byPage := topology.SelectKey(topology.Source(b, wordTopic("clicks")), func(_, page string) string { return page })
	topology.Count(byPage.GroupByKey(), state.KeyValue("clicks-per-page", serde.String, serde.Int64))
	_, err := b.Build()
	fmt.Println(err)
	// Output:
	// 1 error occurred:
	// 	* group-by-key: the key may have changed at select-key-1, so equal keys may lie in different partitions; insert Repartition(topic) before GroupByKey, or use GroupBy with a topic
}

// Every record goes through the given topic, in which equal keys share a
// partition.
func ExampleGroupBy() {
	clicks, byPage, counts := wordTopic("clicks"), wordTopic("clicks-by-page"), numberTopic("clicks-per-page")
	perPage := state.KeyValue("clicks-per-page", serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		pages := topology.GroupBy(topology.Source(b, clicks), func(_, page string) string { return page }, byPage)
		topology.Count(pages, perPage).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.Send("ann", "/home")
		in.Send("bob", "/home")
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// /home 1
	// /home 2
}

// What is below the topic is a sub-topology with tasks of its own.
func ExampleStream_Repartition() {
	clicks, byPage, out := wordTopic("clicks"), wordTopic("clicks-by-page"), wordTopic("out")
	byPage.Partitions = 2
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		pages := topology.SelectKey(topology.Source(b, clicks), func(_, page string) string { return page })
		pages.Repartition(byPage).To(out)
		return b.Build()
	}
	t, err := build()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, sub := range t.Subs() {
		fmt.Println("sub-topology", sub.Name, "reads", sub.Sources[0].Name)
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, clicks).Send("ann", "/home")
		printRecords(streamtest.Output(d, out))
	})
	// Output:
	// sub-topology clicks reads clicks
	// sub-topology clicks-by-page reads clicks-by-page
	// /home /home
}

// The first value of a key is taken as it is.
func ExampleReduce() {
	bids, highest := numberTopic("bids"), numberTopic("highest-bids")
	highestBid := state.KeyValue("highest-bid", serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("auction")
		higher := func(old, bid int64) int64 { return max(old, bid) }
		topology.Reduce(topology.Source(b, bids).GroupByKey(), higher, highestBid).ToStream().To(highest)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, bids)
		in.Send("vase", 30)
		in.Send("vase", 50)
		in.Send("vase", 40)
		printRecords(streamtest.Output(d, highest))
	})
	// Output:
	// vase 30
	// vase 50
	// vase 50
}

// A null removes the bids so far; the next value is the first one again.
func ExampleReduceOpt() {
	bids := topology.Topic[string, processor.Opt[int64]]{Name: "bids", Partitions: 1,
		Key: serde.String, Value: serde.Nullable(serde.Int64)}
	recent := topology.Topic[processor.Windowed[string], processor.Opt[int64]]{Name: "highest-bids", Partitions: 1,
		Key: serde.TimeWindowed(serde.String, minute), Value: serde.Nullable(serde.Int64)}
	highestBid := state.Window("highest-bid", serde.String, serde.Int64)
	higher := func(old int64, bid processor.Opt[int64]) processor.Opt[int64] {
		if !bid.OK {
			return bid
		}
		return processor.Some(max(old, bid.Value))
	}
	build := func() (*topology.Topology, error) {
		b := topology.New("auction")
		perMinute := topology.Source(b, bids).GroupByKey().WindowedBy(topology.Tumbling(minute))
		topology.Updates(topology.ReduceOpt(perMinute, higher, highestBid)).To(recent)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, bids)
		in.Send("vase", processor.Some[int64](50))
		in.Send("vase", processor.None[int64]())
		in.Send("vase", processor.Some[int64](20))
		printRecords(streamtest.Output(d, recent))
	})
	// Output:
	// vase@[0,60000) 50
	// vase@[0,60000) null
	// vase@[0,60000) 20
}

// An aggregate may be of another type than the values.
func ExampleAggregate() {
	lines, letters := wordTopic("lines"), numberTopic("letters")
	total := state.KeyValue("letters", serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("letters")
		add := topology.Aggregator[string, int64]{
			Init: func() int64 { return 1000 },
			Add:  func(n int64, line string) int64 { return n + int64(len(line)) },
		}
		topology.Aggregate(topology.Source(b, lines).GroupByKey(), add, total).ToStream().To(letters)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, lines)
		in.Send("ann", "tide")
		in.Send("ann", "mill!")
		printRecords(streamtest.Output(d, letters))
	})
	// Output:
	// ann 1004
	// ann 1009
}

type mean struct{ Sum, N int64 }

func (m mean) Add(v int64) mean { return mean{m.Sum + v, m.N + 1} }
func (m mean) Value() int64     { return m.Sum / m.N }

// Fold takes a method of the aggregate as it is.
func ExampleFold() {
	readings, means := numberTopic("readings"), numberTopic("means")
	meterMean := state.KeyValue("meter-mean", serde.String, serde.JSON[mean]())
	build := func() (*topology.Topology, error) {
		b := topology.New("meters")
		table := topology.Aggregate(topology.Source(b, readings).GroupByKey(), topology.Fold(mean.Add), meterMean)
		topology.MapValues(table.ToStream(), mean.Value).To(means)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, readings)
		in.Send("m17", 2)
		in.Send("m17", 6)
		printRecords(streamtest.Output(d, means))
	})
	// Output:
	// m17 2
	// m17 4
}

// An absent result deletes the row, and the next value starts from an absent
// aggregate.
func ExampleAggregateOpt() {
	changes := numberTopic("changes")
	stock := topology.Topic[string, processor.Opt[int64]]{Name: "stock", Partitions: 1,
		Key: serde.String, Value: serde.Nullable(serde.Int64)}
	inStock := state.KeyValue("in-stock", serde.String, serde.Int64)
	add := topology.AggregatorOpt[int64, int64]{Add: func(n processor.Opt[int64], change int64) processor.Opt[int64] {
		if n.Value+change == 0 {
			return processor.None[int64]()
		}
		return processor.Some(n.Value + change)
	}}
	build := func() (*topology.Topology, error) {
		b := topology.New("warehouse")
		topology.Updates(topology.AggregateOpt(topology.Source(b, changes).GroupByKey(), add, inStock)).To(stock)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, changes)
		in.Send("fig", 3)
		in.Send("fig", -3)
		in.Send("pear", 1)
		printRecords(streamtest.Output(d, stock))
		fmt.Println(len(streamtest.Rows(d, inStock)), "row")
	})
	// Output:
	// fig 3
	// fig null
	// pear 1
	// 1 row
}

// Each update of a row is a record of the stream.
func ExampleTable_ToStream() {
	bids, last := numberTopic("bids"), numberTopic("last-bids")
	build := func() (*topology.Topology, error) {
		b := topology.New("auction")
		newest := topology.Reduce(topology.Source(b, bids).GroupByKey(), func(_, bid int64) int64 { return bid },
			state.KeyValue("last-bid", serde.String, serde.Int64))
		newest.ToStream().Filter(func(_ string, bid int64) bool { return bid > 10 }).To(last)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, bids)
		in.Send("vase", 5)
		in.Send("vase", 15)
		printRecords(streamtest.Output(d, last))
	})
	// Output:
	// vase 15
}

// Rows that can be deleted give a stream in which an absent value is a deletion.
func ExampleUpdates() {
	logins, online := wordTopic("logins"), topology.Topic[string, processor.Opt[string]]{Name: "online", Partitions: 1,
		Key: serde.String, Value: serde.Nullable(serde.String)}
	last := topology.AggregatorOpt[string, string]{Add: func(_ processor.Opt[string], v string) processor.Opt[string] {
		return processor.Opt[string]{Value: v, OK: v != "bye"}
	}}
	build := func() (*topology.Topology, error) {
		b := topology.New("logins")
		users := topology.AggregateOpt(topology.Source(b, logins).GroupByKey(), last,
			state.KeyValue("online", serde.String, serde.String))
		topology.Updates(users).To(online)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, logins)
		in.Send("ann", "laptop")
		in.Send("ann", "bye")
		printRecords(streamtest.Output(d, online))
	})
	// Output:
	// ann laptop
	// ann null
}

// Per commit, a key gives one result, however often it changed.
func ExampleGroupedStream_Emit() {
	clicks, counts := wordTopic("clicks"), numberTopic("clicks-per-user")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		users := topology.Source(b, clicks).GroupByKey().Emit(topology.OnCommit)
		topology.Count(users, state.KeyValue("clicks-per-user", serde.String, serde.Int64)).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.Send("ann", "/home")
		in.Send("ann", "/help")
		d.Commit()
		in.Send("ann", "/home")
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// ann 2
	// ann 3
}
