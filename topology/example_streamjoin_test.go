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

// Orders and payments meet, whichever comes first.
func ExampleJoinStreams() {
	orders, payments, paid := wordTopic("orders"), numberTopic("payments"), wordTopic("paid")
	matches := state.Join("order-payments", serde.String, serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("shop")
		show := func(order string, amount int64) string { return fmt.Sprint(order, " for ", amount) }
		topology.JoinStreams(topology.Source(b, orders), topology.Source(b, payments), topology.Within(time.Minute), show, matches).To(paid)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, orders).SendAt("o1", "tea", second(0))
		streamtest.Input(d, payments).SendAt("o1", 3, second(20))
		streamtest.Input(d, payments).SendAt("o2", 5, second(30))
		streamtest.Input(d, orders).SendAt("o2", "coffee", second(90))
		streamtest.Input(d, orders).SendAt("o1", "late tea", second(81))
		printRecords(streamtest.Output(d, paid))
	})
	// Output:
	// o1 tea for 3
	// o2 coffee for 5
}

// An order that is not paid within a minute is an alert. Payments that come before
// their order do not count.
func ExampleLeftJoinStreams() {
	orders, payments, alerts := wordTopic("orders"), numberTopic("payments"), wordTopic("orders-seen")
	matches := state.Join("order-payments", serde.String, serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("shop")
		show := func(order string, amount processor.Opt[int64]) string {
			if !amount.OK {
				return order + " is not paid"
			}
			return order + " is paid"
		}
		window := topology.Between(0, time.Minute).Grace(10 * time.Second)
		topology.LeftJoinStreams(topology.Source(b, orders), topology.Source(b, payments), window, show, matches).To(alerts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, orders)
		in.SendAt("o1", "tea", second(0))
		in.SendAt("o2", "coffee", second(1))
		streamtest.Input(d, payments).SendAt("o1", 3, second(20))
		in.SendAt("o3", "cake", second(72))
		printRecords(streamtest.Output(d, alerts))
	})
	// Output:
	// o1 tea is paid
	// o2 coffee is not paid
}

func ExampleOuterJoinStreams() {
	sent, received, pairs := numberTopic("sent"), numberTopic("received"), wordTopic("transfers")
	build := func() (*topology.Topology, error) {
		b := topology.New("ledger")
		show := func(out, in processor.Opt[int64]) string { return fmt.Sprint(out, " -> ", in) }
		topology.OuterJoinStreams(topology.Source(b, sent), topology.Source(b, received), topology.Within(5*time.Second), show,
			state.Join("transfers", serde.String, serde.Int64, serde.Int64)).To(pairs)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, sent).SendAt("t1", 10, second(0))
		streamtest.Input(d, received).SendAt("t2", 7, second(1))
		streamtest.Input(d, received).SendAt("t1", 10, second(2))
		streamtest.Input(d, sent).SendAt("t3", 4, second(20))
		printRecords(streamtest.Output(d, pairs))
	})
	// Output:
	// t1 10 -> 10
	// t2 null -> 7
}

// The price at the time of the order counts, also if it becomes known later than a
// newer one.
func ExampleJoinTable_versioned() {
	orders, prices, costs := numberTopic("orders"), deletableNumbers("prices"), numberTopic("costs")
	build := func() (*topology.Topology, error) {
		b := topology.New("shop")
		price := topology.SourceTable(b, prices, state.Versioned("prices", serde.String, serde.Int64, time.Hour))
		topology.JoinTable(topology.Source(b, orders), price, func(n, price int64) int64 { return n * price }).To(costs)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, prices)
		in.SendAt("tea", processor.Some[int64](2), second(0))
		in.SendAt("tea", processor.Some[int64](4), second(60))
		in.SendAt("tea", processor.Some[int64](3), second(30))
		streamtest.Input(d, orders).SendAt("tea", 10, second(40))
		streamtest.Input(d, orders).SendAt("tea", 10, second(70))
		printRecords(streamtest.Output(d, costs))
	})
	// Output:
	// tea 30
	// tea 40
}

// Orders wait ten seconds for prices that come late.
func ExampleJoinTableAfter() {
	orders, prices, costs := numberTopic("orders"), deletableNumbers("prices"), numberTopic("costs")
	build := func() (*topology.Topology, error) {
		b := topology.New("shop")
		price := topology.SourceTable(b, prices, state.Versioned("prices", serde.String, serde.Int64, time.Hour))
		topology.JoinTableAfter(topology.Source(b, orders), price, 10*time.Second, func(n, price int64) int64 { return n * price },
			state.Held("orders-held", serde.String, serde.Int64)).To(costs)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, prices).SendAt("tea", processor.Some[int64](2), second(0))
		streamtest.Input(d, orders).SendAt("tea", 10, second(40))
		streamtest.Input(d, prices).SendAt("tea", processor.Some[int64](3), second(30))
		streamtest.Input(d, orders).SendAt("tea", 1, second(50))
		printRecords(streamtest.Output(d, costs))
	})
	// Output:
	// tea 30
}

func deletableNumbers(name string) topology.Topic[string, processor.Opt[int64]] {
	return topology.Topic[string, processor.Opt[int64]]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Nullable(serde.Int64)}
}
