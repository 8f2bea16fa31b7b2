package serde

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// parseJSON reads one JSON text into a T that is never null. It decodes through
// a pointer because encoding/json leaves a plain T untouched when it meets null,
// and a null would turn into a zero in silence.
func parseJSON[T any](name string, text []byte) (T, error) {
	var zero T
	if !utf8.Valid(text) {
		return zero, errorf(name, "JSON text is not valid UTF-8")
	}
	var p *T
	if err := json.Unmarshal(text, &p); err != nil {
		return zero, errorf(name, "JSON text: %w", err)
	}
	if p == nil {
		return zero, nullError(name)
	}
	return *p, nil
}

// appendJSONString quotes valid UTF-8. Nearly all keys are plain ASCII and need
// no escapes; the rest is left to encoding/json.
func appendJSONString(dst, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return appendEscaped(dst, text)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}

func appendEscaped(dst, text []byte) []byte {
	w := jsonWriters.Get().(*jsonWriter)
	dst, _ = w.append(dst, string(text)) // a string cannot fail to encode
	return dst
}

// isJSONNull tells the text null, blanks around it allowed.
func isJSONNull(text []byte) bool { return string(bytes.TrimSpace(text)) == "null" }
