// Package gokaprocessor runs the callbacks and codecs of goka programs unchanged,
// as a node of a topology. What changes is the wiring: a goka.GroupGraph becomes a
// [Group], edge by edge.
//
//	// before
//	goka.DefineGroup("visits",
//		goka.Input("clicks", new(codec.String), count),
//		goka.Persist(new(codec.Int64)))
//
//	// after
//	gokaprocessor.Group{
//		Name:    "visits",
//		Inputs:  []gokaprocessor.Input{{Topic: "clicks", Codec: new(codec.String), Callback: count}},
//		Persist: new(codec.Int64),
//	}.Build()
//
// Keys are strings in callbacks and bytes everywhere else. All topics of a group
// are partitioned by FNV-1a, as goka does. The group table is a store whose
// changelog is goka's table topic, in goka's layout: it is taken over as it is,
// and goka can read it again.
//
// # What is different
//
// A group is a part of an exactly-once application:
//
//   - Outputs, table and input offsets become visible together with the commit,
//     and none of them before. A callback that fails, or panics, leaves nothing.
//   - No offset is passed over: a position covers everything before it.
//   - A record that does not decode, and a callback that fails or panics, follow
//     the poison policy of the application: stop (the default, as goka does), skip,
//     or dead letter.
//   - The inputs of a group are taken by the time of their records, not as they
//     arrive, and a Join sees the table as it was at that time.
//   - An emitted record has the time of the record that it follows from.
//   - A record without a valid timestamp never reaches a callback; it is counted.
//   - The state is in a directory of the application and is queried over HTTP.
//     Inputs begin at the oldest record unless [Input.Reset] says otherwise;
//     goka begins at the newest. Package gokaadopt makes an application continue
//     where a goka group has stopped.
//   - With DeferCommit open, nothing of the task is committed: a deferred function
//     must not wait for the effect of what its own callback has emitted.
//   - Headers given to SetValue and Delete are refused, or with
//     [Group.DropTableHeaders] not written: changelog records have none.
//
// Not carried over: visitors, views and emitters (use HTTP queries, global tables
// and runtime producers), update callbacks, storage builders, hashers, hot standby
// and recover-ahead (the engine has its own), and changes of goka's global
// configuration.
package gokaprocessor
