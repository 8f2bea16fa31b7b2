package serde

import (
	"errors"
	"fmt"
)

// ErrNull is returned, wrapped with the name of the serde, when null (a nil
// slice, or the JSON text null) meets a type that is never null. The next step
// is to declare the key or value with [Nullable], or to find the producer of the
// null. Empty bytes are not null.
var ErrNull = errors.New("null, but the type is never null (see serde.Nullable)")

// errorf names the serde in front of what went wrong. The caller of a serde
// knows topic, partition and offset, and adds them.
func errorf(name, format string, args ...any) error {
	return fmt.Errorf("serde %s: %w", name, fmt.Errorf(format, args...))
}

func nullError(name string) error { return fmt.Errorf("serde %s: %w", name, ErrNull) }

// lengthError reports src, whose length is not the one that the format fixes.
func lengthError(name string, src []byte, want int) error {
	if src == nil {
		return nullError(name)
	}
	return errorf(name, "have %d bytes, want %d", len(src), want)
}

// shortError reports src, which is shorter than the fixed part of the format.
func shortError(name string, src []byte, least int) error {
	if src == nil {
		return nullError(name)
	}
	return errorf(name, "have %d bytes, want at least %d", len(src), least)
}
