package topology_test

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Each order is joined with the price in force when it comes.
func ExampleJoinTable() {
	orders, prices, totals := numberTopic("orders"), numberTable("prices"), numberTopic("totals")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		price := topology.SourceTable(b, prices, numberRows("prices"))
		total := func(pieces, price int64) int64 { return pieces * price }
		topology.JoinTable(topology.Source(b, orders), price, total).To(totals)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		order, price := streamtest.Input(d, orders), streamtest.Input(d, prices)
		order.Send("pear", 1) // nobody knows the price
		price.Send("pear", processor.Some[int64](3))
		order.Send("pear", 2)
		price.Send("pear", processor.Some[int64](4))
		order.Send("pear", 2)
		printRecords(streamtest.Output(d, totals))
	})
	// Output:
	// pear 6
	// pear 8
}

func ExampleLeftJoinTable() {
	orders, prices, totals := numberTopic("orders"), numberTable("prices"), numberTopic("totals")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		price := topology.SourceTable(b, prices, numberRows("prices"))
		total := func(pieces int64, price processor.Opt[int64]) int64 { return pieces * price.Or(1) }
		topology.LeftJoinTable(topology.Source(b, orders), price, total).To(totals)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, orders).Send("pear", 7)
		printRecords(streamtest.Output(d, totals))
	})
	// Output:
	// pear 7
}

// pair declares two tables that the examples of joins use.
func pair(b *topology.Builder) (names, towns *topology.Table[string, string]) {
	return topology.SourceTable(b, wordTable("names"), wordRows("names")), topology.SourceTable(b, wordTable("towns"), wordRows("towns"))
}

func sendPairs(d *streamtest.Driver) {
	names, towns := streamtest.Input(d, wordTable("names")), streamtest.Input(d, wordTable("towns"))
	names.Send("1", processor.Some("Ann"))
	towns.Send("1", processor.Some("Rome"))
	towns.Send("2", processor.Some("Oslo"))
	towns.Send("1", processor.None[string]())
}

// An update of either side updates the joined row.
func ExampleJoinTables() {
	people := wordTable("people")
	build := func() (*topology.Topology, error) {
		b := topology.New("people")
		names, towns := pair(b)
		joined := topology.JoinTables(names, towns, func(name, town string) string { return name + " of " + town })
		topology.Updates(joined).To(people)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		sendPairs(d)
		printRecords(streamtest.Output(d, people))
	})
	// Output:
	// 1 Ann of Rome
	// 1 null
}

func ExampleLeftJoinTables() {
	people := wordTable("people")
	build := func() (*topology.Topology, error) {
		b := topology.New("people")
		names, towns := pair(b)
		joined := topology.LeftJoinTables(names, towns, func(name string, town processor.Opt[string]) string {
			return name + " of " + town.Or("nowhere")
		})
		topology.Updates(joined).To(people)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		sendPairs(d)
		printRecords(streamtest.Output(d, people))
	})
	// Output:
	// 1 Ann of nowhere
	// 1 Ann of Rome
	// 1 Ann of nowhere
}

func ExampleOuterJoinTables() {
	people := wordTable("people")
	build := func() (*topology.Topology, error) {
		b := topology.New("people")
		names, towns := pair(b)
		joined := topology.OuterJoinTables(names, towns, func(name, town processor.Opt[string]) string {
			return name.Or("somebody") + " of " + town.Or("nowhere")
		})
		topology.Updates(joined).To(people)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		sendPairs(d)
		printRecords(streamtest.Output(d, people))
	})
	// Output:
	// 1 Ann of nowhere
	// 1 Ann of Rome
	// 2 somebody of Oslo
	// 1 Ann of nowhere
}

// Every order refers to a customer; when the customer's row changes, all of the
// orders change with it.
func ExampleJoinForeign() {
	orders, customers, labels := wordTable("orders"), wordTable("customers"), wordTable("labels")
	build := func() (*topology.Topology, error) {
		b := topology.New("labels")
		order := topology.SourceTable(b.Sub("orders"), orders, wordRows("orders"))
		customer := topology.SourceTable(b.Sub("customers"), customers, wordRows("customers"))
		via := topology.ForeignJoin[string, string, string]{Subscriptions: wordTopic("orders-of-customers"),
			Answers: wordTopic("customers-of-orders"), Store: "orders-of-customers"}
		of := func(_, order string) string { return order }
		label := func(order, name string) string { return "for " + name }
		topology.Updates(topology.JoinForeign(order, customer, of, label, via)).To(labels)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, customers).Send("c1", processor.Some("Ann"))
		streamtest.Input(d, orders).Send("o1", processor.Some("c1"))
		streamtest.Input(d, orders).Send("o2", processor.Some("c1"))
		streamtest.Input(d, customers).Send("c1", processor.Some("Anna"))
		printRecords(streamtest.Output(d, labels))
	})
	// Output:
	// o1 for Ann
	// o2 for Ann
	// o1 for Anna
	// o2 for Anna
}

func ExampleLeftJoinForeign() {
	orders, customers, labels := wordTable("orders"), wordTable("customers"), wordTable("labels")
	build := func() (*topology.Topology, error) {
		b := topology.New("labels")
		order := topology.SourceTable(b.Sub("orders"), orders, wordRows("orders"))
		customer := topology.SourceTable(b.Sub("customers"), customers, wordRows("customers"))
		via := topology.ForeignJoin[string, string, string]{Subscriptions: wordTopic("orders-of-customers"),
			Answers: wordTopic("customers-of-orders"), Store: "orders-of-customers"}
		of := func(_, order string) string { return order }
		label := func(_ string, name processor.Opt[string]) string { return "for " + name.Or("a new customer") }
		topology.Updates(topology.LeftJoinForeign(order, customer, of, label, via)).To(labels)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, orders).Send("o1", processor.Some("c1"))
		streamtest.Input(d, customers).Send("c1", processor.Some("Ann"))
		printRecords(streamtest.Output(d, labels))
	})
	// Output:
	// o1 for a new customer
	// o1 for Ann
}

// A global table is joined by any key, without a repartition.
func ExampleJoinGlobal() {
	visits, countries, out := wordTopic("visits"), wordTable("countries"), wordTopic("visits-by-country")
	build := func() (*topology.Topology, error) {
		b := topology.New("visits")
		country := topology.GlobalTable(b, countries, wordRows("countries"))
		code := func(_, visit string) string { return visit }
		topology.JoinGlobal(topology.Source(b, visits), country, code, func(_, name string) string { return name }).To(out)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, countries).Send("no", processor.Some("Norway"))
		streamtest.Input(d, visits).Send("ann", "no")
		streamtest.Input(d, visits).Send("bob", "se")
		printRecords(streamtest.Output(d, out))
	})
	// Output:
	// ann Norway
}

func ExampleLeftJoinGlobal() {
	visits, countries, out := wordTopic("visits"), wordTable("countries"), wordTopic("visits-by-country")
	build := func() (*topology.Topology, error) {
		b := topology.New("visits")
		country := topology.GlobalTable(b, countries, wordRows("countries"))
		code := func(_, visit string) string { return visit }
		name := func(visit string, name processor.Opt[string]) string { return name.Or("unknown " + visit) }
		topology.LeftJoinGlobal(topology.Source(b, visits), country, code, name).To(out)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, visits).Send("bob", "se")
		printRecords(streamtest.Output(d, out))
	})
	// Output:
	// bob unknown se
}

// A processor looks rows of a global table up by handle.
func ExampleGlobalTable() {
	visits, countries, out := wordTopic("visits"), wordTable("countries"), wordTopic("visits-by-country")
	rows := wordRows("countries")
	lookUp := func(ctx processor.Context[string, string], r processor.Record[string, string]) error {
		names, err := state.Of(ctx, rows)
		if err != nil {
			return err
		}
		name, found, err := names.Get(r.Value)
		if err != nil {
			return err
		}
		return ctx.Forward(processor.WithKey(r, r.Key, fmt.Sprint(name, " ", found)))
	}
	build := func() (*topology.Topology, error) {
		b := topology.New("visits")
		topology.GlobalTable(b, countries, rows)
		create := func() processor.Processor[string, string, string, string] {
			return processor.Func[string, string, string, string](lookUp)
		}
		topology.Process(topology.Source(b, visits), "look-up", create, rows).To(out)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, countries).Send("no", processor.Some("Norway"))
		streamtest.Input(d, visits).Send("ann", "no")
		printRecords(streamtest.Output(d, out))
	})
	// Output:
	// ann Norway true
}
