package state

import (
	"encoding/binary"
	"fmt"
)

// The layout of rows in an engine and in a changelog is drawn in FORMAT.md. All
// stores of a task share one engine; a two-byte id keeps them apart and makes a
// store one contiguous range.

const (
	idBytes    = 2
	startBytes = 8
	seqBytes   = 4
	timeBytes  = 8
	// MetaID is the id of the engine's own rows; stores count from 1.
	MetaID uint16 = 0
)

// AppendMetaKey appends the key of an engine-wide row, such as the position.
func AppendMetaKey(dst []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, MetaID), name...)
}

// AppendRowKey appends the engine key of a row. start is used by window stores.
func AppendRowKey(dst []byte, id uint16, kind Kind, start int64, key []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, id)
	if kind == KindWindow {
		dst = binary.BigEndian.AppendUint64(dst, uint64(start))
	}
	return append(dst, key...)
}

// SplitRowKey takes an engine key of a store of that kind apart.
func SplitRowKey(kind Kind, row []byte) (start int64, key []byte, err error) {
	need := idBytes
	if kind == KindWindow {
		need += startBytes
	}
	if len(row) < need {
		return 0, nil, fmt.Errorf("row key of a %s store has %d bytes, at least %d expected", kind, len(row), need)
	}
	if kind == KindWindow {
		start = int64(binary.BigEndian.Uint64(row[idBytes:]))
	}
	return start, row[need:], nil
}

// AppendChangelogKey appends the key of a row's changelog record, which has the
// layout of Kafka Streams: the key, and for windows the start and a sequence
// number that is always zero here.
func AppendChangelogKey(dst []byte, kind Kind, start int64, key []byte) []byte {
	dst = append(dst, key...)
	if kind == KindWindow {
		dst = binary.BigEndian.AppendUint64(dst, uint64(start))
		dst = append(dst, 0, 0, 0, 0)
	}
	return dst
}

// SplitChangelogKey takes a changelog key apart.
func SplitChangelogKey(kind Kind, logged []byte) (start int64, key []byte, err error) {
	if kind != KindWindow {
		return 0, logged, nil
	}
	n := len(logged) - startBytes - seqBytes
	if n < 0 {
		return 0, nil, fmt.Errorf("changelog key of a window store has %d bytes, at least %d expected",
			len(logged), startBytes+seqBytes)
	}
	return int64(binary.BigEndian.Uint64(logged[n:])), logged[:n], nil
}

// AppendRowValue appends the stored form of a value: its time, then its bytes.
func AppendRowValue(dst []byte, time int64, value []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(time)), value...)
}

// SplitRowValue takes a stored value apart.
func SplitRowValue(row []byte) (time int64, value []byte, err error) {
	if len(row) < timeBytes {
		return 0, nil, fmt.Errorf("stored value has %d bytes, at least %d expected", len(row), timeBytes)
	}
	return int64(binary.BigEndian.Uint64(row)), row[timeBytes:len(row):len(row)], nil
}

// StoreRange returns the bounds of all rows of a store.
func StoreRange(id uint16) (lower, upper []byte) {
	return binary.BigEndian.AppendUint16(nil, id), binary.BigEndian.AppendUint16(nil, id+1)
}

// WindowRange returns the bounds of the rows of a window store with
// from <= start < to.
func WindowRange(id uint16, from, to int64) (lower, upper []byte) {
	return AppendRowKey(nil, id, KindWindow, from, nil), AppendRowKey(nil, id, KindWindow, to, nil)
}

// PrefixEnd returns the smallest key above all keys with the given prefix, or
// nil if there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
