package serde

import "strconv"

// Bool is one byte, 0 or 1; Kafka's BooleanSerializer. Any other byte is an
// error: taking it for true would give one value two encodings. It preserves
// order, false before true.
var Bool Serde[bool] = boolSerde{}

type boolSerde struct{}

func (boolSerde) Name() string { return "bool" }

func (boolSerde) Append(dst []byte, v bool) ([]byte, error) {
	if v {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

func (s boolSerde) Decode(src []byte) (bool, error) {
	if len(src) != 1 {
		return false, lengthError(s.Name(), src, 1)
	}
	if src[0] > 1 {
		return false, errorf(s.Name(), "have byte 0x%02x, want 0x00 or 0x01", src[0])
	}
	return src[0] == 1, nil
}

func (s boolSerde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return strconv.AppendBool(dst, v), nil
}

func (s boolSerde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSON[bool](s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s boolSerde) FromText(dst []byte, text string) ([]byte, error) {
	switch text {
	case "true":
		return s.Append(dst, true)
	case "false":
		return s.Append(dst, false)
	}
	return dst, errorf(s.Name(), "key text %q is neither true nor false", text)
}
