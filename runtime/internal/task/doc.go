// Package task is the pure core of processing: one sub-topology on one
// partition. A [Task] has no goroutine and no clock, and performs no effect but
// reading the committed store through the view it was given. It is fed batches
// ([Task.Feed]), processes a bounded number of records ([Task.Step]), and hands
// out as data what has to become durable ([Task.Commit]): outputs, changelog
// records, its position, a store batch. Whoever owns it performs these effects,
// the log first, then the store, and reports back ([Task.Committed]).
//
// A task that failed, or whose commit was refused, is thrown away: a new one on
// the same store begins at the committed position.
package task
