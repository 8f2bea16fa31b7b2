package topology_test

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

func (g *graph) onGrouped(n scenarioNode, in *topology.GroupedStream[Key, optValue]) (made, error) {
	switch n.Op {
	case "tumbling", "hopping":
		windows, err := newWindows(n)
		return made{windowed: in.WindowedBy(windows)}, err
	case "count":
		store := state.KeyValue[Key, int64](n.Params.text("store"), keySerde{}, serde.Int64)
		g.stores[store.Spec().Name] = store
		return table(topology.Count(in, store), plainKey, intValue), nil
	case "reduce", "aggregate":
		store := state.KeyValue[Key, Value](n.Params.text("store"), keySerde{}, valueSerde{})
		g.stores[store.Spec().Name] = store
		return aggregate(n, in, store, plainKey)
	}
	return made{}, &unsupportedError{n.Op}
}

func (g *graph) aggregateWindows(n scenarioNode, in *topology.WindowedStream[Key, optValue]) (made, error) {
	if n.Params.text("emit") == "close" {
		in = in.Emit(topology.OnClose)
	}
	name := n.Params.text("store")
	retention, err := n.Params.millis("retention")
	if err != nil {
		return made{}, err
	}
	if n.Op == "count" {
		store := state.Window[Key, int64](name, keySerde{}, serde.Int64).Retention(retention)
		g.stores[name] = store
		return table(topology.Count(in, store), windowKey, intValue), nil
	}
	if n.Op != "reduce" && n.Op != "aggregate" {
		return made{}, &unsupportedError{n.Op + " of windows"}
	}
	store := state.Window[Key, Value](name, keySerde{}, valueSerde{}).Retention(retention)
	g.stores[name] = store
	return aggregate(n, in, store, windowKey)
}

func newWindows(n scenarioNode) (topology.Windows, error) {
	size, err := n.Params.millis("size")
	if err != nil {
		return topology.Windows{}, err
	}
	grace, err := n.Params.millis("grace")
	if err != nil {
		return topology.Windows{}, err
	}
	if n.Op == "tumbling" {
		return topology.Tumbling(size).Grace(grace), nil
	}
	advance, err := n.Params.millis("advance")
	return topology.Hopping(size, advance).Grace(grace), err
}

func aggregate[G any](n scenarioNode, in topology.Grouping[G, optValue], store state.Materialized[G, Value],
	key func(G) Key) (made, error) {
	add, err := newAggregator(n.Params.text("fn"))
	if err != nil {
		return made{}, err
	}
	if n.Op == "reduce" {
		combine := func(agg Value, v optValue) optValue { return add(processor.Some(agg), v) }
		return table(topology.ReduceOpt(in, combine, store), key, sameValue), nil
	}
	var init jsonValue
	err = n.Params.read("init", &init)
	folded := topology.AggregatorOpt[optValue, Value]{Init: func() optValue { return init.optValue }, Add: add}
	return table(topology.AggregateOpt(in, folded, store), key, sameValue), err
}

func plainKey(k Key) Key      { return k }
func sameValue(v Value) Value { return v }

// table hides the types of a table behind its updates.
func table[G, A any](t *topology.Table[G, A], key func(G) Key, value func(A) Value) made {
	return made{updates: func() *stream {
		return topology.Map(topology.Updates(t), func(k G, v processor.Opt[A]) (optKey, optValue) {
			if !v.OK {
				return processor.Some(key(k)), optValue{}
			}
			return processor.Some(key(k)), processor.Some(value(v.Value))
		})
	}}
}
