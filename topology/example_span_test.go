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

// Records that are at most the gap apart are one session. A session that becomes
// part of a longer one is deleted, so that the sum over the table stays right.
func ExampleSession() {
	clicks, visits := wordTopic("clicks"), state.Session("visits", serde.String, serde.Int64)
	changes := topology.Topic[state.Windowed[string], processor.Opt[int64]]{Name: "visit-changes", Partitions: 1,
		Key: serde.SessionWindowed(serde.String), Value: serde.Nullable(serde.Int64)}
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		sessions := topology.Source(b, clicks).GroupByKey().WindowedBy(topology.Session(30 * time.Second).Grace(time.Minute))
		topology.Updates(topology.Count(sessions, visits)).To(changes)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.SendAt("ann", "/home", second(0))
		in.SendAt("ann", "/help", second(50))
		in.SendAt("ann", "/late", second(25)) // lies between the two
		printRecords(streamtest.Output(d, changes))
		for _, row := range streamtest.SessionRows(d, visits) {
			fmt.Println("stored:", row.Key, row.Value)
		}
	})
	// Output:
	// ann@[0,0) 1
	// ann@[50000,50000) 1
	// ann@[0,0) null
	// ann@[50000,50000) null
	// ann@[0,50000) 3
	// stored: ann@[0,50000) 3
}

// An aggregate of sessions can be merged.
func ExampleAggregator_Merging() {
	clicks, paths := wordTopic("clicks"), state.Session("paths", serde.String, serde.String)
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		sessions := topology.Source(b, clicks).GroupByKey().WindowedBy(topology.Session(30 * time.Second).Grace(time.Minute))
		follow := func(path, page string) string { return path + page }
		topology.Aggregate(sessions, topology.Fold(follow).Merging(follow), paths)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.SendAt("ann", "/home", second(0))
		in.SendAt("ann", "/help", second(20))
		for _, row := range streamtest.SessionRows(d, paths) {
			fmt.Println(row.Key, row.Value)
		}
	})
	// Output:
	// ann@[0,20000) /home/help
}

// A sliding window moves with the records: each is counted together with those up
// to a minute before it.
func ExampleSliding() {
	logins, counts := wordTopic("logins"), minuteCounts("logins-within-a-minute")
	build := func() (*topology.Topology, error) {
		b := topology.New("logins")
		sliding := topology.Source(b, logins).GroupByKey().WindowedBy(topology.Sliding(time.Minute))
		topology.Count(sliding, state.Window("logins-within-a-minute", serde.String, serde.Int64)).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, logins)
		in.SendAt("ann", "laptop", second(100))
		in.SendAt("ann", "phone", second(150))
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// ann@[40000,100000) 1
	// ann@[100001,160001) 1
	// ann@[90000,150000) 2
}

func ExampleUnlimited() {
	clicks, counts := wordTopic("clicks"), state.Window("clicks-since-launch", serde.String, serde.Int64)
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		launch := topology.Unlimited().From(second(60))
		topology.Count(topology.Source(b, clicks).GroupByKey().WindowedBy(launch), counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.SendAt("ann", "/test", second(59))
		in.SendAt("ann", "/home", second(60))
		in.SendAt("ann", "/help", second(1e6))
		for _, row := range streamtest.WindowRows(d, counts) {
			fmt.Println(row.Key.Key, row.Key.Start, row.Value)
		}
	})
	// Output:
	// ann 1970-01-01T00:01:00.000Z 2
}

// Suppression holds back the updates of a window, and passes on the last one when
// it has closed.
func ExampleTable_SuppressUntilClose() {
	clicks, counts := wordTopic("clicks"), minuteCounts("clicks-per-minute")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		perMinute := topology.Source(b, clicks).GroupByKey().WindowedBy(topology.Tumbling(time.Minute).Grace(10 * time.Second))
		table := topology.Count(perMinute, state.Window("clicks-per-minute", serde.String, serde.Int64))
		table.SuppressUntilClose(topology.Buffer{Name: "open-minutes"}).ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.SendAt("ann", "/home", second(5))
		in.SendAt("ann", "/help", second(55))
		in.SendAt("bob", "/home", second(70)) // a minute and ten seconds
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// ann@[0,60000) 2
}

// SuppressFor passes on at most one update of a key in ten seconds.
func ExampleTable_SuppressFor() {
	clicks, counts := wordTopic("clicks"), numberTopic("click-counts")
	build := func() (*topology.Topology, error) {
		b := topology.New("clicks")
		table := topology.Count(topology.Source(b, clicks).GroupByKey(), state.KeyValue("click-counts", serde.String, serde.Int64))
		held := table.SuppressFor(10*time.Second, topology.Buffer{Name: "fresh-counts", MaxRecords: 10_000})
		held.ToStream().To(counts)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		in := streamtest.Input(d, clicks)
		in.SendAt("ann", "/home", second(0))
		in.SendAt("ann", "/help", second(9))
		in.SendAt("bob", "/home", second(10))
		printRecords(streamtest.Output(d, counts))
	})
	// Output:
	// ann 2
}

// Two streams with different values change one balance.
func ExampleCogroup() {
	deposits, withdrawals := numberTopic("deposits"), numberTopic("withdrawals")
	balances := numberTopic("balances")
	build := func() (*topology.Topology, error) {
		b := topology.New("accounts")
		account := topology.Cogroup(topology.Source(b, deposits).GroupByKey(), func(balance, amount int64) int64 { return balance + amount })
		account = topology.AddTo(account, topology.Source(b, withdrawals).GroupByKey(), func(balance, amount int64) int64 { return balance - amount })
		topology.AggregateCogroup(account, state.KeyValue("balances", serde.String, serde.Int64)).ToStream().To(balances)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, deposits).SendAt("ann", 100, second(1))
		streamtest.Input(d, withdrawals).SendAt("ann", 30, second(2))
		printRecords(streamtest.Output(d, balances))
	})
	// Output:
	// ann 100
	// ann 70
}

// A cogroup can be cut into windows.
func ExampleCogroupedStream_WindowedBy() {
	clicks, buys := wordTopic("clicks"), wordTopic("buys")
	visits := state.Session("visits", serde.String, serde.String)
	build := func() (*topology.Topology, error) {
		b := topology.New("shop")
		follow := func(visit, page string) string { return visit + page }
		both := topology.Cogroup(topology.Source(b, clicks).GroupByKey(), follow)
		both = topology.AddTo(both, topology.Source(b, buys).GroupByKey(), func(visit, article string) string { return visit + "$" + article })
		topology.AggregateCogroup(both.Merging(follow).WindowedBy(topology.Session(time.Minute)), visits)
		return b.Build()
	}
	inTest(build, func(d *streamtest.Driver) {
		streamtest.Input(d, clicks).SendAt("ann", "/vase", second(0))
		streamtest.Input(d, buys).SendAt("ann", "vase", second(40))
		for _, row := range streamtest.SessionRows(d, visits) {
			fmt.Println(row.Key, row.Value)
		}
	})
	// Output:
	// ann@[0,40000) /vase$vase
}
