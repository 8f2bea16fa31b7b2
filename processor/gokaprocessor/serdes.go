package gokaprocessor

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/gokaprocessor/gokacodec"
	"github.com/tidemill/tidemill/processor/serde"
)

// Value is the decoded value of a record, absent if the record has none.
type Value = processor.Opt[any]

// unnamedCodec is the serde name of codecs that do not tell their name. It cannot
// be the name of the Go type: that may change while the bytes stay.
const unnamedCodec = "goka-codec"

// codecName is the serde name that stands for a codec in the durable shape of a
// topology. A codec of the user's own gives one with a method Name() string.
func codecName(c goka.Codec) string {
	switch c := c.(type) {
	case *codec.String:
		return serde.String.Name()
	case *codec.Bytes:
		return serde.Bytes.Name()
	case *codec.Int64:
		return gokacodec.Int64Name
	case interface{ Name() string }:
		return c.Name()
	}
	return unnamedCodec
}

// transcoderOf gives the JSON form of what a codec encodes; nil if it has none.
func transcoderOf(c goka.Codec) serde.Transcoder {
	var s any = c
	switch c.(type) {
	case *codec.String:
		s = serde.String
	case *codec.Int64:
		s = gokacodec.Int64
	}
	t, _ := s.(serde.Transcoder)
	return t
}

// keySerde is serde.String that takes the null key for the empty one, as goka
// does. It has the name of serde.String because it has its bytes.
type keySerde struct{ textSerde }

// textSerde is all that serde.String can do.
type textSerde interface {
	serde.Serde[string]
	serde.Aliaser[string]
	serde.Transcoder
	serde.TextParser
}

var keys serde.Serde[string] = keySerde{serde.String.(textSerde)}

func (s keySerde) Decode(src []byte) (string, error) { return string(src), nil }

func (s keySerde) DecodeAlias(src []byte) (string, error) {
	if src == nil {
		return "", nil
	}
	return s.textSerde.DecodeAlias(src)
}

// Canonical implements the optional method of serde.IsCanonical. The null key is
// dropped where the bytes of a key stand for it, at the source of a table.
func (keySerde) Canonical() bool { return true }

// valueSerde decodes the values of a topic as callbacks get them.
type valueSerde struct {
	codec goka.Codec
	// decodeNil passes nil to the codec too.
	decodeNil bool
}

type valueJSON struct {
	valueSerde
	serde.Transcoder
}

func newValueSerde(c goka.Codec, nils goka.NilHandling) serde.Serde[Value] {
	s := valueSerde{codec: c, decodeNil: nils == goka.NilDecode}
	if t := transcoderOf(c); t != nil {
		return valueJSON{s, t}
	}
	return s
}

func (s valueSerde) Name() string { return codecName(s.codec) }

// Nullable implements the optional method of serde.IsNullable.
func (valueSerde) Nullable() bool { return true }

// encoded is a value that the codec has encoded already.
type encoded []byte

func (s valueSerde) Append(dst []byte, v Value) ([]byte, error) {
	if data, ok := v.Value.(encoded); ok {
		return append(nonNil(dst), data...), nil
	}
	data, err := s.codec.Encode(v.Value)
	if err != nil {
		return dst, fmt.Errorf("codec %T: %w", s.codec, err)
	}
	return append(nonNil(dst), data...), nil
}

// Decode gives the codec bytes of its own, which it, or the callback, may keep and
// change.
func (s valueSerde) Decode(src []byte) (Value, error) {
	if src == nil && !s.decodeNil {
		return Value{}, nil
	}
	v, err := s.codec.Decode(bytes.Clone(src))
	if err != nil {
		return Value{}, fmt.Errorf("codec %T: %w", s.codec, err)
	}
	return processor.Some(v), nil
}

// encodedSerde carries bytes that a codec has encoded, or will decode, under that
// codec's name: stores and sinks keep the bytes.
type encodedSerde struct {
	serde.Serde[[]byte]
	name string
}

type encodedJSON struct {
	encodedSerde
	serde.Transcoder
}

func newEncodedSerde(c goka.Codec) serde.Serde[[]byte] {
	s := encodedSerde{serde.Bytes, codecName(c)}
	if t := transcoderOf(c); t != nil {
		return encodedJSON{s, t}
	}
	return s
}

func (s encodedSerde) Name() string { return s.name }

// plainJSON is the JSON form of bytes that are a JSON text.
type plainJSON struct{}

func (plainJSON) AppendJSON(dst, src []byte) ([]byte, error) {
	if !json.Valid(src) {
		return dst, fmt.Errorf("%d bytes are no JSON text; unset Group.PersistJSON", len(src))
	}
	return append(dst, src...), nil
}

func (p plainJSON) FromJSON(dst, text []byte) ([]byte, error) { return p.AppendJSON(dst, text) }

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
