package serde

import (
	"encoding/binary"
	"math"
)

// OrderedFloat64 is 8 bytes that sort as the numbers do:
//
//	-Inf < negative < 0 < positive < +Inf < NaN
//
// IEEE 754 bits of positive numbers already sort as unsigned integers; flipping
// their sign bit moves them behind the negative ones, and flipping all bits of a
// negative number turns its magnitude round.
//
// A key must have one encoding. So -0 is written as 0, to which it is equal, and
// every NaN as one and the same; Decode refuses the other patterns. It has the
// JSON and text forms of [Float64].
var OrderedFloat64 Serde[float64] = orderedFloat64Serde{}

type orderedFloat64Serde struct{}

func (orderedFloat64Serde) Name() string { return "ordered-float64" }

func (orderedFloat64Serde) Append(dst []byte, v float64) ([]byte, error) {
	bits := math.Float64bits(v)
	switch {
	case v != v:
		bits = canonicalNaN | signBit
	case v == 0:
		bits = signBit
	case bits&signBit != 0:
		bits = ^bits
	default:
		bits |= signBit
	}
	return binary.BigEndian.AppendUint64(dst, bits), nil
}

func (s orderedFloat64Serde) Decode(src []byte) (float64, error) {
	if len(src) != 8 {
		return 0, lengthError(s.Name(), src, 8)
	}
	stored := binary.BigEndian.Uint64(src)
	bits := ^stored
	if stored&signBit != 0 {
		bits = stored &^ signBit
	}
	v := math.Float64frombits(bits)
	if v != v && bits != canonicalNaN || v == 0 && bits != 0 {
		return 0, errorf(s.Name(), "0x%016x is a second encoding of %v", stored, v)
	}
	return v, nil
}

func (s orderedFloat64Serde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return appendJSONFloat(dst, v), nil
}

func (s orderedFloat64Serde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSONFloat(s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s orderedFloat64Serde) FromText(dst []byte, text string) ([]byte, error) {
	v, err := parseFloat(s.Name(), text)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}
