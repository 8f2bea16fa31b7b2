// Package streamtest drives a topology in a test. It is the engine itself, not a
// model of it: the worker, the embedded log and the state engines of a running
// application, on disks in memory, driven step by step from the test's goroutine
// under a clock that the test moves.
//
//	func TestHourlyAverage(t *testing.T) {
//		streamtest.Run(t, hourlyAverage, func(t *testing.T, d *streamtest.Driver) {
//			in := streamtest.Input(d, readings)
//			in.SendAt("m17", Reading{KWh: 2}, noon)
//			in.SendAt("m17", Reading{KWh: 4}, noon.Add(time.Minute))
//			got := streamtest.Output(d, averages).Records()
//			...
//		})
//	}
//
// # Modes
//
// [Run] repeats the body as one subtest per [Mode], because what an application
// computes must not depend on when it commits, when it crashes, how much it
// caches and where it keeps its state. A test that holds in the straight mode and
// fails in another one has found state that lives outside the stores, a function
// that is not pure, or a bug of the engine.
//
//   - Straight: nothing is committed until the test looks at a result. With
//     repartition topics it has to be, since a record in one becomes visible with
//     the commit: then it is the same as the next mode.
//   - EveryCommit: a commit behind every record.
//   - EveryRestart: every record is processed, the process dies before it could
//     commit, a new one restores its stores from what is durable and processes the
//     record again: every committed result was computed from restored state.
//   - Random: behind each record, drawn from the seed, nothing, a commit, or a
//     crash before or after one; crashes keep a random part of what the stores had
//     not synced. The seed is logged; the environment variable TIDEMILL_SEED
//     repeats it. (Where a task has several inputs, and around a move of the
//     clock, a commit takes the place of nothing: records that are processed again
//     together would be taken in another order than they were sent in.)
//
// Each runs with the stores on Pebble and in memory, and those that commit also
// with caches of one byte, so that every record reads its rows from the store.
//
// A record of a global table's topic is part of the table when Send returns, and
// is so before any record that is sent later.
//
// A record is sent, and everything that follows from it processed, through all
// sub-topologies and internal topics, before the next one is sent.
//
// Emission per commit is the exception by design: how many results it gives
// depends on the commits. Compare the last result of each key there.
//
// # Why the number of partitions is not a mode
//
// Stream time belongs to a task, and so to a partition: whether a record is late
// depends on the records that share its partition. The same input on four
// partitions may rightly give other results than on one. A topic has the
// partitions that it declares, and one if it does not say.
package streamtest
