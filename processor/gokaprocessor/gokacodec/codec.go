package gokacodec

import (
	"fmt"

	"github.com/tidemill/tidemill/processor/serde"
)

// Codec turns a value into bytes and back. It has the methods of goka.Codec, so
// that either can be used as the other.
type Codec interface {
	Encode(value any) ([]byte, error)
	Decode(data []byte) (any, error)
}

// Serde makes a serde of a codec whose values are of type T. The name is durable,
// as that of any serde. The codec may be called from several goroutines at once.
//
// A codec may keep the bytes it decodes, and be given back what it has encoded:
// both are copied. The serde has a JSON form, which queries show, if the codec is
// a serde.Transcoder; see also [Int64] and serde.String.
func Serde[T any](name string, c Codec) serde.Serde[T] {
	s := codecSerde[T]{name: name, codec: c}
	if t, ok := c.(serde.Transcoder); ok {
		return codecJSON[T]{s, t}
	}
	return s
}

type codecSerde[T any] struct {
	name  string
	codec Codec
}

type codecJSON[T any] struct {
	codecSerde[T]
	serde.Transcoder
}

func (s codecSerde[T]) Name() string { return s.name }

func (s codecSerde[T]) Append(dst []byte, v T) ([]byte, error) {
	data, err := s.codec.Encode(v)
	if err != nil {
		return dst, fmt.Errorf("codec %T: encode a %T: %w", s.codec, v, err)
	}
	if dst == nil {
		dst = []byte{}
	}
	return append(dst, data...), nil
}

func (s codecSerde[T]) Decode(src []byte) (v T, err error) {
	if src == nil {
		return v, fmt.Errorf("%s: %w", s.name, serde.ErrNull)
	}
	decoded, err := s.codec.Decode(append([]byte{}, src...))
	if err != nil {
		return v, fmt.Errorf("codec %T: %w", s.codec, err)
	}
	v, ok := decoded.(T)
	if !ok {
		return v, fmt.Errorf("codec %T decoded a %T, which is no %T", s.codec, decoded, v)
	}
	return v, nil
}

// Check implements the optional method of serde.Check.
func (s codecSerde[T]) Check() error {
	if s.codec == nil {
		return fmt.Errorf("serde %s has no codec; pass one to gokacodec.Serde", s.name)
	}
	return nil
}
