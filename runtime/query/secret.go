package query

import (
	"fmt"
	"log/slog"
)

// Secret is a text that shows itself only to [Secret.Reveal]. Printing it,
// encoding it as JSON or text and logging it give "***".
//
// The text lies behind a pointer, because fmt does not call methods on
// unexported fields: a struct that holds a Secret and is printed with %+v shows
// an address. The zero Secret is empty.
type Secret struct{ text *string }

const redacted = "***"

// NewSecret makes a Secret of a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
