// Package serde turns typed keys and values into bytes and back.
//
// A [Serde] is a pair of pure functions with a name. The names of a store's
// serdes are part of its durable shape: a store that was written with one name
// is not opened with another.
//
// # Null
//
// Null is not the business of a serde but of its type: decoding nil gives null
// where the type is a processor.Opt (see [Nullable]) and an error elsewhere, and
// Append is never called for a null.
//
// # Wire formats
//
// The formats of String, Bytes, Int64, Float64, Bool, TimeWindowed and
// SessionWindowed are those of Kafka's and Kafka Streams' own serializers, so
// that topics can be shared with Java programs. They are drawn in FORMAT.md.
package serde

// Serde encodes and decodes a T.
//
// Both methods may be called from several goroutines at once.
type Serde[T any] interface {
	// Name identifies the wire format, for instance "string" or "json". It is
	// durable: change it whenever old bytes can no longer be read.
	Name() string
	// Append appends the encoding of v to dst and returns the longer slice, as
	// the built-in append does. On an error dst is returned unchanged. The result
	// is never nil, even for an empty encoding: nil is null.
	Append(dst []byte, v T) ([]byte, error)
	// Decode reads the whole of src. The result must not refer to src, which may
	// be reused; see [Aliaser] for the way to avoid the copy.
	Decode(src []byte) (T, error)
}

// Aliaser is implemented by serdes that can decode without copying. The caller
// promises that src is never written to again.
type Aliaser[T any] interface {
	DecodeAlias(src []byte) (T, error)
}

// Partitioned is implemented by serdes whose records are placed by a part of
// the encoded key: windowed keys are placed by their inner key, so that all
// windows of a key share its partition.
type Partitioned interface {
	PartitionKey(encoded []byte) []byte
}

// Transcoder is implemented by serdes whose bytes have a JSON form. HTTP uses
// it to show and to accept keys and values; bytes of other serdes travel in
// base64.
type Transcoder interface {
	// AppendJSON appends the JSON form of the encoded src.
	AppendJSON(dst, src []byte) ([]byte, error)
	// FromJSON appends the encoding of a JSON text.
	FromJSON(dst, json []byte) ([]byte, error)
}

// TextParser is implemented by key serdes that accept a key as plain text, as it
// stands in a query string: "m17" for a string, "42" for an int64.
type TextParser interface {
	FromText(dst []byte, text string) ([]byte, error)
}

// IsCanonical tells whether every value of s has exactly one encoding, so that
// equal keys have equal bytes and the bytes of a key can stand for it. A serde of
// your own says so with a method Canonical() bool.
func IsCanonical(s any) bool {
	c, ok := s.(interface{ Canonical() bool })
	return ok && c.Canonical()
}
