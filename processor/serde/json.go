package serde

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"
	"unicode/utf8"
)

// JSON is the JSON text of encoding/json, compact, without escapes for HTML.
//
// Decode ignores fields that T does not have, so that a producer may add some.
// The text null is accepted only by a T that may itself be nil (pointer, map,
// slice, interface) or that reads its own JSON; elsewhere it is [ErrNull], since
// encoding/json would turn it into a zero T in silence.
//
// As a key, note that the bytes decide about identity: they follow the order of
// T's fields, and reordering or adding fields makes other keys. encoding/json
// replaces what is not valid UTF-8 in a string.
//
// Over HTTP the stored text is shown as it is, compacted and validated. A text
// that is sent in is decoded and encoded again, so that it yields the bytes that
// a Go program would have written and therefore finds the same key; there, a
// field that T does not have is an error, as it would be lost.
func JSON[T any]() Serde[T] { return jsonSerde[T]{nilable: acceptsJSONNull(reflect.TypeFor[T]())} }

type jsonSerde[T any] struct{ nilable bool }

func acceptsJSONNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

func (jsonSerde[T]) Name() string { return "json" }

// Append encodes through a pointer, so that a MarshalJSON with a pointer
// receiver is found, as its UnmarshalJSON is.
func (s jsonSerde[T]) Append(dst []byte, v T) ([]byte, error) {
	w := jsonWriters.Get().(*jsonWriter)
	out, err := w.append(dst, &v)
	if err != nil {
		return dst, errorf(s.Name(), "encode: %w", err)
	}
	return out, nil
}

func (s jsonSerde[T]) Decode(src []byte) (T, error) {
	var v T
	if src == nil || !s.nilable && isJSONNull(src) {
		return v, nullError(s.Name())
	}
	if err := json.Unmarshal(src, &v); err != nil {
		var zero T // v may be half filled
		return zero, errorf(s.Name(), "decode %d bytes: %w", len(src), err)
	}
	return v, nil
}

func (s jsonSerde[T]) AppendJSON(dst, src []byte) ([]byte, error) {
	if src == nil {
		return dst, nullError(s.Name())
	}
	if !utf8.Valid(src) {
		return dst, errorf(s.Name(), "%d bytes are not valid UTF-8 and have no JSON form", len(src))
	}
	buf := bytes.NewBuffer(dst)
	if err := json.Compact(buf, src); err != nil {
		return dst, errorf(s.Name(), "stored text: %w", err)
	}
	return buf.Bytes(), nil
}

func (s jsonSerde[T]) FromJSON(dst, text []byte) ([]byte, error) {
	if !s.nilable && isJSONNull(text) {
		return dst, nullError(s.Name())
	}
	if !json.Valid(text) || !utf8.Valid(text) {
		return dst, errorf(s.Name(), "%d bytes are not one JSON text in UTF-8", len(text))
	}
	var v T
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return dst, errorf(s.Name(), "JSON text: %w", err)
	}
	return s.Append(dst, v)
}

// jsonWriter is an encoder that writes behind a given slice. Marshal would
// allocate a slice per record only for it to be copied and dropped.
type jsonWriter struct {
	buf []byte
	enc *json.Encoder
}

var jsonWriters = sync.Pool{New: func() any {
	w := &jsonWriter{}
	w.enc = json.NewEncoder(w)
	w.enc.SetEscapeHTML(false)
	return w
}}

func (w *jsonWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	return len(p), nil
}

// append gives w back to the pool; after a panic of a user's MarshalJSON it is
// not given back, as its encoder may be in the middle of something.
func (w *jsonWriter) append(dst []byte, v any) ([]byte, error) {
	w.buf = dst
	err := w.enc.Encode(v)
	out := w.buf
	w.buf = nil
	jsonWriters.Put(w)
	if err != nil {
		return dst, err
	}
	return out[:len(out)-1], nil // Encode ends with a line feed
}
