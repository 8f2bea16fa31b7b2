package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// Rows of a join lie in slices of time, and under their key in each, so that a
// lookup reads one range per slice and expiry deletes whole slices. Beside them
// lies an entry without a value for every row that waits, by time and key.
// FORMAT.md draws both.
const (
	joinRowsPart  = 0
	joinWaitsPart = 1
	joinStamp     = timeBytes + seqBytes // behind the key of a row
	leastSlice    = 1024
)

// JoinSlice is the length of the slices of a join whose records meet within a span
// of that length: a power of two, so that the window of a join may change without
// a change of the layout, and at least half the span, so that a lookup touches
// three slices at most.
func JoinSlice(span time.Duration) time.Duration {
	ms := max(leastSlice, (uint64(max(0, span.Milliseconds()))+2)/2)
	return time.Duration(uint64(1)<<bits.Len64(ms-1)) * time.Millisecond
}

// HasJoinRows says that rows of the kind lie as those of a join do.
func (k Kind) HasJoinRows() bool { return k == KindJoin || k == KindHeld }

// sliceOf is the start of the slice that a time lies in.
func (s Spec) sliceOf(time int64) int64 { return time &^ (s.WindowSize.Milliseconds() - 1) }

// How a row of a join waits, as its stored value begins.
const (
	joinNeverWaited byte = iota
	joinWaits
	joinHasWaited
)

// AppendJoinKey appends the engine key of a row of a join.
func (s Spec) AppendJoinKey(dst []byte, id uint16, time int64, sequence uint32, key []byte) []byte {
	dst = s.appendJoinPrefix(dst, id, s.sliceOf(time), key)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, uint64(time)), sequence)
}

// appendJoinPrefix appends the beginning of the keys of all rows of a key in a
// slice.
func (s Spec) appendJoinPrefix(dst []byte, id uint16, slice int64, key []byte) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, id), joinRowsPart)
	return append(binary.BigEndian.AppendUint64(dst, uint64(slice)), key...)
}

// AppendWaitKey appends the engine key of the entry of a row that waits.
func AppendWaitKey(dst []byte, id uint16, time int64, sequence uint32, key []byte) []byte {
	dst = append(appendWaitPrefix(dst, id, time, key), 0, waitKeyEnd)
	return binary.BigEndian.AppendUint32(dst, sequence)
}

// appendWaitPrefix appends the beginning of the entries of a key and time. The key
// is written so that entries sort as the keys do, also where one begins with
// another: a zero byte is followed by a mark that is larger than that of the end.
func appendWaitPrefix(dst []byte, id uint16, time int64, key []byte) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, id), joinWaitsPart)
	dst = binary.BigEndian.AppendUint64(dst, uint64(time))
	for zero := bytes.IndexByte(key, 0); zero >= 0; zero = bytes.IndexByte(key, 0) {
		dst = append(append(dst, key[:zero+1]...), waitKeyZero)
		key = key[zero+1:]
	}
	return append(dst, key...)
}

const (
	waitKeyEnd  = 0x01
	waitKeyZero = 0xff
)

// splitWaitKey takes an entry apart. The key is a copy.
func splitWaitKey(entry []byte) (time int64, key []byte, err error) {
	const head = idBytes + 1 + timeBytes
	end := len(entry) - seqBytes - 2
	if end < head || entry[idBytes] != joinWaitsPart || entry[end] != 0 || entry[end+1] != waitKeyEnd {
		return 0, nil, fmt.Errorf("entry of a waiting row has a malformed key of %d bytes", len(entry))
	}
	for rest := entry[head:end]; len(rest) > 0; {
		n := bytes.IndexByte(rest, 0) + 1
		switch {
		case n == 0:
			n = len(rest)
		case n == len(rest) || rest[n] != waitKeyZero:
			return 0, nil, fmt.Errorf("entry of a waiting row has a key with a bare zero at %d", len(entry)-len(rest)+n-1)
		}
		key = append(key, rest[:n]...)
		rest = rest[min(n+1, len(rest)):]
	}
	return int64(binary.BigEndian.Uint64(entry[idBytes+1:])), nonNil(key), nil
}

// joinSlices returns the bounds of one part of a join's store, for slices with
// from <= start < to.
func joinSlices(id uint16, part byte, from, to int64) (lower, upper []byte) {
	bound := func(start int64) []byte {
		return binary.BigEndian.AppendUint64(append(binary.BigEndian.AppendUint16(nil, id), part), uint64(start))
	}
	return bound(from), bound(to)
}

// AppendJoinChangelogKey appends the key of a row's changelog record, as Kafka
// Streams lays it out: the key, the time and the sequence number.
func AppendJoinChangelogKey(dst []byte, time int64, sequence uint32, key []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, key...), uint64(time))
	return binary.BigEndian.AppendUint32(dst, sequence)
}

// SplitJoinChangelogKey takes a key of AppendJoinChangelogKey apart.
func SplitJoinChangelogKey(logged []byte) (time int64, sequence uint32, key []byte, err error) {
	n := len(logged) - joinStamp
	if n < 0 {
		return 0, 0, nil, fmt.Errorf("changelog key of a join has %d bytes, at least %d expected", len(logged), joinStamp)
	}
	return int64(binary.BigEndian.Uint64(logged[n:])), binary.BigEndian.Uint32(logged[n+timeBytes:]), logged[:n:n], nil
}

// WaitChange says what a changelog value of a join does to the entry of its row:
// makes it, removes it, or neither.
func WaitChange(value []byte) (waits, waited bool, err error) {
	if len(value) == 0 || value[0] > joinHasWaited {
		return false, false, fmt.Errorf("changelog value of a join does not say whether its row waits")
	}
	return value[0] == joinWaits, value[0] == joinHasWaited, nil
}
