package recordbatch

import (
	"errors"
	"fmt"
)

var (
	// ErrShort: the bytes end before the batch does. At the end of a fetch reply
	// or of a segment being written this is ordinary: ignore the tail, or read on
	// and parse again.
	ErrShort = errors.New("record batch is cut off")
	// ErrCorrupt is matched by every *CorruptError.
	ErrCorrupt = errors.New("record batch is damaged")
)

// CorruptError says what in a batch makes no sense. More bytes would not help:
// read the batch again from another copy, or skip to the next one.
type CorruptError struct {
	// BaseOffset of the batch as its header says, which may itself be damaged.
	BaseOffset int64
	// Record is the index of the record in the batch, -1 for the batch itself.
	Record int
	Reason string
	// Cause is the codec's own error, nil if there is none.
	Cause error
}

// Error names the base offset, and the record index if there is one.
func (e *CorruptError) Error() string {
	at := fmt.Sprintf("record batch at base offset %d", e.BaseOffset)
	if e.Record >= 0 {
		at = fmt.Sprintf("record %d of the batch at base offset %d", e.Record, e.BaseOffset)
	}
	if e.Cause != nil {
		return fmt.Sprintf("%s is damaged: %s: %v", at, e.Reason, e.Cause)
	}
	return fmt.Sprintf("%s is damaged: %s", at, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) hold.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the codec's error.
func (e *CorruptError) Unwrap() error { return e.Cause }

func corruptBatch(baseOffset int64, format string, args ...any) error {
	return &CorruptError{BaseOffset: baseOffset, Record: -1, Reason: fmt.Sprintf(format, args...)}
}
