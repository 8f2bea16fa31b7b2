package query

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/processor/serde"
)

// Encoding says how a key is written in a request.
type Encoding string

const (
	// EncodingText is a key as its serde parses text: m17, 42.
	EncodingText Encoding = "text"
	// EncodingBase64 is the encoded key; both alphabets, padded or not.
	EncodingBase64 Encoding = "b64"
	// EncodingJSON is the JSON form of the key: "m17", {"key":"m17","start":...}.
	EncodingJSON Encoding = "json"
)

// codec shows and reads the bytes of one serde. A nil serde, that of a topic
// which the topology does not declare, has base64 only.
type codec struct {
	name       string
	transcoder serde.Transcoder // nil: no JSON form
	parser     serde.TextParser // nil: no text form
	nullable   bool
}

func codecOf(name string, s any) codec {
	c := codec{name: name, nullable: s == nil || serde.IsNullable(s)}
	c.transcoder, _ = s.(serde.Transcoder)
	c.parser, _ = s.(serde.TextParser)
	return c
}

// encoding chooses how keys of a request are read: enc, or what suits the serde.
func (c codec) encoding(enc string) (Encoding, error) {
	switch e := Encoding(enc); {
	case e == "" && c.parser != nil:
		return EncodingText, nil
	case e == "" || e == EncodingBase64:
		return EncodingBase64, nil
	case e == EncodingText && c.parser != nil, e == EncodingJSON && c.transcoder != nil:
		return e, nil
	case e == EncodingText || e == EncodingJSON:
		return "", badParameter("enc", fmt.Sprintf("keys of serde %s have no form as %s: use b64", c.name, e))
	}
	return "", badParameter("enc", "want text, b64 or json")
}

// parse encodes a key of a request. The result is never nil.
func (c codec) parse(enc Encoding, text string) ([]byte, error) {
	switch enc {
	case EncodingText:
		return c.parser.FromText([]byte{}, text)
	case EncodingJSON:
		return c.transcoder.FromJSON([]byte{}, []byte(text))
	}
	return parseBase64(text)
}

// parseJSONKey encodes one element of a batch get: a JSON string holds the text
// or the base64; as text a number stands for itself.
func (c codec) parseJSONKey(enc Encoding, raw json.RawMessage) ([]byte, error) {
	if enc == EncodingJSON {
		return c.parse(enc, string(raw))
	}
	var text string
	if err := json.Unmarshal(raw, &text); err == nil && string(raw) != "null" {
		return c.parse(enc, text)
	}
	var number json.Number
	if err := json.Unmarshal(raw, &number); err == nil && enc == EncodingText && number != "" {
		return c.parse(enc, number.String())
	}
	return nil, fmt.Errorf("want a JSON string")
}

// urlToStd also undoes what a query string does to a plus sign.
var urlToStd = strings.NewReplacer("-", "+", "_", "/", " ", "+")

func parseBase64(text string) ([]byte, error) {
	out, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(urlToStd.Replace(text), "="))
	if err != nil {
		return nil, errors.New("not valid base64")
	}
	if out == nil {
		out = []byte{}
	}
	return out, nil
}

// appendField appends `"field":json`, null included, or, where the bytes have no
// JSON form, `"field_base64":"..."`. What a user's transcoder returns is checked,
// because bad JSON would spoil the whole answer and not only its own field.
func (c codec) appendField(dst []byte, field string, src []byte) []byte {
	mark := len(dst)
	dst = append(append(append(dst, '"'), field...), '"', ':')
	if src == nil {
		return append(dst, "null"...)
	}
	if c.transcoder != nil {
		value := len(dst)
		if out, err := c.transcoder.AppendJSON(dst, src); err == nil && json.Valid(out[value:]) {
			return out
		}
	}
	dst = append(append(append(dst[:mark], '"'), field...), `_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, src), '"')
}

// read encodes a field of a record to append, which came as JSON or in base64.
// An absent or null field is null, where null is allowed.
func (c codec) read(field string, plain json.RawMessage, coded *string) ([]byte, error) {
	switch {
	case plain != nil && coded != nil:
		return nil, fmt.Errorf("want %s or %s_base64, not both", field, field)
	case coded != nil:
		return c.readBase64(field, *coded)
	case plain == nil || c.nullable && string(plain) == "null":
		if !c.nullable {
			return nil, fmt.Errorf("%s is missing, and serde %s is never null", field, c.name)
		}
		return nil, nil
	case c.transcoder == nil:
		return nil, fmt.Errorf("%s has no JSON form here: send %s_base64", field, field)
	}
	out, err := c.transcoder.FromJSON([]byte{}, plain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return out, nil
}

// readBase64 lets a serde with a JSON form try the bytes: a record that no
// consumer can decode is better refused than appended.
func (c codec) readBase64(field, coded string) ([]byte, error) {
	out, err := parseBase64(coded)
	if err != nil {
		return nil, fmt.Errorf("%s_base64: %w", field, err)
	}
	if c.transcoder != nil {
		if _, err := c.transcoder.AppendJSON(nil, out); err != nil {
			return nil, fmt.Errorf("%s_base64: %w", field, err)
		}
	}
	return out, nil
}
