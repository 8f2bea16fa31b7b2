// Package processor holds the vocabulary that every other package speaks: a
// [Record] with its event time and [Origin], the absent value [Opt], the key of
// a windowed result [Windowed], and the interface of a hand-written node,
// [Processor].
//
// It imports nothing but the standard library, so that a processor can be
// written and unit-tested without an engine behind it.
package processor
