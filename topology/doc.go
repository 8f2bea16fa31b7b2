// Package topology is the language in which an application is declared: streams,
// groupings, windows, aggregations, tables. A [Builder] collects the
// declarations, [Builder.Build] checks them all and returns an immutable
// [Topology], and the runtime wires one [Instance] of a sub-topology per
// partition.
//
//	b := topology.New("meter-average")
//	valid := topology.Source(b, readings).Filter(func(_ string, r Reading) bool { return r.KWh >= 0 })
//	byHour := valid.GroupByKey().WindowedBy(topology.Tumbling(time.Hour).Grace(15 * time.Minute))
//	means := topology.Aggregate(byHour, topology.Fold(Mean.Add), hourlyMean)
//	topology.MapValues(means.ToStream(), Mean.Value).To(averages)
//	return b.Build()
//
// What keeps key and value types is a method; what changes them is a function:
// stream first, function second, state last. Functions given to operators must
// be pure, must not fail, and must not keep or change what they are given;
// fallible work belongs into a processor (see [Process]).
//
// # Types at run time
//
// Types are erased once, when an instance is wired: every node becomes a closure
// over the typed closures below it, so that a record passes from node to node as
// a plain function call, without boxing or allocation.
//
// # Names
//
// Everything durable is named by the user: the application, stores, topics,
// processors. Inserting or removing a stateless operator changes no name.
package topology
