package serde

import (
	"encoding/binary"
	"strconv"
)

// Int64 is 8 bytes, two's complement, big-endian; Kafka's LongSerializer.
// Negative numbers sort behind the others: use [OrderedInt64] for a key that is
// scanned in order. The JSON form is a number without fraction or exponent; note
// that JavaScript cuts it to 53 bits.
var Int64 Serde[int64] = int64Serde{}

type int64Serde struct{}

func (int64Serde) Name() string { return "int64" }

func (int64Serde) Append(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (s int64Serde) Decode(src []byte) (int64, error) {
	if len(src) != 8 {
		return 0, lengthError(s.Name(), src, 8)
	}
	return int64(binary.BigEndian.Uint64(src)), nil
}

func (s int64Serde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return strconv.AppendInt(dst, v, 10), nil
}

func (s int64Serde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSON[int64](s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s int64Serde) FromText(dst []byte, text string) ([]byte, error) {
	v, err := parseInt(s.Name(), text, 64)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

// parseInt reads a decimal integer of a query string.
func parseInt(name, text string, bits int) (int64, error) {
	v, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return 0, errorf(name, "key text: %w", err)
	}
	return v, nil
}

// Canonical implements the optional method that IsCanonical asks for.
func (int64Serde) Canonical() bool { return true }
