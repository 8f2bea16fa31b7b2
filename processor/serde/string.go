package serde

import (
	"unicode/utf8"
	"unsafe"
)

// String is the text itself, with no length and no terminator; Kafka's
// StringSerializer with UTF-8. It preserves order: texts sort as their bytes do.
//
// The bytes need not be valid UTF-8 for Append and Decode. A text that is not
// valid has no JSON form: replacing the bad bytes would show two different keys
// as one.
var String Serde[string] = stringSerde{}

type stringSerde struct{}

func (stringSerde) Name() string { return "string" }

func (stringSerde) Append(dst []byte, v string) ([]byte, error) {
	return notNil(append(dst, v...)), nil
}

func (s stringSerde) Decode(src []byte) (string, error) {
	if src == nil {
		return "", nullError(s.Name())
	}
	return string(src), nil
}

func (s stringSerde) DecodeAlias(src []byte) (string, error) {
	if src == nil {
		return "", nullError(s.Name())
	}
	return unsafe.String(unsafe.SliceData(src), len(src)), nil
}

func (s stringSerde) AppendJSON(dst, src []byte) ([]byte, error) {
	if src == nil {
		return dst, nullError(s.Name())
	}
	if !utf8.Valid(src) {
		return dst, errorf(s.Name(), "%d bytes are not valid UTF-8 and have no JSON form", len(src))
	}
	return appendJSONString(dst, src), nil
}

func (s stringSerde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSON[string](s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s stringSerde) FromText(dst []byte, text string) ([]byte, error) { return s.Append(dst, text) }

// notNil keeps the encoding of an empty value apart from null: append leaves a
// nil dst nil when it has nothing to append, and nil means null to whoever stores
// the result. An empty slice costs no allocation.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Canonical implements the optional method that IsCanonical asks for.
func (stringSerde) Canonical() bool { return true }
