package streamtest_test

import (
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

type (
	stream       = topology.Stream[string, number]
	windowStream = topology.Stream[state.Windowed[string], number]
)

var numbers = serde.Nullable(serde.Int64)

// declaration declares a plan in the DSL.
type declaration struct {
	plan
	b        *topology.Builder
	streams  []*stream
	branches map[int][]*stream
	windows  map[int]*windowStream // of windowed aggregations, before their keys become strings
}

func (p plan) build() (*topology.Topology, error) {
	d := &declaration{plan: p, b: topology.New("metamorphic"), branches: map[int][]*stream{}, windows: map[int]*windowStream{}}
	for i, o := range p.ops {
		d.streams = append(d.streams, d.declare(i, o))
	}
	return d.b.Build()
}

func (d *declaration) declare(i int, o op) *stream {
	if o.kind == opSource {
		return d.source(o.topics)
	}
	in := d.streams[o.in[0]]
	switch o.kind {
	case opFilter:
		return in.Filter(o.keep)
	case opMapValues:
		return topology.MapValues(in, o.mapped)
	case opFlatMapValues:
		return topology.FlatMapValues(in, o.several)
	case opSelectKey:
		return topology.SelectKey(in, o.newKey)
	case opRepartition:
		return in.Repartition(d.topic(name("through", i), d.partitions[o.stage]))
	case opMerge:
		return in.Merge(d.streams[o.in[1]])
	case opBranch:
		var predicates []func(string, number) bool
		for port := range 1 + o.b%2 {
			predicates = append(predicates, o.takes(port))
		}
		d.branches[i] = in.Branch(predicates...)
	case opPort:
		return d.branches[o.in[0]][o.a]
	case opAggregate:
		return d.aggregate(i, o, in)
	case opSink:
		if w := d.windows[o.in[0]]; w != nil && o.a == 1 {
			w.To(d.windowTopic(i))
		} else {
			in.To(d.topic(name("out", i), 0))
		}
	}
	return nil
}

func (d *declaration) source(topics []inputTopic) *stream {
	t := topics[0]
	switch {
	case t.nullKeys:
		return topology.WithKey(source(d, topics, serde.Nullable(serde.String), numbers))
	case t.nullValues:
		return source(d, topics, serde.String, numbers)
	}
	return topology.MapValues(source(d, topics, serde.String, serde.Int64), processor.Some[int64])
}

func source[K, V any](d *declaration, topics []inputTopic, key serde.Serde[K], value serde.Serde[V]) *topology.Stream[K, V] {
	var all []topology.Topic[K, V]
	for _, t := range topics {
		all = append(all, topology.Topic[K, V]{Name: t.name, Partitions: d.partitions[0], Key: key, Value: value, Partitioner: d.partitioner()})
	}
	return topology.Source(d.b, all...)
}

func (p *plan) partitioner() *topology.Partitioner {
	if p.murmur {
		return nil
	}
	return &topology.Partitioner{Name: "sum", Place: p.placement()}
}

func (p *plan) topic(name string, partitions int32) topology.Topic[string, number] {
	return topology.Topic[string, number]{Name: name, Partitions: partitions, Key: serde.String, Value: numbers, Partitioner: p.partitioner()}
}

// windowTopic is for the keys of the windowed aggregation that sink i reads.
func (p *plan) windowTopic(i int) topology.Topic[state.Windowed[string], number] {
	size := p.ops[p.ops[i].in[0]].agg.size
	return topology.Topic[state.Windowed[string], number]{Name: name("out", i), Partitions: 2,
		Key: serde.TimeWindowed(serde.String, ms(size)), Value: numbers}
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func rowStore(i int) state.KeyValueStore[string, int64] {
	return state.KeyValue(name("rows", i), serde.String, serde.Int64)
}

func windowRowStore(i int, o op) state.WindowStore[string, int64] {
	s := state.Window(name("rows", i), serde.String, serde.Int64)
	if o.agg.retention > 0 {
		s = s.Retention(ms(o.agg.retention))
	}
	return s
}

func (g aggregation) windows() topology.Windows {
	w := topology.Tumbling(ms(g.size))
	if g.size != g.advance {
		w = topology.Hopping(ms(g.size), ms(g.advance))
	}
	return w.Grace(ms(g.grace))
}

var emissions = map[emission]topology.Emission{
	emitUpdate: topology.OnUpdate, emitCommit: topology.OnCommit, emitClose: topology.OnClose,
}

func (d *declaration) aggregate(i int, o op, in *stream) *stream {
	e := emissions[o.agg.emission]
	present := func() *topology.Stream[string, int64] {
		return topology.MapValues(in.Filter(func(_ string, v number) bool { return v.OK }), func(v number) int64 { return v.Value })
	}
	switch {
	case !o.agg.windowed && o.agg.fold == foldReduce:
		return some(topology.Reduce(present().GroupByKey().Emit(e), combine, rowStore(i)))
	case !o.agg.windowed:
		return folded(o, in.GroupByKey().Emit(e), rowStore(i))
	case o.agg.fold == foldReduce:
		d.windows[i] = some(topology.Reduce(present().GroupByKey().WindowedBy(o.agg.windows()).Emit(e), combine, windowRowStore(i, o)))
	default:
		d.windows[i] = folded(o, in.GroupByKey().WindowedBy(o.agg.windows()).Emit(e), windowRowStore(i, o))
	}
	return topology.SelectKey(d.windows[i], func(w state.Windowed[string], _ number) string { return w.String() })
}

// folded declares what takes nulls.
func folded[G any](o op, g topology.Grouping[G, number], store state.Materialized[G, int64]) *topology.Stream[G, number] {
	switch o.agg.fold {
	case foldCount:
		return some(topology.Count(g, store))
	case foldAggregate:
		return some(topology.Aggregate(g, topology.Aggregator[number, int64]{Init: o.initial, Add: o.addTo}, store))
	case foldReduceOpt:
		return topology.Updates(topology.ReduceOpt(g, o.combineOpt, store))
	}
	return topology.Updates(topology.AggregateOpt(g, topology.AggregatorOpt[number, int64]{Init: o.initialOpt, Add: o.addToOpt}, store))
}

func some[G any](t *topology.Table[G, int64]) *topology.Stream[G, number] {
	return topology.MapValues(t.ToStream(), processor.Some[int64])
}
