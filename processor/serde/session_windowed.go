package serde

import (
	"encoding/binary"

	"github.com/tidemill/tidemill/processor"
)

// SessionWindowed returns the serde of a key in a session: the key as k writes
// it, 8 bytes of session end and 8 bytes of session start, Kafka Streams'
// layout. The end is the time of the last record, hence inclusive; a session of
// one record starts where it ends. Sessions that are negative or end before they
// start are refused both ways. The name is "session-windowed(<key>)".
//
// Placement and JSON form are those of [TimeWindowed]; FromJSON needs the end.
func SessionWindowed[K any](k Serde[K]) Serde[processor.Windowed[K]] {
	return sessionWindowed[K]{name: "session-windowed(" + k.Name() + ")", key: componentOf(k)}
}

// sessionBytes is what the end and the start of a session take.
const sessionBytes = 2 * windowBytes

type sessionWindowed[K any] struct {
	name string
	key  component[K]
}

func (s sessionWindowed[K]) Name() string { return s.name }

func (s sessionWindowed[K]) Check() error { return Check(s.key.Serde) }

func (s sessionWindowed[K]) Append(dst []byte, v processor.Windowed[K]) ([]byte, error) {
	if err := s.checkBounds(v.Start, v.End); err != nil {
		return dst, err
	}
	out, err := s.key.Append(dst, v.Key)
	if err != nil {
		return dst, errorf(s.name, "key: %w", err)
	}
	return appendSession(out, v.Start, v.End), nil
}

func appendSession(dst []byte, start, end processor.Timestamp) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(end))
	return binary.BigEndian.AppendUint64(dst, uint64(start))
}

func (s sessionWindowed[K]) checkBounds(start, end processor.Timestamp) error {
	if start < 0 || end < start {
		return errorf(s.name, "session [%d,%d] is negative or ends before it starts", start, end)
	}
	return nil
}

func (s sessionWindowed[K]) Decode(src []byte) (processor.Windowed[K], error) {
	return s.decode(src, s.key.Decode)
}

func (s sessionWindowed[K]) DecodeAlias(src []byte) (processor.Windowed[K], error) {
	return s.decode(src, s.key.decodeAlias)
}

func (s sessionWindowed[K]) decode(src []byte, decodeKey func([]byte) (K, error)) (processor.Windowed[K], error) {
	var none processor.Windowed[K]
	encoded, start, end, err := s.split(src)
	if err != nil {
		return none, err
	}
	key, err := decodeKey(encoded)
	if err != nil {
		return none, errorf(s.name, "key: %w", err)
	}
	return processor.Windowed[K]{Key: key, Start: start, End: end}, nil
}

// split returns the encoded key, never nil, and the session.
func (s sessionWindowed[K]) split(src []byte) (key []byte, start, end processor.Timestamp, err error) {
	at := len(src) - sessionBytes
	if at < 0 {
		return nil, 0, 0, shortError(s.name, src, sessionBytes)
	}
	end = processor.Timestamp(binary.BigEndian.Uint64(src[at:]))
	start = processor.Timestamp(binary.BigEndian.Uint64(src[at+windowBytes:]))
	return src[:at:at], start, end, s.checkBounds(start, end)
}

// PartitionKey returns the encoded key; see TimeWindowed's for short bytes.
func (s sessionWindowed[K]) PartitionKey(encoded []byte) []byte {
	at := len(encoded) - sessionBytes
	if at < 0 {
		return encoded
	}
	return s.key.partitionKey(encoded[:at])
}

func (s sessionWindowed[K]) AppendJSON(dst, src []byte) ([]byte, error) {
	key, start, end, err := s.split(src)
	if err != nil {
		return dst, err
	}
	return appendWindowJSON(dst, s.name, s.key, key, start, end)
}

func (s sessionWindowed[K]) FromJSON(dst, json []byte) ([]byte, error) {
	out, w, err := windowFromJSON(dst, s.name, s.key, json)
	if err != nil {
		return dst, err
	}
	if !w.hasEnd {
		return dst, errorf(s.name, "JSON text: the field %q is missing", "end")
	}
	if err := s.checkBounds(w.start, w.end); err != nil {
		return dst, err
	}
	return appendSession(out, w.start, w.end), nil
}
