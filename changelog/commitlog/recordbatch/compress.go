package recordbatch

import (
	"fmt"
)

// Codec is how the records of a batch are compressed.
type Codec int8

// The codecs of Kafka; 5 to 7 are not assigned.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)

// String names the codec as Kafka's compression.type does.
func (c Codec) String() string {
	switch c {
	case CodecNone:
		return "none"
	case CodecGzip:
		return "gzip"
	case CodecSnappy:
		return "snappy"
	case CodecLZ4:
		return "lz4"
	case CodecZstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

// outputLimit is the most that n compressed bytes may become: enough for any
// batch that a producer has reason to write, and little enough that a bomb of a
// few kilobytes cannot take the memory of the node.
func outputLimit(n int) int { return min(MaxBatchBytes, 100*n+64<<10) }
