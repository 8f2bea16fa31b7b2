// Package embedded is the log engine that lives in the process: topics with
// partitions, transactions over all of them, and one fsync for each group of
// commits. It implements commitlog.Log.
//
// Everything that changes goes through one journal, which is the only truth.
// What a published journal entry means is written in one place, state.apply,
// which serves the running log and recovery alike. Segment files and the
// recovery point are what allows the journal to be short.
//
// DESIGN.md says what happens at a commit and after a crash; FORMAT.md draws the
// files.
package embedded
