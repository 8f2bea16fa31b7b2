package serde

import (
	"errors"

	"github.com/tidemill/tidemill/processor"
)

// Nullable returns the serde of a key or value that may be null: decoding nil
// gives the absent value, and everything else is left to s. Append of an absent
// value is an error: null has no bytes, so whoever writes a record writes null
// without asking the serde.
//
// It has the name of s, because it has the bytes of s: a topic may be read as
// nullable here and as never null there, and a store, whose shape the names are
// part of, never holds a null. It has the JSON and text forms of s, where s has
// them. The JSON form of nil is null; FromJSON of null is [ErrNull], for the
// caller to write a null.
func Nullable[T any](s Serde[T]) Serde[processor.Opt[T]] {
	base := nullable[T]{componentOf(s)}
	transcoder, hasJSON := s.(Transcoder)
	parser, hasText := s.(TextParser)
	json := nullTranscoder{Transcoder: transcoder, name: base.Name}
	switch {
	case hasJSON && hasText:
		return nullableJSONText[T]{base, json, parser}
	case hasJSON:
		return nullableJSON[T]{base, json}
	case hasText:
		return nullableText[T]{base, parser}
	}
	return base
}

// IsNullable tells whether s decodes nil to an absent value. A serde of your own
// says so with a method Nullable() bool.
func IsNullable(s any) bool {
	n, ok := s.(interface{ Nullable() bool })
	return ok && n.Nullable()
}

// nullable is a Serde, an Aliaser and Partitioned for every s. The forms over
// HTTP cannot be made up where s has none, hence the four types.
type nullable[T any] struct{ inner component[T] }

type nullableJSON[T any] struct {
	nullable[T]
	nullTranscoder
}

type nullableText[T any] struct {
	nullable[T]
	TextParser
}

type nullableJSONText[T any] struct {
	nullable[T]
	nullTranscoder
	TextParser
}

var errAppendNull = errors.New("append called for null, which has no bytes: write a null key or value instead")

func (s nullable[T]) Name() string { return s.inner.Name() }

func (s nullable[T]) Nullable() bool  { return true }
func (s nullable[T]) Canonical() bool { return IsCanonical(s.inner.Serde) }

func (s nullable[T]) Check() error { return Check(s.inner.Serde) }

func (s nullable[T]) Append(dst []byte, v processor.Opt[T]) ([]byte, error) {
	if !v.OK {
		return dst, errorf(s.Name(), "%w", errAppendNull)
	}
	return s.inner.Append(dst, v.Value)
}

func (s nullable[T]) Decode(src []byte) (processor.Opt[T], error) {
	if src == nil {
		return processor.None[T](), nil
	}
	return present(s.inner.Decode(src))
}

func (s nullable[T]) DecodeAlias(src []byte) (processor.Opt[T], error) {
	if src == nil {
		return processor.None[T](), nil
	}
	return present(s.inner.decodeAlias(src))
}

func (s nullable[T]) PartitionKey(encoded []byte) []byte { return s.inner.partitionKey(encoded) }

func present[T any](v T, err error) (processor.Opt[T], error) {
	if err != nil {
		return processor.None[T](), err
	}
	return processor.Some(v), nil
}

// nullTranscoder adds null to the JSON form of another serde.
type nullTranscoder struct {
	Transcoder
	name func() string
}

func (t nullTranscoder) AppendJSON(dst, src []byte) ([]byte, error) {
	if src == nil {
		return append(dst, "null"...), nil
	}
	return t.Transcoder.AppendJSON(dst, src)
}

func (t nullTranscoder) FromJSON(dst, json []byte) ([]byte, error) {
	if isJSONNull(json) {
		return dst, nullError(t.name())
	}
	return t.Transcoder.FromJSON(dst, json)
}
