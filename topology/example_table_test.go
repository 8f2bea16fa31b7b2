package topology_test

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// What the examples of tables share: topics whose null values are deletions.

func wordTable(name string) topology.Topic[string, processor.Opt[string]] {
	return topology.Topic[string, processor.Opt[string]]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Nullable(serde.String)}
}

func numberTable(name string) topology.Topic[string, processor.Opt[int64]] {
	return topology.Topic[string, processor.Opt[int64]]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Nullable(serde.Int64)}
}

func wordRows(name string) state.KeyValueStore[string, string] {
	return state.KeyValue(name, serde.String, serde.String)
}

func numberRows(name string) state.KeyValueStore[string, int64] {
	return state.KeyValue(name, serde.String, serde.Int64)
}

// The last record of a key is its row; a null value deletes it.
func ExampleSourceTable() {
	prices, changes := numberTable("prices"), numberTable("price-changes")
	rows := numberRows("prices")
	build := func() (*topology.Topology, error) {
		b := topology.New("prices")
		topology.Updates(topology.SourceTable(b, prices, rows)).To(changes)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, prices)
		in.Send("pear", processor.Some[int64](3))
		in.Send("plum", processor.Some[int64](5))
		in.Send("pear", processor.Some[int64](4))
		in.Send("plum", processor.None[int64]())
		printRecords(streamtest.Output(d, changes))
		fmt.Println(streamtest.Rows(d, rows)[0].Value, "is the price of the last row")
	})
	// Output:
	// pear 3
	// plum 5
	// pear 4
	// plum null
	// 4 is the price of the last row
}

// A stream of facts becomes a table of the latest one per key.
func ExampleToTable() {
	positions, latest := wordTopic("positions"), wordTable("latest-positions")
	build := func() (*topology.Topology, error) {
		b := topology.New("fleet")
		present := topology.MapValues(topology.Source(b, positions), processor.Some[string])
		topology.Updates(topology.ToTable(present, wordRows("latest"))).To(latest)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, positions).Send("truck-1", "48.1,11.5")
		printRecords(streamtest.Output(d, latest))
	})
	// Output:
	// truck-1 48.1,11.5
}

// A row that stops matching comes out as deleted, one that never matched not at
// all.
func ExampleTable_Filter() {
	stock, low := numberTable("stock"), numberTable("low-stock")
	build := func() (*topology.Topology, error) {
		b := topology.New("stock")
		rows := topology.SourceTable(b, stock, numberRows("stock"))
		topology.Updates(rows.Filter(func(_ string, n int64) bool { return n < 10 })).To(low)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, stock)
		in.Send("pears", processor.Some[int64](50))
		in.Send("plums", processor.Some[int64](3))
		in.Send("plums", processor.Some[int64](30))
		printRecords(streamtest.Output(d, low))
	})
	// Output:
	// plums 3
	// plums null
}

func ExampleTable_FilterNot() {
	stock, enough := numberTable("stock"), numberTable("enough-stock")
	build := func() (*topology.Topology, error) {
		b := topology.New("stock")
		rows := topology.SourceTable(b, stock, numberRows("stock"))
		topology.Updates(rows.FilterNot(func(_ string, n int64) bool { return n < 10 })).To(enough)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, stock).Send("pears", processor.Some[int64](50))
		printRecords(streamtest.Output(d, enough))
	})
	// Output:
	// pears 50
}

// The result of a map is a view; a store of its own lets it be queried.
func ExampleMapTable() {
	cents := numberTable("cents")
	labels := wordRows("labels")
	build := func() (*topology.Topology, error) {
		b := topology.New("labels")
		prices := topology.SourceTable(b, cents, numberRows("cents"))
		topology.MapTable(prices, func(n int64) string { return fmt.Sprintf("%.2f EUR", float64(n)/100) }).Materialize(labels)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, cents).Send("pear", processor.Some[int64](250))
		for _, row := range streamtest.Rows(d, labels) {
			fmt.Println(row.Key, row.Value)
		}
	})
	// Output:
	// pear 2.50 EUR
}

// A view can be given a store at any place.
func ExampleTable_Materialize() {
	stock := numberTable("stock")
	low := numberRows("low-stock")
	build := func() (*topology.Topology, error) {
		b := topology.New("stock")
		rows := topology.SourceTable(b, stock, numberRows("stock"))
		rows.Filter(func(_ string, n int64) bool { return n < 10 }).Materialize(low)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, stock)
		in.Send("pears", processor.Some[int64](50))
		in.Send("plums", processor.Some[int64](3))
		for _, row := range streamtest.Rows(d, low) {
			fmt.Println(row.Key, row.Value)
		}
	})
	// Output:
	// plums 3
}

// staff counts people per town, and adds up what they earn: a person that moves
// leaves one group and joins another.
func staff(b *topology.Builder) *topology.GroupedTable[string, int64] {
	towns := topology.SourceTable(b, wordTable("towns"), wordRows("towns"))
	return topology.GroupTable(towns, func(_, town string) (string, int64) { return town, 1 }, numberTopic("people-by-town"))
}

func sendMoves(d *streamtest.Driver) {
	in := streamtest.Input(d, wordTable("towns"))
	in.Send("ann", processor.Some("Rome"))
	in.Send("bob", processor.Some("Rome"))
	in.Send("ann", processor.Some("Oslo"))
}

func ExampleGroupTable() {
	counts := numberTopic("people-per-town")
	build := func() (*topology.Topology, error) {
		b := topology.New("towns")
		topology.CountTable(staff(b), numberRows("people")).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		sendMoves(d)
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// Rome 1
	// Rome 2
	// Rome 1
	// Oslo 1
}

func ExampleReduceTable() {
	counts := numberTopic("people-per-town")
	build := func() (*topology.Topology, error) {
		b := topology.New("towns")
		add := func(sum, n int64) int64 { return sum + n }
		subtract := func(sum, n int64) int64 { return sum - n }
		topology.ReduceTable(staff(b), add, subtract, numberRows("people")).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		sendMoves(d)
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// Rome 1
	// Rome 2
	// Rome 1
	// Oslo 1
}

// An aggregator that may delete removes a group with its last row.
func ExampleAggregateTableOpt() {
	counts := numberTable("people-per-town")
	build := func() (*topology.Topology, error) {
		b := topology.New("towns")
		change := func(sign int64) func(processor.Opt[int64], int64) processor.Opt[int64] {
			return func(sum processor.Opt[int64], n int64) processor.Opt[int64] {
				left := sum.Value + sign*n
				return processor.Opt[int64]{Value: left, OK: left != 0}
			}
		}
		people := topology.TableAggregatorOpt[int64, int64]{Add: change(1), Subtract: change(-1)}
		topology.Updates(topology.AggregateTableOpt(staff(b), people, numberRows("people"))).To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		sendMoves(d)
		streamtest.Input(d, wordTable("towns")).Send("bob", processor.None[string]())
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// Rome 1
	// Rome 2
	// Rome 1
	// Oslo 1
	// Rome null
}
