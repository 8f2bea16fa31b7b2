// Package commitlog is the contract between the engine and a partitioned log:
// topics, reading, transactional appending, group offsets. It knows bytes only.
//
// Two logs implement it: embedded, which lives in the process and is the
// default, and kafka. Both pass the conformance kit in commitlogtest.
//
// In Kafka's words: record batches of format 2 (package recordbatch) are the
// unit of appending and reading; offsets may have gaps; readers see committed
// data only; an acknowledged commit is durable.
//
// # Ownership of buffers
//
// A batch handed out by a [Reader] is immutable and stays valid for as long as
// it is reachable. A builder handed to a [Writer] belongs to the writer until
// Commit or Abort has returned.
package commitlog
