package serde

import "fmt"

// Tuple2 is a key of two parts, for instance a customer and an order number.
type Tuple2[A, B any] struct {
	First  A
	Second B
}

// MakeTuple2 returns the key of a and b; it spares writing the types.
func MakeTuple2[A, B any](a A, b B) Tuple2[A, B] { return Tuple2[A, B]{First: a, Second: b} }

// String formats as (first, second).
func (t Tuple2[A, B]) String() string { return fmt.Sprintf("(%v, %v)", t.First, t.Second) }

// Tuple returns the serde of a key of two parts that sorts by the first part and
// then by the second, provided that the serdes of the parts preserve order
// themselves: [String], [Bytes], [Bool], [OrderedInt64], [OrderedFloat64],
// [OrderedTime] and Tuple do; [Int64], [Int32], [Float64] and [Time] do so only
// for numbers and times that are not negative; [JSON] and windowed keys do not.
// Tuples nest: a third part is a Tuple in either place.
//
// The rows of one first part lie together, behind [TupleSerde.AppendPrefix].
// The name is "tuple(<first>,<second>)". A record is placed by the whole key.
//
// The JSON form is {"first":...,"second":...}; a part without a JSON form is
// "first_base64" or "second_base64".
func Tuple[A, B any](first Serde[A], second Serde[B]) TupleSerde[A, B] {
	return TupleSerde[A, B]{
		name:   "tuple(" + first.Name() + "," + second.Name() + ")",
		first:  componentOf(first),
		second: componentOf(second),
	}
}

// TupleSerde is the serde that [Tuple] returns; the zero value is of no use. It
// is a Serde[Tuple2[A, B]], an Aliaser and a Transcoder.
type TupleSerde[A, B any] struct {
	name   string
	first  component[A]
	second component[B]
}

// Name returns "tuple(<first>,<second>)".
func (s TupleSerde[A, B]) Name() string { return s.name }

// Check returns the error of a part that was declared wrongly.
func (s TupleSerde[A, B]) Check() error {
	if err := Check(s.first.Serde); err != nil {
		return errorf(s.name, "first: %w", err)
	}
	if err := Check(s.second.Serde); err != nil {
		return errorf(s.name, "second: %w", err)
	}
	return nil
}

// AppendPrefix appends what the encodings of all tuples with that first part
// start with, and of no other: the bounds of a prefix scan.
func (s TupleSerde[A, B]) AppendPrefix(dst []byte, first A) ([]byte, error) {
	out, err := s.first.Append(dst, first)
	if err != nil {
		return dst, errorf(s.name, "first: %w", err)
	}
	return escapeTail(out, len(dst)), nil
}

// Append appends the escaped first part and the second part.
func (s TupleSerde[A, B]) Append(dst []byte, v Tuple2[A, B]) ([]byte, error) {
	out, err := s.AppendPrefix(dst, v.First)
	if err != nil {
		return dst, err
	}
	if out, err = s.second.Append(out, v.Second); err != nil {
		return dst, errorf(s.name, "second: %w", err)
	}
	return out, nil
}

// Decode reads both parts.
func (s TupleSerde[A, B]) Decode(src []byte) (Tuple2[A, B], error) {
	return s.decode(src, s.first.Decode, s.second.Decode)
}

// DecodeAlias reads both parts without copying, where their serdes can. A first
// part that holds zero bytes is copied in any case.
func (s TupleSerde[A, B]) DecodeAlias(src []byte) (Tuple2[A, B], error) {
	return s.decode(src, s.first.decodeAlias, s.second.decodeAlias)
}

func (s TupleSerde[A, B]) decode(src []byte, first func([]byte) (A, error), second func([]byte) (B, error)) (Tuple2[A, B], error) {
	var none Tuple2[A, B]
	one, two, err := s.split(src)
	if err != nil {
		return none, err
	}
	a, err := first(one)
	if err != nil {
		return none, errorf(s.name, "first: %w", err)
	}
	b, err := second(two)
	if err != nil {
		return none, errorf(s.name, "second: %w", err)
	}
	return Tuple2[A, B]{First: a, Second: b}, nil
}

// split returns the encodings of the parts, never nil.
func (s TupleSerde[A, B]) split(src []byte) (first, second []byte, err error) {
	if src == nil {
		return nil, nil, nullError(s.name)
	}
	first, second, ok := unescape(src)
	if !ok {
		return nil, nil, errorf(s.name, "%d bytes do not start with an escaped and terminated first part", len(src))
	}
	return first, second, nil
}

// AppendJSON appends {"first":...,"second":...}.
func (s TupleSerde[A, B]) AppendJSON(dst, src []byte) ([]byte, error) {
	first, second, err := s.split(src)
	if err != nil {
		return dst, err
	}
	out := s.first.appendField(append(dst, '{'), "first", first)
	out = s.second.appendField(append(out, ','), "second", second)
	return append(out, '}'), nil
}

// FromJSON reads what AppendJSON writes.
func (s TupleSerde[A, B]) FromJSON(dst, json []byte) ([]byte, error) {
	fields, err := parseFields(s.name, json, "first", "first"+base64Suffix, "second", "second"+base64Suffix)
	if err != nil {
		return dst, err
	}
	out, err := s.first.fromField(dst, s.name, "first", fields)
	if err != nil {
		return dst, err
	}
	if out, err = s.second.fromField(escapeTail(out, len(dst)), s.name, "second", fields); err != nil {
		return dst, err
	}
	return out, nil
}
