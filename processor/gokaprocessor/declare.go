package gokaprocessor

import (
	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Build returns a topology that is this group and nothing else. The application
// has the name of the group.
func (g Group) Build() (*topology.Topology, error) {
	b := topology.New(string(g.Name))
	if err := g.Declare(b); err != nil {
		return nil, err
	}
	return b.Build()
}

// Declare adds the group to a topology, as one sub-topology. Its error holds all
// mistakes of the group; what does not fit the rest of the topology is told by
// the Builder.
//
// A topic can be read once in a topology: groups that share an input or a joined
// table belong into applications of their own.
func (g Group) Declare(b *topology.Builder) error {
	if err := g.check(); err != nil {
		return err
	}
	d := &definition{Group: g, loop: g.LoopTopic(), inputs: map[string]goka.ProcessCallback{}, outputs: map[goka.Stream]output{}}
	stores := d.tables(b)
	records, feedLoop := d.sources(b)
	create := func() processor.Processor[string, Value, string, emission] { return newGroupProcessor(d) }
	emitted := topology.Process(records, string(g.Name), create, stores...)
	d.sinks(emitted, feedLoop)
	return nil
}

// definition is a declared group, as its tasks share it. It does not change.
type definition struct {
	Group
	loop    string                          // topic of the loop, also if there is none
	inputs  map[string]goka.ProcessCallback // by topic, the loop included
	outputs map[goka.Stream]output
	table   *tableOf // nil without a group table
	joins   map[goka.Table]*tableOf
	lookups map[goka.Table]*tableOf
}

// output is an output topic; number tells its records among those emitted.
type output struct {
	number int
	codec  goka.Codec
}

// tableOf is a store and the codec of what it holds.
type tableOf struct {
	handle rowsHandle
	codec  goka.Codec
}

// rowsHandle is the handle of every store of a group: the rows are what the codec
// has encoded, so that each reading decodes them afresh.
type rowsHandle = state.KeyValueStore[string, []byte]

// loopNumber marks emitted records that go to the loop.
const loopNumber = -1

// emission is an emitted value on its way to its sink. It is encoded already: the
// callback has to learn at once what does not encode.
type emission struct {
	to    int
	value Value // absent, or an encoded
}

// Topic is a topic of the group as producers, readers and tests use it: an input,
// the loop, an output, a joined table or a lookup table. For any other name it is
// the zero Topic.
func (g Group) Topic(name string) topology.Topic[string, Value] {
	for _, in := range g.Inputs {
		if string(in.Topic) == name {
			t := g.topic(name, in.Codec, g.NilHandling)
			t.Reset = in.Reset
			return t
		}
	}
	if g.Loop != nil && g.LoopTopic() == name {
		return g.topic(name, g.Loop.Codec, g.NilHandling)
	}
	for _, o := range g.Outputs {
		if string(o.Topic) == name {
			t := g.topic(name, o.Codec, goka.NilIgnore)
			t.Partitions = o.Partitions
			if o.Partitioner != nil {
				t.Partitioner = o.Partitioner
			}
			return t
		}
	}
	for _, t := range g.Joins {
		if string(t.Topic) == name {
			return g.topic(name, t.Codec, goka.NilIgnore)
		}
	}
	for _, t := range g.Lookups {
		if string(t.Topic) == name {
			lookup := g.topic(name, t.Codec, goka.NilIgnore)
			lookup.Partitions = 0
			return lookup
		}
	}
	return topology.Topic[string, Value]{}
}

func (g Group) topic(name string, c goka.Codec, nils goka.NilHandling) topology.Topic[string, Value] {
	return topology.Topic[string, Value]{Name: name, Partitions: g.Partitions, Key: keys, Value: newValueSerde(c, nils),
		Partitioner: topology.FNV1a()}
}

// encodedTopic is a topic whose values pass as they are.
func encodedTopic(of topology.Topic[string, Value], c goka.Codec) topology.Topic[string, processor.Opt[[]byte]] {
	return topology.Topic[string, processor.Opt[[]byte]]{Name: of.Name, Partitions: of.Partitions, Key: keys,
		Value: serde.Nullable(newEncodedSerde(c)), Partitioner: of.Partitioner}
}

// sources declares what calls back.
func (d *definition) sources(b *topology.Builder) (records *topology.Stream[string, Value], feedLoop func(*topology.Stream[string, Value])) {
	var topics []topology.Topic[string, Value]
	for _, in := range d.Inputs {
		d.inputs[string(in.Topic)] = in.Callback
		topics = append(topics, d.Topic(string(in.Topic)))
	}
	records = topology.Source(b, topics...)
	if d.Loop == nil {
		return records, nil
	}
	d.inputs[d.loop] = d.Loop.Callback
	again, feed := topology.Loop(b, d.Topic(d.loop))
	return records.Merge(again), feed
}

// tables declares what is read and returns the stores.
func (d *definition) tables(b *topology.Builder) (stores []state.Handle) {
	if d.Persist != nil {
		rows := newEncodedSerde(d.Persist)
		if d.PersistJSON {
			rows = encodedJSON{encodedSerde{serde.Bytes, codecName(d.Persist)}, plainJSON{}}
		}
		handle := state.KeyValue(d.TableTopic(), keys, rows).ChangelogTopic(d.TableTopic())
		d.table = &tableOf{handle, d.Persist}
		stores = append(stores, handle)
	}
	d.joins, d.lookups = map[goka.Table]*tableOf{}, map[goka.Table]*tableOf{}
	for _, t := range d.Joins {
		handle := state.KeyValue(string(t.Topic), keys, newEncodedSerde(t.Codec))
		topic := encodedTopic(d.Topic(string(t.Topic)), t.Codec)
		topic.Compact = true
		topology.SourceTable(b, topic, handle)
		d.joins[t.Topic] = &tableOf{handle, t.Codec}
		stores = append(stores, handle)
	}
	for _, t := range d.Lookups {
		handle := state.KeyValue(string(t.Topic), keys, newEncodedSerde(t.Codec))
		topic := encodedTopic(d.Topic(string(t.Topic)), t.Codec)
		topic.Compact = true
		topology.GlobalTable(b, topic, handle)
		d.lookups[t.Topic] = &tableOf{handle, t.Codec}
		stores = append(stores, handle)
	}
	return stores
}

// sinks leads what callbacks emit to the topics. To a sink a record of another
// topic is a comparison of numbers.
func (d *definition) sinks(emitted *topology.Stream[string, emission], feedLoop func(*topology.Stream[string, Value])) {
	only := func(number int) *topology.Stream[string, Value] {
		mine := emitted.Filter(func(_ string, e emission) bool { return e.to == number })
		return topology.MapValues(mine, func(e emission) Value { return e.value })
	}
	for i, o := range d.Outputs {
		d.outputs[o.Topic] = output{number: i, codec: o.Codec}
		only(i).To(d.Topic(string(o.Topic)))
	}
	if feedLoop != nil {
		feedLoop(only(loopNumber))
	}
}
