package serde

import (
	"encoding/binary"
	"strconv"
	"time"
)

// signBit is flipped in two's complement integers so that unsigned comparison
// of the bytes, which is how every store sorts, agrees with the numbers: the
// negative ones start with a 1 bit and would sort last.
const signBit = 1 << 63

// OrderedInt64 is 8 bytes that sort as the numbers do: big-endian two's
// complement with the sign bit flipped. It has the JSON and text forms of
// [Int64].
var OrderedInt64 Serde[int64] = orderedInt64Serde{}

type orderedInt64Serde struct{}

func (orderedInt64Serde) Name() string { return "ordered-int64" }

func (orderedInt64Serde) Append(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^signBit), nil
}

func (s orderedInt64Serde) Decode(src []byte) (int64, error) {
	if len(src) != 8 {
		return 0, lengthError(s.Name(), src, 8)
	}
	return int64(binary.BigEndian.Uint64(src) ^ signBit), nil
}

func (s orderedInt64Serde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return strconv.AppendInt(dst, v, 10), nil
}

func (s orderedInt64Serde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSON[int64](s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s orderedInt64Serde) FromText(dst []byte, text string) ([]byte, error) {
	v, err := parseInt(s.Name(), text, 64)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

// OrderedTime is 8 bytes that sort as the instants do, also before 1970:
// milliseconds since the Unix epoch as [OrderedInt64] writes them. What it cuts,
// and its JSON and text forms, are those of [Time].
var OrderedTime Serde[time.Time] = orderedTimeSerde{}

type orderedTimeSerde struct{}

func (orderedTimeSerde) Name() string { return "ordered-time" }

func (s orderedTimeSerde) Append(dst []byte, v time.Time) ([]byte, error) {
	ms, err := unixMilli(s.Name(), v)
	if err != nil {
		return dst, err
	}
	return binary.BigEndian.AppendUint64(dst, uint64(ms)^signBit), nil
}

func (s orderedTimeSerde) Decode(src []byte) (time.Time, error) {
	if len(src) != 8 {
		return time.Time{}, lengthError(s.Name(), src, 8)
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(src) ^ signBit)).UTC(), nil
}

func (s orderedTimeSerde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return appendJSONTime(dst, s.Name(), v)
}

func (s orderedTimeSerde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSONTime(s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s orderedTimeSerde) FromText(dst []byte, text string) ([]byte, error) {
	v, err := parseTime(s.Name(), text)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}
