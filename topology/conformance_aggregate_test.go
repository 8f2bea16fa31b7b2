package topology_test

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

func (g *graph) onGrouped(n scenarioNode, in *topology.GroupedStream[Key, optValue]) (made, error) {
	switch n.Op {
	case "tumbling", "hopping", "sliding", "session":
		windows, err := newWindows(n)
		return made{windowed: in.WindowedBy(windows), session: n.Op == "session"}, err
	case "count":
		store := state.KeyValue[Key, int64](n.Params.text("store"), keySerde{}, serde.Int64)
		g.stores[store.Spec().Name] = store
		return table(topology.Count(in, store), plainKey, intValue, keySerde{}), nil
	case "reduce", "aggregate":
		store := state.KeyValue[Key, Value](n.Params.text("store"), keySerde{}, valueSerde{})
		g.stores[store.Spec().Name] = store
		return aggregate(n, in, store, plainKey, keySerde{})
	}
	return made{}, &unsupportedError{n.Op}
}

func (g *graph) aggregateWindows(n scenarioNode, in made) (made, error) {
	windowed := in.windowed
	if n.Params.text("emit") == "close" {
		windowed = windowed.Emit(topology.OnClose)
	}
	retention, err := n.Params.millis("retention")
	if err != nil {
		return made{}, err
	}
	if n.Op == "count" {
		store := windowStore(g, n, in.session, serde.Int64, retention)
		return table(topology.Count(windowed, store), windowKey, intValue, windowedSerde{}), nil
	}
	if n.Op != "reduce" && n.Op != "aggregate" {
		return made{}, &unsupportedError{n.Op + " of windows"}
	}
	return aggregate(n, windowed, windowStore(g, n, in.session, valueSerde{}, retention), windowKey, windowedSerde{})
}

func aggregate[G any](n scenarioNode, in topology.Grouping[G, optValue], store state.Materialized[G, Value],
	key func(G) Key, keys serde.Serde[G]) (made, error) {
	add, err := newAggregator(n.Params.text("fn"))
	if err != nil {
		return made{}, err
	}
	if n.Op == "reduce" {
		combine := func(agg Value, v optValue) optValue { return add(processor.Some(agg), v) }
		return table(topology.ReduceOpt(in, combine, store), key, sameValue, keys), nil
	}
	var init jsonValue
	if err = n.Params.read("init", &init); err != nil {
		return made{}, err
	}
	folded := topology.AggregatorOpt[optValue, Value]{Init: func() optValue { return init.optValue }, Add: add}
	if merger := n.Params.text("merger"); merger != "" {
		folded.Merge, err = newMerger(merger)
	}
	return table(topology.AggregateOpt(in, folded, store), key, sameValue, keys), err
}

func plainKey(k Key) Key      { return k }
func sameValue(v Value) Value { return v }
