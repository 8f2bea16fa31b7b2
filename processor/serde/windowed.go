package serde

import (
	"encoding/binary"
	"time"

	"github.com/tidemill/tidemill/processor"
)

// TimeWindowed returns the serde of a key in a time window: the key as k writes
// it and 8 bytes of window start, Kafka Streams' layout. The end is not stored:
// End = Start + size. So a topic must be read with the size it was written with,
// and the size is part of the name, "time-windowed(<key>,<size>)".
//
// A size that is not a positive number of whole milliseconds is the error of
// [Check] and of every method. Append refuses a window of another size, whose
// end would change on the way through the bytes; an End of 0, which no window
// has, means "as the size says".
//
// Records are placed by the bytes of the key alone. The JSON form is
// {"key":...,"start":"...","end":"..."} with RFC 3339 times; a key without a
// JSON form is "key_base64". FromJSON may leave out the end.
func TimeWindowed[K any](k Serde[K], size time.Duration) Serde[processor.Windowed[K]] {
	s := timeWindowed[K]{
		name: "time-windowed(" + k.Name() + "," + size.String() + ")",
		key:  componentOf(k),
		size: processor.Timestamp(size.Milliseconds()),
	}
	if size <= 0 || size%time.Millisecond != 0 {
		s.err = errorf(s.name, "window size %v is not a positive number of whole milliseconds", size)
	}
	return s
}

// windowBytes is what a window start or end takes.
const windowBytes = 8

type timeWindowed[K any] struct {
	name string
	key  component[K]
	size processor.Timestamp // milliseconds
	err  error               // of the declaration
}

func (s timeWindowed[K]) Name() string { return s.name }

func (s timeWindowed[K]) Check() error {
	if s.err != nil {
		return s.err
	}
	return Check(s.key.Serde)
}

func (s timeWindowed[K]) Append(dst []byte, v processor.Windowed[K]) ([]byte, error) {
	end, err := s.end(v.Start)
	if err != nil {
		return dst, err
	}
	if v.End != 0 && v.End != end {
		return dst, errorf(s.name, "window [%d,%d) is not of size %d ms: declare the serde with the size of the windows", v.Start, v.End, s.size)
	}
	out, err := s.key.Append(dst, v.Key)
	if err != nil {
		return dst, errorf(s.name, "key: %w", err)
	}
	return binary.BigEndian.AppendUint64(out, uint64(v.Start)), nil
}

func (s timeWindowed[K]) Decode(src []byte) (processor.Windowed[K], error) {
	return s.decode(src, s.key.Decode)
}

func (s timeWindowed[K]) DecodeAlias(src []byte) (processor.Windowed[K], error) {
	return s.decode(src, s.key.decodeAlias)
}

func (s timeWindowed[K]) decode(src []byte, decodeKey func([]byte) (K, error)) (processor.Windowed[K], error) {
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

// split returns the encoded key, never nil, and the window.
func (s timeWindowed[K]) split(src []byte) (key []byte, start, end processor.Timestamp, err error) {
	at := len(src) - windowBytes
	if at < 0 {
		return nil, 0, 0, shortError(s.name, src, windowBytes)
	}
	start = processor.Timestamp(binary.BigEndian.Uint64(src[at:]))
	end, err = s.end(start)
	return src[:at:at], start, end, err
}

// end also refuses the starts that no window has: garbage is told from keys.
func (s timeWindowed[K]) end(start processor.Timestamp) (processor.Timestamp, error) {
	if s.err != nil {
		return 0, s.err
	}
	if start < 0 || start+s.size < start {
		return 0, errorf(s.name, "window start %d ms is negative or too far ahead", start)
	}
	return start + s.size, nil
}

// PartitionKey returns the encoded key. Bytes too short to be a windowed key are
// returned as they are: placing them is not the moment to find out.
func (s timeWindowed[K]) PartitionKey(encoded []byte) []byte {
	at := len(encoded) - windowBytes
	if at < 0 {
		return encoded
	}
	return s.key.partitionKey(encoded[:at])
}

func (s timeWindowed[K]) AppendJSON(dst, src []byte) ([]byte, error) {
	key, start, end, err := s.split(src)
	if err != nil {
		return dst, err
	}
	return appendWindowJSON(dst, s.name, s.key, key, start, end)
}

func (s timeWindowed[K]) FromJSON(dst, json []byte) ([]byte, error) {
	out, w, err := windowFromJSON(dst, s.name, s.key, json)
	if err != nil {
		return dst, err
	}
	end, err := s.end(w.start)
	if err != nil {
		return dst, err
	}
	if w.hasEnd && w.end != end {
		return dst, errorf(s.name, "JSON text: window [%d,%d) is not of size %d ms", w.start, w.end, s.size)
	}
	return binary.BigEndian.AppendUint64(out, uint64(w.start)), nil
}
