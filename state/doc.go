// Package state holds the state of tasks: typed store handles, the write-back
// cache that a task works on, the layout of rows, and the contract of a storage
// engine.
//
// A handle such as
//
//	var means = state.Window("hourly-mean", serde.String, serde.JSON[Mean]())
//
// is a package-level value that names a store and its types once. The same
// handle declares the store in the topology, reaches it inside a processor (see
// [Of]), reads it in a query and in a test.
//
// Inside a task a store is a cache over a read-only view of what is committed.
// Writes stay in the cache until the task commits; [Instance.Drain] then yields
// them in key order, once, for the changelog and for the engine's batch.
// Neither the size of the cache nor the moment of a commit changes what a read
// returns.
package state
