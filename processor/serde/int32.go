package serde

import (
	"encoding/binary"
	"strconv"
)

// Int32 is 4 bytes, two's complement, big-endian; Kafka's IntegerSerializer.
// Negative numbers sort behind the others. The JSON form is a number without
// fraction or exponent.
var Int32 Serde[int32] = int32Serde{}

type int32Serde struct{}

func (int32Serde) Name() string { return "int32" }

func (int32Serde) Append(dst []byte, v int32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(dst, uint32(v)), nil
}

func (s int32Serde) Decode(src []byte) (int32, error) {
	if len(src) != 4 {
		return 0, lengthError(s.Name(), src, 4)
	}
	return int32(binary.BigEndian.Uint32(src)), nil
}

func (s int32Serde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return strconv.AppendInt(dst, int64(v), 10), nil
}

func (s int32Serde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSON[int32](s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s int32Serde) FromText(dst []byte, text string) ([]byte, error) {
	v, err := parseInt(s.Name(), text, 32)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, int32(v))
}

// Canonical implements the optional method that IsCanonical asks for.
func (int32Serde) Canonical() bool { return true }
