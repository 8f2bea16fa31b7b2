package serde

// Bytes is the bytes themselves; Kafka's ByteArraySerializer. It preserves
// order.
//
// A nil slice is encoded as an empty one: null is a matter of the type, see
// [Nullable]. Decode never returns nil. Bytes has no JSON form; over HTTP they
// travel in base64.
var Bytes Serde[[]byte] = bytesSerde{}

type bytesSerde struct{}

func (bytesSerde) Name() string { return "bytes" }

func (bytesSerde) Append(dst []byte, v []byte) ([]byte, error) {
	return notNil(append(dst, v...)), nil
}

func (s bytesSerde) Decode(src []byte) ([]byte, error) {
	if src == nil {
		return nil, nullError(s.Name())
	}
	return append(make([]byte, 0, len(src)), src...), nil
}

// DecodeAlias cuts the capacity, so that appending to the result cannot reach
// the bytes behind it.
func (s bytesSerde) DecodeAlias(src []byte) ([]byte, error) {
	if src == nil {
		return nil, nullError(s.Name())
	}
	return src[:len(src):len(src)], nil
}

// Canonical implements the optional method that IsCanonical asks for.
func (bytesSerde) Canonical() bool { return true }
