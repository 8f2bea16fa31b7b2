package topology_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/topology"
)

// A source may read several topics of the same types as one stream.
func ExampleSource() {
	web, shop, orders := numberTopic("web-orders"), numberTopic("shop-orders"), numberTopic("orders")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		topology.Source(b, web, shop).To(orders)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, web).Send("ann", 10)
		streamtest.Input(d, shop).Send("bob", 20)
		printRecords(streamtest.Output(d, orders))
	})
	// Output:
	// ann 10
	// bob 20
}

// EventTime takes the time of a record from its value.
func ExampleTopic() {
	type reading struct {
		KWh float64
		At  time.Time
	}
	readings := topology.Topic[string, reading]{Name: "readings", Key: serde.String,
		Value: serde.JSON[reading](), EventTime: func(r reading) time.Time { return r.At }}
	build := func() (*topology.Topology, error) {
		b := topology.New("meters")
		topology.Source(b, readings).Peek(func(r processor.Record[string, reading]) { fmt.Println(r.Key, r.Time) })
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, readings).Send("m17", reading{KWh: 2, At: time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)})
	})
	// Output:
	// m17 2024-05-01T12:00:00.000Z
}

func ExampleStream_Filter() {
	orders, large := numberTopic("orders"), numberTopic("large-orders")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		topology.Source(b, orders).Filter(func(_ string, amount int64) bool { return amount >= 100 }).To(large)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, orders)
		in.Send("ann", 40)
		in.Send("bob", 200)
		printRecords(streamtest.Output(d, large))
	})
	// Output:
	// bob 200
}

func ExampleStream_FilterNot() {
	orders, small := numberTopic("orders"), numberTopic("small-orders")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		topology.Source(b, orders).FilterNot(func(_ string, amount int64) bool { return amount >= 100 }).To(small)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, orders)
		in.Send("ann", 40)
		in.Send("bob", 200)
		printRecords(streamtest.Output(d, small))
	})
	// Output:
	// ann 40
}

// Peek is for looking: a record that is processed again after a crash is looked
// at again.
func ExampleStream_Peek() {
	orders, copied := numberTopic("orders"), numberTopic("copied")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		topology.Source(b, orders).Peek(func(r processor.Record[string, int64]) {
			fmt.Println("seen", r.Key, "from", r.Origin)
		}).To(copied)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, orders).Send("ann", 40)
		printRecords(streamtest.Output(d, copied))
	})
	// Output:
	// seen ann from orders-0@0
	// ann 40
}

func ExampleMap() {
	lines, pairs := wordTopic("lines"), numberTopic("lengths")
	build := func() (*topology.Topology, error) {
		b := topology.New("lengths")
		length := func(_, line string) (string, int64) { return line, int64(len(line)) }
		topology.Map(topology.Source(b, lines), length).To(pairs)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, lines).Send("1", "tide")
		printRecords(streamtest.Output(d, pairs))
	})
	// Output:
	// tide 4
}

func ExampleMapValues() {
	names, loud := wordTopic("names"), wordTopic("loud-names")
	build := func() (*topology.Topology, error) {
		b := topology.New("names")
		topology.MapValues(topology.Source(b, names), strings.ToUpper).To(loud)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, names).Send("1", "ann")
		printRecords(streamtest.Output(d, loud))
	})
	// Output:
	// 1 ANN
}

func ExampleSelectKey() {
	orders, byCountry := wordTopic("orders"), wordTopic("orders-by-country")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		country := func(_, order string) string { return order[:2] }
		topology.SelectKey(topology.Source(b, orders), country).To(byCountry)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, orders).Send("ann", "pt-1001")
		printRecords(streamtest.Output(d, byCountry))
	})
	// Output:
	// pt pt-1001
}

func ExampleFlatMap() {
	lines, words := wordTopic("lines"), numberTopic("words")
	build := func() (*topology.Topology, error) {
		b := topology.New("words")
		topology.FlatMap(topology.Source(b, lines), func(_, line string, emit func(string, int64)) {
			for i, w := range strings.Fields(line) {
				emit(w, int64(i))
			}
		}).To(words)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, lines).Send("1", "high and low")
		printRecords(streamtest.Output(d, words))
	})
	// Output:
	// high 0
	// and 1
	// low 2
}

func ExampleFlatMapValues() {
	baskets, items := wordTopic("baskets"), wordTopic("items")
	build := func() (*topology.Topology, error) {
		b := topology.New("items")
		topology.FlatMapValues(topology.Source(b, baskets), strings.Fields).To(items)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, baskets).Send("ann", "pear fig")
		printRecords(streamtest.Output(d, items))
	})
	// Output:
	// ann pear
	// ann fig
}

func ExampleStream_Merge() {
	web, shop, orders := numberTopic("web-orders"), numberTopic("shop-orders"), numberTopic("orders")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		cents := topology.MapValues(topology.Source(b, shop), func(euros int64) int64 { return euros * 100 })
		topology.Source(b, web).Merge(cents).To(orders)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, web).Send("ann", 1050)
		streamtest.Input(d, shop).Send("bob", 20)
		printRecords(streamtest.Output(d, orders))
	})
	// Output:
	// ann 1050
	// bob 2000
}

// The last stream has what no predicate wanted.
func ExampleStream_Branch() {
	orders, large, rest := numberTopic("orders"), numberTopic("large"), numberTopic("rest")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		sizes := topology.Source(b, orders).Branch(func(_ string, amount int64) bool { return amount >= 100 })
		sizes[0].To(large)
		sizes[1].To(rest)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, orders)
		in.Send("ann", 40)
		in.Send("bob", 200)
		fmt.Print("large: ")
		printRecords(streamtest.Output(d, large))
		fmt.Print("rest: ")
		printRecords(streamtest.Output(d, rest))
	})
	// Output:
	// large: bob 200
	// rest: ann 40
}

// Records without a key are dropped and counted; the others get a key that is
// never null, by which they can be grouped.
func ExampleWithKey() {
	clicks := topology.Topic[processor.Opt[string], string]{Name: "clicks", Partitions: 1,
		Key: serde.Nullable(serde.String), Value: serde.String}
	known := wordTopic("clicks-of-known-users")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		topology.WithKey(topology.Source(b, clicks)).To(known)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.Send(processor.Some("ann"), "/home")
		in.Send(processor.None[string](), "/help")
		printRecords(streamtest.Output(d, known))
	})
	// Output:
	// ann /home
}

// What is written keeps its time and headers.
func ExampleStream_To() {
	orders, copied := numberTopic("orders"), numberTopic("copied")
	build := func() (*topology.Topology, error) {
		b := topology.New("orders")
		topology.Source(b, orders).To(copied)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, orders).SendAt("ann", 40, second(7))
		for _, r := range streamtest.Output(d, copied).Records() {
			fmt.Println(r.Key, r.Value, r.Time)
		}
	})
	// Output:
	// ann 40 1970-01-01T00:00:07.000Z
}
