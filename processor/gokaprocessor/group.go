package gokaprocessor

import (
	"context"
	"time"

	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/topology"
)

// Group is a goka group: what goka.DefineGroup is given, and those of its
// processor's options that have a meaning here. Name and at least one input are
// required.
type Group struct {
	// Name is durable: the topics of table and loop, the store and the processor
	// are named after it.
	Name   goka.Group
	Inputs []Input
	// Loop is the group's loop; nil is none.
	Loop *Loop
	// Persist is the codec of the group table; nil is a group without one.
	Persist goka.Codec
	// PersistJSON says that the rows as Persist encodes them are JSON texts, which
	// HTTP queries then show as they are. (They show the rows of goka's own codecs,
	// and of codecs that are a serde.Transcoder, in any case, and others in base64.)
	PersistJSON bool
	// Joins are co-partitioned tables, Lookups are tables that every instance holds
	// whole. Each has a store of its topic's name.
	Joins   []Table
	Lookups []Table
	Outputs []Output

	// Partitions is the number of partitions of all topics but lookups and outputs.
	// 0 takes what exists, and the runtime's default for topics that are created.
	Partitions int32
	// NilHandling says what happens to records without a value; the default drops
	// them.
	NilHandling goka.NilHandling
	// DefaultHeaders are added to what is emitted and looped back.
	DefaultHeaders goka.Headers
	// DropTableHeaders accepts headers in SetValue and Delete, and does not write
	// them. Without it they are an error of the record.
	DropTableHeaders bool
	// ContextWrapper is given each context before the callback; nil is none.
	ContextWrapper goka.ContextWrapper
	// BaseContext is the parent of what Context returns, which ends with the task.
	// Default context.Background().
	BaseContext context.Context
	// DeferTimeout is how long a deferred commit may stay open before that is an
	// error of its record. Default [DefaultDeferTimeout]. Without a limit one that
	// was forgotten would keep its task from committing ever again.
	DeferTimeout time.Duration
}

// DefaultDeferTimeout is the default of Group.DeferTimeout.
const DefaultDeferTimeout = time.Minute

// Input is a topic, what decodes its values, and what is called with each.
type Input struct {
	Topic    goka.Stream
	Codec    goka.Codec
	Callback goka.ProcessCallback
	// Reset says where to begin when no position is committed. goka begins at the
	// newest record, which is topology.Latest.
	Reset topology.Reset
}

// Loop is the group's topic to itself.
type Loop struct {
	Codec    goka.Codec
	Callback goka.ProcessCallback
}

// Table is a table that callbacks read.
type Table struct {
	Topic goka.Table
	Codec goka.Codec
}

// Output is a topic that callbacks emit to.
type Output struct {
	Topic goka.Stream
	Codec goka.Codec
	// Partitions is the number of partitions if the topic is created; 0 is the
	// runtime's default.
	Partitions int32
	// Partitioner places the keys; nil is topology.FNV1a(), as in goka.
	Partitioner *topology.Partitioner
}

// InputsOf makes inputs of several topics with one codec and one callback, as
// goka.Inputs does.
func InputsOf(topics goka.Streams, c goka.Codec, callback goka.ProcessCallback) []Input {
	inputs := make([]Input, len(topics))
	for i, t := range topics {
		inputs[i] = Input{Topic: t, Codec: c, Callback: callback}
	}
	return inputs
}

// graph is the group in goka's own form, which checks it and knows the names of
// its topics, process-wide suffixes included.
func (g Group) graph() *goka.GroupGraph {
	var edges []goka.Edge
	for _, in := range g.Inputs {
		edges = append(edges, goka.Input(in.Topic, in.Codec, in.Callback))
	}
	if g.Loop != nil {
		edges = append(edges, goka.Loop(g.Loop.Codec, g.Loop.Callback))
	}
	if g.Persist != nil {
		edges = append(edges, goka.Persist(g.Persist))
	}
	for _, t := range g.Joins {
		edges = append(edges, goka.Join(t.Topic, t.Codec))
	}
	for _, t := range g.Lookups {
		edges = append(edges, goka.Lookup(t.Topic, t.Codec))
	}
	for _, o := range g.Outputs {
		edges = append(edges, goka.Output(o.Topic, o.Codec))
	}
	return goka.DefineGroup(g.Name, edges...)
}

// TableTopic is the topic and the store of the group table, LoopTopic that of the
// loop, whether the group has them or not.
func (g Group) TableTopic() string { return string(goka.GroupTable(g.Name)) }

// LoopTopic is the topic of the loop.
func (g Group) LoopTopic() string {
	return goka.DefineGroup(g.Name, goka.Loop(nil, nil)).LoopStream().Topic()
}
