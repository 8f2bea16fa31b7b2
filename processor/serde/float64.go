package serde

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// Float64 is 8 bytes, IEEE 754, big-endian; Kafka's DoubleSerializer. Every NaN
// is written as the one that Java writes, so that equal keys have equal bytes in
// both languages; 0 and -0 stay apart, as they do in Java. Negative numbers sort
// behind the others: use [OrderedFloat64] for a key that is scanned in order.
//
// The JSON form is a number, or one of the strings "NaN", "Infinity" and
// "-Infinity", which JSON has no numbers for.
var Float64 Serde[float64] = float64Serde{}

type float64Serde struct{}

// canonicalNaN is the bit pattern of Java's Double.NaN. Go's math.NaN() has
// another one.
const canonicalNaN = 0x7ff8_0000_0000_0000

func (float64Serde) Name() string { return "float64" }

func (float64Serde) Append(dst []byte, v float64) ([]byte, error) {
	bits := math.Float64bits(v)
	if v != v {
		bits = canonicalNaN
	}
	return binary.BigEndian.AppendUint64(dst, bits), nil
}

func (s float64Serde) Decode(src []byte) (float64, error) {
	if len(src) != 8 {
		return 0, lengthError(s.Name(), src, 8)
	}
	return math.Float64frombits(binary.BigEndian.Uint64(src)), nil
}

func (s float64Serde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return appendJSONFloat(dst, v), nil
}

func (s float64Serde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSONFloat(s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s float64Serde) FromText(dst []byte, text string) ([]byte, error) {
	v, err := parseFloat(s.Name(), text)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

// appendJSONFloat writes the shortest text that reads back as v. Like
// encoding/json it uses an exponent only where plain digits would be long.
func appendJSONFloat(dst []byte, v float64) []byte {
	switch abs := math.Abs(v); {
	case v != v:
		return append(dst, `"NaN"`...)
	case v > math.MaxFloat64:
		return append(dst, `"Infinity"`...)
	case v < -math.MaxFloat64:
		return append(dst, `"-Infinity"`...)
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// parseJSONFloat reads what appendJSONFloat writes, and any JSON number.
func parseJSONFloat(name string, json []byte) (float64, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(json), []byte{'"'}) {
		return parseJSON[float64](name, json)
	}
	text, err := parseJSON[string](name, json)
	if err != nil {
		return 0, err
	}
	switch text {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	return 0, errorf(name, "JSON string %q is none of NaN, Infinity and -Infinity", text)
}

// parseFloat reads a number of a query string, NaN and Infinity included.
func parseFloat(name, text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errorf(name, "key text: %w", err)
	}
	return v, nil
}
