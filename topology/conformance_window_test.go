package topology_test

import (
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

func newWindows(n scenarioNode) (topology.Windows, error) {
	length := map[string]string{"tumbling": "size", "hopping": "size", "sliding": "diff", "session": "gap"}[n.Op]
	size, err := n.Params.millis(length)
	if err != nil {
		return topology.Windows{}, err
	}
	grace, err := n.Params.millis("grace")
	if err != nil {
		return topology.Windows{}, err
	}
	switch n.Op {
	case "sliding":
		return topology.Sliding(size).Grace(grace), nil
	case "session":
		return topology.Session(size).Grace(grace), nil
	case "hopping":
		advance, err := n.Params.millis("advance")
		return topology.Hopping(size, advance).Grace(grace), err
	}
	return topology.Tumbling(size).Grace(grace), nil
}

// newMerger also serves text: two sessions' logs are bracketed.
func newMerger(f string) (aggregator, error) {
	if f == "log" {
		return func(a, b optValue) optValue { return textOf("(" + text(a) + "|" + text(b) + ")") }, nil
	}
	return newAggregator(f)
}

// windowStore declares the store of a windowed result.
func windowStore[V any](g *graph, n scenarioNode, session bool, values serde.Serde[V], retention time.Duration) state.Materialized[processor.Windowed[Key], V] {
	name := n.Params.text("store")
	var store state.Materialized[processor.Windowed[Key], V]
	if session {
		store = state.Session[Key, V](name, keySerde{}, values).Retention(retention)
	} else {
		store = state.Window[Key, V](name, keySerde{}, values).Retention(retention)
	}
	g.stores[name] = store
	return store
}

// cogroup declares a cogroup, or its windows, or its aggregation.
func (g *graph) cogroup(n scenarioNode, inputs []made) (made, error) {
	var names []string
	if err := n.Params.read("fns", &names); err != nil {
		return made{}, err
	}
	var out *topology.CogroupedStream[Key, Value]
	for i, name := range names {
		add, err := newAggregator(name)
		if err != nil {
			return made{}, err
		}
		if out == nil {
			out = topology.CogroupOpt(inputs[i].grouped, add)
		} else {
			out = topology.AddToOpt(out, inputs[i].grouped, add)
		}
	}
	return made{cogrouped: out}, nil
}

func (g *graph) onCogroup(n scenarioNode, in made) (made, error) {
	switch n.Op {
	case "tumbling", "hopping", "sliding", "session":
		windows, err := newWindows(n)
		return made{cogrouped: in.cogrouped, windows: windows, session: n.Op == "session"}, err
	case "aggregate":
	default:
		return made{}, &unsupportedError{n.Op + " of a cogroup"}
	}
	var init jsonValue
	if err := n.Params.read("init", &init); err != nil {
		return made{}, err
	}
	c := in.cogrouped.InitOpt(func() optValue { return init.optValue })
	if in.windows == (topology.Windows{}) {
		return table(topology.AggregateCogroup(c, g.keyValueStore(n.Params.text("store"))), plainKey, sameValue, keySerde{}), nil
	}
	if name := n.Params.text("merger"); name != "" {
		merge, err := newMerger(name)
		if err != nil {
			return made{}, err
		}
		c = c.MergingOpt(merge)
	}
	retention, err := n.Params.millis("retention")
	store := windowStore(g, n, in.session, valueSerde{}, retention)
	return table(topology.AggregateCogroup(c.WindowedBy(in.windows), store), windowKey, sameValue, windowedSerde{}), err
}

// suppress declares a suppression. Of a view it needs a store: the test's own.
func (t tableOf[G]) suppress(n scenarioNode) (tableNode, error) {
	table, buffer := t.Table, topology.Buffer{Name: n.ID + "-buffer"}
	if t.view {
		table = table.Materialize(state.KeyValue[G, Value](n.ID+"-rows", t.keys, valueSerde{}))
	}
	switch n.Params.text("until") {
	case "windowCloses":
		return t.with(table.SuppressUntilClose(buffer)), nil
	case "timeLimit":
		limit, err := n.Params.millis("limit")
		if err != nil {
			return nil, err
		}
		if err := n.Params.read("maxRecords", &buffer.MaxRecords); err != nil {
			return nil, err
		}
		return t.with(table.SuppressFor(limit, buffer)), nil
	}
	return nil, unknown("until", n.Params.text("until"))
}
