package serde_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
)

// encode appends v to nothing.
func encode[T any](t testing.TB, s serde.Serde[T], v T) []byte {
	t.Helper()
	b, err := s.Append(nil, v)
	if err != nil {
		t.Fatalf("%s: Append(%v): %v", s.Name(), v, err)
	}
	return b
}

// wantHex pins the bytes of v: they are a contract with other programs.
func wantHex[T any](t *testing.T, s serde.Serde[T], v T, want string) {
	t.Helper()
	want = strings.ReplaceAll(want, " ", "")
	if got := hex.EncodeToString(encode(t, s, v)); got != want {
		t.Errorf("%s: %v is encoded as %s, want %s", s.Name(), v, got, want)
	}
}

// wantJSON pins the JSON form of v.
func wantJSON[T any](t *testing.T, s serde.Serde[T], v T, want string) {
	t.Helper()
	got, err := any(s).(serde.Transcoder).AppendJSON(nil, encode(t, s, v))
	if err != nil || string(got) != want {
		t.Errorf("%s: JSON of %v is %s, %v, want %s", s.Name(), v, got, err, want)
	}
}

// wantDecodeError wants an error that holds all of the parts.
func wantDecodeError[T any](t *testing.T, s serde.Serde[T], src []byte, parts ...string) {
	t.Helper()
	_, err := s.Decode(src)
	wantError(t, err, append(parts, s.Name())...)
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one about %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// refusesJSON wants an error, and dst as it was, for each of the texts.
func refusesJSON[T any](t *testing.T, s serde.Serde[T], texts ...string) {
	t.Helper()
	for _, text := range texts {
		out, err := any(s).(serde.Transcoder).FromJSON([]byte("dst"), []byte(text))
		if err == nil || !bytes.Equal(out, []byte("dst")) {
			t.Errorf("%s: FromJSON(%s) = %q, %v, want an error and dst", s.Name(), text, out, err)
		}
	}
}

// wantText wants the key text to give the bytes of v.
func wantText[T any](t *testing.T, s serde.Serde[T], text string, v T) {
	t.Helper()
	got, err := any(s).(serde.TextParser).FromText(nil, text)
	if err != nil || !bytes.Equal(got, encode(t, s, v)) {
		t.Errorf("%s: FromText(%q) = %x, %v, want the bytes of %v", s.Name(), text, got, err, v)
	}
}

func refusesText[T any](t *testing.T, s serde.Serde[T], texts ...string) {
	t.Helper()
	for _, text := range texts {
		if out, err := any(s).(serde.TextParser).FromText([]byte("dst"), text); err == nil || string(out) != "dst" {
			t.Errorf("%s: FromText(%q) = %q, %v, want an error and dst", s.Name(), text, out, err)
		}
	}
}

// wantNull wants JSON null to be refused as null.
func wantNull[T any](t *testing.T, s serde.Serde[T]) {
	t.Helper()
	if _, err := any(s).(serde.Transcoder).FromJSON(nil, []byte(" null ")); !errors.Is(err, serde.ErrNull) {
		t.Errorf("%s: FromJSON(null) = %v, want ErrNull", s.Name(), err)
	}
}
