package topology_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Build returns all mistakes at once; each names its node and the fix.
func ExampleBuilder_Build() {
	b := topology.New("clicks")
	clicks := topology.Source(b, wordTopic("clicks"))
	perMinute := clicks.GroupByKey().WindowedBy(topology.Hopping(time.Minute, 2*time.Minute))
	topology.Count(perMinute, state.Window("counts", serde.String, serde.Int64))
	clicks.Filter(nil)
	_, err := b.Build()
	var list *multierror.Error
	if errors.As(err, &list) {
		for _, mistake := range list.Errors {
			fmt.Println(mistake)
		}
	}
	// Output:
	// windowed-by: advance 2m0s must be between 1ms and the window size 1m0s
	// filter-2: its function is nil; pass one
}

// Parts that are not connected each need a name, because the ids of their tasks
// are made of it.
func ExampleBuilder_Sub() {
	b := topology.New("shop")
	topology.Source(b.Sub("orders"), numberTopic("orders")).To(numberTopic("copied-orders"))
	topology.Source(b.Sub("payments"), numberTopic("payments")).To(numberTopic("copied-payments"))
	t, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, sub := range t.Subs() {
		fmt.Println(sub.Name)
	}
	// Output:
	// orders
	// payments
}

// A count of updates that are emitted per commit depends on when commits happen,
// and is refused unless it is what is wanted.
func ExampleBuilder_AcceptSampledUpdates() {
	b := topology.New("clicks")
	perUser := state.KeyValue("clicks-per-user", serde.String, serde.Int64)
	counts := topology.Count(topology.Source(b, wordTopic("clicks")).GroupByKey().Emit(topology.OnCommit), perUser)
	b.AcceptSampledUpdates("clicks-per-user")
	topology.Count(counts.ToStream().GroupByKey(), state.KeyValue("commits-with-clicks", serde.String, serde.Int64))
	_, err := b.Build()
	fmt.Println(err)
	// Output:
	// <nil>
}

func ExampleTopology_Describe() {
	b := topology.New("clicks")
	perMinute := topology.Source(b, wordTopic("clicks")).GroupByKey().WindowedBy(topology.Tumbling(time.Minute))
	topology.Count(perMinute, state.Window("clicks-per-minute", serde.String, serde.Int64)).ToStream().To(minuteCounts("counts"))
	t, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(t.Describe())
	// Output:
	// application clicks
	//
	// sub-topology clicks: 1 task
	//   sources
	//     clicks: 1 partition, key string, value string, placed by murmur2, reset earliest
	//   nodes
	//     source clicks
	//       -> count clicks-per-minute
	//     count clicks-per-minute
	//       store: clicks-per-minute
	//       emit: on update
	//       windows: tumbling 1m0s, grace 0s
	//       retention: 24h0m0s
	//       -> to-stream-2
	//     to-stream-2
	//       -> sink counts
	//     sink counts
	//   stores
	//     clicks-per-minute: window, key string, value int64, window size 1m0s, retention 24h0m0s
	//   sinks
	//     counts: 1 partition, key time-windowed(string,1m0s), value int64, placed by murmur2
}
