// Package recordbatch encodes and decodes Kafka record batches of format 2, the
// unit in which both logs store and ship records. The layout is drawn in
// FORMAT.md.
//
// The same bytes lie in the embedded log's journal and segments, travel to
// Kafka, and are handed to readers without a copy.
package recordbatch
