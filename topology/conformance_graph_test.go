package topology_test

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// graph turns the nodes of a scenario into declarations.
type graph struct {
	b      *topology.Builder
	subs   map[string]*topology.Builder // by the first source of each connected part
	part   map[string]string            // node id to its part
	read   map[string]bool              // tables whose rows are read
	made   map[string]made
	stores map[string]state.Handle
	topics map[string]bool // sinks
}

// made is what a node became: the field that fits its kind is set.
type made struct {
	stream *stream
	// rekeyed says that grouping the stream needs a repartition topic.
	rekeyed  bool
	grouped  *topology.GroupedStream[Key, optValue]
	windowed *topology.WindowedStream[Key, optValue]
	session  bool // windows are sessions
	// cogrouped is a cogroup, and windows what cuts it.
	cogrouped *topology.CogroupedStream[Key, Value]
	windows   topology.Windows
	table     tableNode
	global    *topology.Global[Key, Value]
	// groupedTable is a table's groupBy.
	groupedTable *topology.GroupedTable[Key, Value]
}

// unsupportedError says that the language has no such operator yet.
type unsupportedError struct{ op string }

func (e *unsupportedError) Error() string { return "operator not supported: " + e.op }

// newGraph declares the topology of a scenario. Operators that the language
// lacks give an *unsupportedError.
func newGraph(s *scenario) (*graph, error) {
	g := &graph{
		b: topology.New("conformance"), subs: map[string]*topology.Builder{}, part: connectedParts(s.Nodes),
		read: tablesRead(s.Nodes), made: map[string]made{}, stores: map[string]state.Handle{}, topics: map[string]bool{},
	}
	for _, n := range s.Nodes {
		m, err := g.declare(n)
		if err != nil {
			return nil, fmt.Errorf("node %s (%s): %w", n.ID, n.Op, err)
		}
		g.made[n.ID] = m
	}
	return g, nil
}

// connectedParts names the part of the graph that each node belongs to, cut where
// records go through a repartition topic.
func connectedParts(nodes []scenarioNode) map[string]string {
	part, rekeyed := map[string]string{}, map[string]bool{}
	rename := func(from, to string) {
		for id, p := range part {
			if p == from {
				part[id] = to
			}
		}
	}
	for _, n := range nodes {
		part[n.ID] = n.ID
		for i, in := range n.Inputs {
			if !n.repartitions(i, rekeyed[nodeOf(in)]) {
				rename(part[n.ID], part[nodeOf(in)])
			}
		}
		rekeyed[n.ID] = n.rekeys(rekeyed)
	}
	return part
}

// repartitions says whether an input goes through a repartition topic.
func (n scenarioNode) repartitions(input int, rekeyed bool) bool {
	switch n.Op {
	case "repartition", "groupBy":
		return true
	case "groupByKey", "toTable", "streamJoin":
		return rekeyed
	case "streamTableJoin":
		return rekeyed && input == 0
	case "fkJoin":
		return input == 1
	}
	return false
}

// rekeys says whether grouping the result by key takes a repartition topic.
func (n scenarioNode) rekeys(rekeyed map[string]bool) bool {
	switch n.Op {
	case "map", "flatMap", "selectKey", "toStream", "tick":
		return true
	case "streamTableJoin":
		return n.Params.text("type") == "inner" // see graph.streamTableJoin
	case "filter", "filterNot", "mapValues", "flatMapValues", "merge", "branch", "globalJoin":
		for _, in := range n.Inputs {
			if rekeyed[nodeOf(in)] {
				return true
			}
		}
	}
	return false
}

// nodeOf strips the output of a branch from an input's name.
func nodeOf(input string) string {
	for i := range input {
		if input[i] == '.' {
			return input[:i]
		}
	}
	return input
}

// builder returns the Builder through which the sources of a node's part are
// declared.
func (g *graph) builder(id string) *topology.Builder {
	p := g.part[id]
	if g.subs[p] == nil {
		g.subs[p] = g.b.Sub("part-" + p)
	}
	return g.subs[p]
}

func (g *graph) declare(n scenarioNode) (made, error) {
	inputs := make([]made, len(n.Inputs))
	for i, id := range n.Inputs {
		inputs[i] = g.made[id]
	}
	switch {
	case n.Op == "table":
		return g.sourceTable(n)
	case n.Op == "globalTable":
		store := g.keyValueStore(n.Params.text("store"))
		return made{global: topology.GlobalTable(g.b, tableTopic(n.Params.text("topic")), store)}, nil
	case n.Op == "stream":
		return made{stream: topology.Source(g.builder(n.ID), conformanceTopic(n.Params.text("topic")))}, nil
	case len(inputs) == 0:
		return made{}, &unsupportedError{n.Op}
	case inputs[0].stream != nil:
		return g.onStream(n, inputs)
	case n.Op == "cogroup":
		return g.cogroup(n, inputs)
	case inputs[0].cogrouped != nil:
		return g.onCogroup(n, inputs[0])
	case inputs[0].grouped != nil:
		return g.onGrouped(n, inputs[0].grouped)
	case inputs[0].windowed != nil:
		return g.aggregateWindows(n, inputs[0])
	case inputs[0].table != nil:
		return g.onTable(n, inputs)
	case inputs[0].groupedTable != nil:
		return g.onGroupedTable(n, inputs[0].groupedTable)
	}
	return made{}, &unsupportedError{n.Op + " of a table"}
}

// onStream declares the operators on streams that shape it as a whole; those
// that work record by record are in stateless.
func (g *graph) onStream(n scenarioNode, inputs []made) (made, error) {
	in := inputs[0]
	switch n.Op {
	case "sink":
		g.topics[n.Params.text("topic")] = true
		in.stream.To(conformanceTopic(n.Params.text("topic")))
		return made{}, nil
	case "merge":
		if inputs[1].stream == nil {
			return made{}, &unsupportedError{n.Op}
		}
		rekeyed := in.rekeyed || inputs[1].rekeyed
		return made{stream: in.stream.Merge(inputs[1].stream), rekeyed: rekeyed}, nil
	case "branch":
		return made{}, g.branch(n, in)
	case "repartition":
		return made{stream: in.stream.Repartition(repartitionTopic(n.ID))}, nil
	case "groupByKey":
		s := in.stream
		if in.rekeyed {
			s = s.Repartition(repartitionTopic(n.ID))
		}
		return made{grouped: grouped(s)}, nil
	case "groupBy":
		key, err := newSelector(n.Params.text("key"))
		if err != nil {
			return made{}, err
		}
		s := topology.SelectKey(in.stream, key).Repartition(repartitionTopic(n.ID))
		return made{grouped: grouped(s)}, nil
	case "toTable":
		s := in.stream
		if in.rekeyed {
			s = s.Repartition(repartitionTopic(n.ID))
		}
		return made{table: plainTable(topology.ToTable(topology.WithKey(s), g.keyValueStore(n.Params.text("store"))))}, nil
	case "globalJoin":
		s, err := globalJoin(n, in.stream, inputs[1].global)
		return made{stream: s, rekeyed: in.rekeyed}, err
	case "streamTableJoin":
		return g.streamTableJoin(n, in, inputs[1])
	case "streamJoin":
		return g.streamJoin(n, in, inputs[1])
	case "tick":
		s, err := tick(n, in.stream)
		return made{stream: s, rekeyed: true}, err
	}
	return stateless(n, in)
}

func repartitionTopic(id string) topology.Topic[optKey, optValue] {
	return conformanceTopic(id + "-repartition")
}

func grouped(s *stream) *topology.GroupedStream[Key, optValue] {
	return topology.WithKey(s).GroupByKey()
}

func (g *graph) branch(n scenarioNode, in made) error {
	var names []string
	if err := n.Params.read("preds", &names); err != nil {
		return err
	}
	predicates := make([]predicate, len(names))
	for i, name := range names {
		p, err := newPredicate(name)
		if err != nil {
			return err
		}
		predicates[i] = p
	}
	out := in.stream.Branch(predicates...)
	for i := range names {
		g.made[fmt.Sprintf("%s.%d", n.ID, i)] = made{stream: out[i], rekeyed: in.rekeyed}
	}
	g.made[n.ID+".default"] = made{stream: out[len(names)], rekeyed: in.rekeyed}
	return nil
}

// stateless declares the operators that work record by record.
func stateless(n scenarioNode, in made) (made, error) {
	value, key := n.Params.text("value"), n.Params.text("key")
	switch n.Op {
	case "filter", "filterNot":
		p, err := newPredicate(n.Params.text("pred"))
		if n.Op == "filter" {
			return made{stream: in.stream.Filter(p), rekeyed: in.rekeyed}, err
		}
		return made{stream: in.stream.FilterNot(p), rekeyed: in.rekeyed}, err
	case "mapValues":
		f, err := newMapper(value)
		return made{stream: topology.MapValues(in.stream, f), rekeyed: in.rekeyed}, err
	case "selectKey":
		sel, err := newSelector(key)
		return made{stream: topology.SelectKey(in.stream, sel), rekeyed: true}, err
	case "map":
		sel, err := newSelector(key)
		if err != nil {
			return made{}, err
		}
		f, err := newMapper(value)
		both := func(k optKey, v optValue) (optKey, optValue) { return sel(k, v), f(v) }
		return made{stream: topology.Map(in.stream, both), rekeyed: true}, err
	case "flatMapValues":
		split, err := newSplitter(n.Params.text("split"))
		return made{stream: topology.FlatMapValues(in.stream, split), rekeyed: in.rekeyed}, err
	case "flatMap":
		sel, err := newSelector(key)
		if err != nil {
			return made{}, err
		}
		split, err := newSplitter(n.Params.text("split"))
		parts := func(k optKey, v optValue, emit func(optKey, optValue)) {
			for _, w := range split(v) {
				emit(sel(k, w), w)
			}
		}
		return made{stream: topology.FlatMap(in.stream, parts), rekeyed: true}, err
	}
	return made{}, &unsupportedError{n.Op}
}

// tick forwards every record, and a record of its own with each punctuation.
func tick(n scenarioNode, in *stream) (*stream, error) {
	interval, err := n.Params.millis("interval")
	clock := processor.StreamTime
	if n.Params.text("clock") == "wall" {
		clock = processor.WallClock
	}
	type context = processor.Context[optKey, optValue]
	type record = processor.Record[optKey, optValue]
	create := func() processor.Processor[optKey, optValue, optKey, optValue] {
		return initialised{
			init: func(ctx context) error {
				return ctx.Schedule("tick", interval, clock, func(ctx context, t processor.Timestamp) error {
					return ctx.Forward(record{Key: keyOf("tick", true), Value: processor.Some(intValue(int64(t))), Time: t})
				})
			},
			process: func(ctx context, r record) error { return ctx.Forward(r) },
		}
	}
	return topology.Process(in, n.ID, create), err
}

// initialised is a processor made of its two functions.
type initialised struct {
	init    func(processor.Context[optKey, optValue]) error
	process processor.Func[optKey, optValue, optKey, optValue]
}

func (p initialised) Init(ctx processor.Context[optKey, optValue]) error { return p.init(ctx) }

func (p initialised) Process(ctx processor.Context[optKey, optValue], r processor.Record[optKey, optValue]) error {
	return p.process(ctx, r)
}
