package gokacodec

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tidemill/tidemill/processor/serde"
)

// Int64 is a number as decimal text: the bytes of goka's codec.Int64. (The bytes
// of goka's codec.String and codec.Bytes are those of serde.String and
// serde.Bytes.) The JSON form is a number.
//
// Other texts of a number, such as "+7" or "007", decode as they do in goka, so
// the encoding is not canonical and Int64 is no serde for keys.
var Int64 serde.Serde[int64] = decimal{}

type decimal struct{}

// Int64Name is the name of the serde Int64. It is durable.
const Int64Name = "goka-int64"

func (decimal) Name() string { return Int64Name }

func (decimal) Append(dst []byte, v int64) ([]byte, error) {
	return strconv.AppendInt(dst, v, 10), nil
}

func (decimal) Decode(src []byte) (int64, error) {
	if src == nil {
		return 0, fmt.Errorf("%s: %w", Int64Name, serde.ErrNull)
	}
	v, err := strconv.ParseInt(string(src), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", Int64Name, err)
	}
	return v, nil
}

func (s decimal) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return strconv.AppendInt(dst, v, 10), nil
}

func (s decimal) FromJSON(dst, text []byte) ([]byte, error) {
	var v *int64
	if err := json.Unmarshal(text, &v); err != nil {
		return dst, fmt.Errorf("%s: JSON text: %w", Int64Name, err)
	}
	if v == nil {
		return dst, fmt.Errorf("%s: %w", Int64Name, serde.ErrNull)
	}
	return s.Append(dst, *v)
}
