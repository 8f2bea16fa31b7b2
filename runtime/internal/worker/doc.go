// Package worker owns tasks and performs their effects. A [Worker] is driven from
// one goroutine: Start takes over and restores its tasks, each Turn polls the
// log, lets the tasks process a bounded amount, and commits when it is time.
//
// One commit covers all tasks of a worker in one transaction of the log, and then
// applies one batch to the store of each. A worker whose commit failed stops: the
// next one begins at the committed position.
package worker
