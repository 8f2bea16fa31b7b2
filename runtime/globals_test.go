package runtime_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

var (
	rates        = topology.Topic[string, processor.Opt[int64]]{Name: "rates", Partitions: 3, Key: serde.String, Value: serde.Nullable(serde.Int64)}
	pricedOrders = topology.Topic[string, string]{Name: "orders", Partitions: 2, Key: serde.String, Value: serde.String}
	priced       = topology.Topic[string, int64]{Name: "priced", Partitions: 2, Key: serde.String, Value: serde.Int64}
	rate         = state.KeyValue("rate", serde.String, serde.Int64)
)

func priceOrders() (*topology.Topology, error) {
	b := topology.New("pricing")
	table := topology.GlobalTable(b, rates, rate)
	topology.JoinGlobal(topology.Source(b, pricedOrders), table, func(_, currency string) string { return currency },
		func(_ string, rate int64) int64 { return rate }).To(priced)
	return b.Build()
}

// A global table is loaded, all partitions of it, before any task runs: what was
// in its topic at the start is in every join, also after a restart.
func TestGlobalTableIsLoadedFirst(t *testing.T) {
	cfg := runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: time.Millisecond, Workers: 2}
	want := map[string]int64{}
	for round := range int64(3) {
		fillRates(t, cfg, round)
		app, stop := start(t, priceOrders, cfg)
		p, err := runtime.NewProducer(t.Context(), app, pricedOrders, "orders")
		must(t, err)
		for i := range int64(60) {
			key := fmt.Sprintf("%d.%d", round, i)
			must(t, p.Send(key, fmt.Sprint("currency ", i%20)))
			if i%20 != round {
				want[key] = 100*round + i%20
			}
		}
		must(t, p.Commit(t.Context(), runtime.SourcePosition{}))
		must(t, p.Close())
		must(t, app.WaitProcessed(t.Context()))
		got := map[string]int64{}
		for r, err := range runtime.ReadAll(t.Context(), app, priced) {
			must(t, err)
			got[r.Key] = r.Value
		}
		if !maps.Equal(got, want) {
			t.Errorf("round %d: %d joined orders, want %d", round, len(got), len(want))
		}
		stop()
	}
}

// fillRates writes the rates of a round while no task runs: an App that is not run
// opens the log and creates the topics.
func fillRates(t *testing.T, cfg runtime.Config, round int64) {
	t.Helper()
	topo, err := priceOrders()
	must(t, err)
	app, err := runtime.New(context.WithoutCancel(t.Context()), topo, cfg)
	must(t, err)
	p, err := runtime.NewProducer(t.Context(), app, rates, "rates")
	must(t, err)
	for i := range int64(20) {
		value := processor.Some(100*round + i)
		if i == round {
			value.OK = false // this currency has no rate in this round
		}
		must(t, p.Send(fmt.Sprint("currency ", i), value))
	}
	must(t, p.Commit(t.Context(), runtime.SourcePosition{}))
	must(t, p.Close())
	must(t, app.Close())
}
