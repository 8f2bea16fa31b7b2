package topology_test

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// tableNode is a table of a scenario, whatever its keys are.
type tableNode interface {
	updates() *stream
	filter(p predicate, keep bool) tableNode
	mapValues(f mapper) tableNode
	materialize(g *graph, name string) tableNode
	group(key selector, value mapper, through string) *topology.GroupedTable[Key, Value]
	join(n scenarioNode, right tableNode) (tableNode, error)
	suppress(n scenarioNode) (tableNode, error)
}

// tableOf is a table with keys G; key turns them into those of the streams.
type tableOf[G any] struct {
	*topology.Table[G, Value]
	key func(G) Key
	// keys is what a store of its own writes.
	keys serde.Serde[G]
	// view says that no store holds rows of these types.
	view bool
}

func plainTable(t *topology.Table[Key, Value]) tableNode {
	return tableOf[Key]{t, plainKey, keySerde{}, false}
}

func (t tableOf[G]) updates() *stream {
	return topology.Map(topology.Updates(t.Table), func(k G, v optValue) (optKey, optValue) {
		return processor.Some(t.key(k)), v
	})
}

func (t tableOf[G]) with(made *topology.Table[G, Value]) tableNode {
	return tableOf[G]{made, t.key, t.keys, t.view}
}

func (t tableOf[G]) filter(p predicate, keep bool) tableNode {
	matches := func(k G, v Value) bool { return p(processor.Some(t.key(k)), processor.Some(v)) }
	if keep {
		return t.with(t.Filter(matches))
	}
	return t.with(t.FilterNot(matches))
}

func (t tableOf[G]) mapValues(f mapper) tableNode {
	t.view = true
	return t.with(topology.MapTableOpt(t.Table, func(v Value) optValue { return f(processor.Some(v)) }))
}

func (t tableOf[G]) materialize(g *graph, name string) tableNode {
	store := state.KeyValue[G, Value](name, t.keys, valueSerde{})
	g.stores[name] = store
	t.view = false
	return t.with(t.Materialize(store))
}

func (t tableOf[G]) group(key selector, value mapper, through string) *topology.GroupedTable[Key, Value] {
	topic := topology.Topic[Key, Value]{Name: through, Partitions: 1, Key: keySerde{}, Value: valueSerde{}}
	return topology.GroupTableOpt(t.Table, func(k G, v Value) (optKey, optValue) {
		return key(processor.Some(t.key(k)), processor.Some(v)), value(processor.Some(v))
	}, topic)
}

func (t tableOf[G]) join(n scenarioNode, right tableNode) (tableNode, error) {
	join, err := newJoiner(n.Params.text("joiner"))
	r, ok := right.(tableOf[G])
	if !ok {
		return nil, &unsupportedError{"tableJoin of tables with different keys"}
	}
	switch n.Params.text("type") {
	case "inner":
		return t.with(topology.JoinTablesOpt(t.Table, r.Table, func(l, r Value) optValue {
			return join(processor.Some(l), processor.Some(r))
		})), err
	case "left":
		return t.with(topology.LeftJoinTablesOpt(t.Table, r.Table, func(l Value, r optValue) optValue {
			return join(processor.Some(l), r)
		})), err
	case "outer":
		return t.with(topology.OuterJoinTablesOpt(t.Table, r.Table, join)), err
	}
	return nil, unknown("join type", n.Params.text("type"))
}

// tableTopic is any topic of a scenario as a table reads it.
func tableTopic(name string) topology.Topic[Key, optValue] {
	return topology.Topic[Key, optValue]{Name: name, Partitions: 1, Key: keySerde{}, Value: serde.Nullable[Value](valueSerde{})}
}

func (g *graph) keyValueStore(name string) state.KeyValueStore[Key, Value] {
	store := state.KeyValue[Key, Value](name, keySerde{}, valueSerde{})
	g.stores[name] = store
	return store
}

// sourceTable declares a table source. One whose rows something below reads has a
// store in any case, as it has in Kafka Streams.
func (g *graph) sourceTable(n scenarioNode) (made, error) {
	if _, versioned := n.Params["history"]; versioned {
		return g.versionedTable(n)
	}
	var store state.Materialized[Key, Value]
	if name := n.Params.text("store"); name != "" {
		store = g.keyValueStore(name)
	} else if g.read[n.ID] {
		store = state.KeyValue[Key, Value](n.ID+"-rows", keySerde{}, valueSerde{})
	}
	return made{table: plainTable(topology.SourceTable(g.builder(n.ID), tableTopic(n.Params.text("topic")), store))}, nil
}

// tablesRead finds the tables without a store of their own whose rows or old
// values are needed.
func tablesRead(nodes []scenarioNode) map[string]bool {
	byID, read := map[string]scenarioNode{}, map[string]bool{}
	for _, n := range nodes {
		byID[n.ID] = n
	}
	var need func(id string)
	need = func(id string) {
		n := byID[nodeOf(id)]
		if n.Params.text("store") != "" {
			return
		}
		switch n.Op {
		case "table":
			read[n.ID] = true
		case "filter", "filterNot", "mapValues":
			need(n.Inputs[0])
		}
	}
	for _, n := range nodes {
		switch n.Op {
		case "tableJoin", "fkJoin":
			need(n.Inputs[0])
			need(n.Inputs[1])
		case "streamTableJoin":
			need(n.Inputs[1])
		case "groupBy":
			need(n.Inputs[0])
		}
	}
	return read
}

// onTable declares the operators on tables.
func (g *graph) onTable(n scenarioNode, inputs []made) (made, error) {
	out, err := g.tableOperator(n, inputs)
	if err != nil || out.table == nil {
		return out, err
	}
	if name := n.Params.text("store"); name != "" {
		out.table = out.table.materialize(g, name)
	}
	return out, nil
}

func (g *graph) tableOperator(n scenarioNode, inputs []made) (made, error) {
	in := inputs[0].table
	switch n.Op {
	case "toStream":
		return made{stream: in.updates(), rekeyed: true}, nil
	case "filter", "filterNot":
		p, err := newPredicate(n.Params.text("pred"))
		return made{table: in.filter(p, n.Op == "filter")}, err
	case "mapValues":
		f, err := newMapper(n.Params.text("value"))
		return made{table: in.mapValues(f)}, err
	case "suppress":
		t, err := in.suppress(n)
		return made{table: t}, err
	case "groupBy":
		key, err := newSelector(n.Params.text("key"))
		if err != nil {
			return made{}, err
		}
		value, err := newMapper(n.Params.text("value"))
		return made{groupedTable: in.group(key, value, n.ID+"-repartition")}, err
	case "tableJoin":
		if inputs[1].table == nil {
			return made{}, &unsupportedError{n.Op}
		}
		t, err := in.join(n, inputs[1].table)
		return made{table: t}, err
	case "fkJoin":
		t, err := fkJoin(n, in, inputs[1].table)
		return made{table: t}, err
	}
	return made{}, &unsupportedError{n.Op + " of a table"}
}

// onGroupedTable declares the aggregations of a grouped table.
func (g *graph) onGroupedTable(n scenarioNode, in *topology.GroupedTable[Key, Value]) (made, error) {
	name := n.Params.text("store")
	if n.Op == "count" {
		store := state.KeyValue[Key, int64](name, keySerde{}, serde.Int64)
		g.stores[name] = store
		return table(topology.CountTable(in, store), plainKey, intValue, keySerde{}), nil
	}
	add, err := newAggregator(n.Params.text("fn"))
	if err != nil {
		return made{}, err
	}
	subtract, err := newAggregator(n.Params.text("subtract"))
	if err != nil {
		return made{}, err
	}
	present := func(f aggregator) func(agg optValue, v Value) optValue {
		return func(agg optValue, v Value) optValue { return f(agg, processor.Some(v)) }
	}
	switch n.Op {
	case "reduce":
		both := func(f aggregator) func(agg, v Value) optValue {
			return func(agg, v Value) optValue { return f(processor.Some(agg), processor.Some(v)) }
		}
		return made{table: plainTable(topology.ReduceTableOpt(in, both(add), both(subtract), g.keyValueStore(name)))}, nil
	case "aggregate":
		var init jsonValue
		err := n.Params.read("init", &init)
		a := topology.TableAggregatorOpt[Value, Value]{Init: func() optValue { return init.optValue }, Add: present(add), Subtract: present(subtract)}
		return made{table: plainTable(topology.AggregateTableOpt(in, a, g.keyValueStore(name)))}, err
	}
	return made{}, &unsupportedError{n.Op + " of a grouped table"}
}

// table gives a table the types of the scenario.
func table[G, A any](t *topology.Table[G, A], key func(G) Key, value func(A) Value, keys serde.Serde[G]) made {
	if same, ok := any(t).(*topology.Table[G, Value]); ok {
		return made{table: tableOf[G]{same, key, keys, false}}
	}
	return made{table: tableOf[G]{topology.MapTable(t, value), key, keys, true}}
}
