package serde

import (
	"encoding/base64"
	"encoding/json"
)

// component is the serde of one part of a composite key, with what it can do
// besides looked up once, when the composite is built.
//
// Composites offer Aliaser and Partitioned always and fall back to copying and
// to the whole key. That is correct for every caller, whereas a type per
// combination of abilities would double with each of them.
type component[T any] struct {
	Serde[T]
	aliaser     Aliaser[T]  // nil if the serde only copies
	partitioned Partitioned // nil if records are placed by the whole encoding
	transcoder  Transcoder  // nil if the bytes have no JSON form
}

func componentOf[T any](s Serde[T]) component[T] {
	c := component[T]{Serde: s}
	c.aliaser, _ = s.(Aliaser[T])
	c.partitioned, _ = s.(Partitioned)
	c.transcoder, _ = s.(Transcoder)
	return c
}

func (c component[T]) decodeAlias(src []byte) (T, error) {
	if c.aliaser == nil {
		return c.Decode(src)
	}
	return c.aliaser.DecodeAlias(src)
}

func (c component[T]) partitionKey(encoded []byte) []byte {
	if c.partitioned == nil || encoded == nil {
		return encoded
	}
	return c.partitioned.PartitionKey(encoded)
}

// base64Suffix marks a field whose bytes have no JSON form.
const base64Suffix = "_base64"

// appendField appends `"field":json`. Bytes without a JSON form, be it that the
// serde has none or that these very bytes have none, become
// `"field_base64":"..."`.
func (c component[T]) appendField(dst []byte, field string, src []byte) []byte {
	mark := len(dst)
	if c.transcoder != nil {
		dst = append(append(append(dst, '"'), field...), `":`...)
		out, err := c.transcoder.AppendJSON(dst, src)
		if err == nil {
			return out
		}
	}
	dst = append(append(append(dst[:mark], '"'), field...), base64Suffix+`":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, src), '"')
}

// fromField appends the encoding of the field, in either of its forms.
func (c component[T]) fromField(dst []byte, name, field string, fields map[string]json.RawMessage) ([]byte, error) {
	text, plain := fields[field]
	coded, inBase64 := fields[field+base64Suffix]
	switch {
	case plain == inBase64:
		return dst, errorf(name, "JSON text: want exactly one of the fields %q and %q", field, field+base64Suffix)
	case inBase64:
		return c.fromBase64(dst, name, field+base64Suffix, coded)
	case c.transcoder == nil:
		return dst, errorf(name, "JSON text: serde %s has no JSON form, want the field %q", c.Name(), field+base64Suffix)
	}
	out, err := c.transcoder.FromJSON(dst, text)
	if err != nil {
		return dst, errorf(name, "JSON field %q: %w", field, err)
	}
	return out, nil
}

// fromBase64 decodes the bytes once, so that no key is made of bytes which the
// serde could not have written.
func (c component[T]) fromBase64(dst []byte, name, field string, coded json.RawMessage) ([]byte, error) {
	text, err := parseJSON[string](name, coded)
	if err != nil {
		return dst, err
	}
	src, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return dst, errorf(name, "JSON field %q: %w", field, err)
	}
	v, err := c.Decode(notNil(src))
	if err != nil {
		return dst, errorf(name, "JSON field %q: %w", field, err)
	}
	out, err := c.Append(dst, v)
	if err != nil {
		return dst, errorf(name, "JSON field %q: %w", field, err)
	}
	return out, nil
}

// parseFields reads a JSON object. A field that is not known is an error: it is
// a slip of the pen, and ignoring it would look up another key.
func parseFields(name string, text []byte, known ...string) (map[string]json.RawMessage, error) {
	fields, err := parseJSON[map[string]json.RawMessage](name, text)
	if err != nil {
		return nil, err
	}
	allowed := make(map[string]bool, len(known))
	for _, k := range known {
		allowed[k] = true
	}
	for k := range fields {
		if !allowed[k] {
			return nil, errorf(name, "JSON text: unknown field %q, want some of %q", k, known)
		}
	}
	return fields, nil
}
