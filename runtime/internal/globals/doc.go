// Package globals keeps the global tables of an instance: it reads all partitions
// of their topics into one engine, before the tasks start up to what the log holds
// then ([Tables.Load]), and afterwards in a goroutine of its own ([Tables.Follow]).
//
// Rows and the positions that they reflect are written in one batch, so that a
// restart goes on where the engine stands, whatever the crash left of it. There is
// nothing in the engine that the topics do not have: one that does not fit is
// emptied and loaded again.
//
// Tasks read the rows while they change. A [topology.GlobalStore] has a version
// that changes behind each batch, by which they know what they may keep.
package globals
