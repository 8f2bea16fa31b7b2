package state

import (
	"encoding/binary"
	"fmt"
)

// Stores of spans (sessions, sliding windows, suppressed updates) hold a row under
// its key first, so that the neighbours of a row are read as one range, and beside
// it an entry without a value under its end, so that closing and expiry are ranges
// too. FORMAT.md draws both.
const (
	spanRows  = 0 // key, then bounds: the rows
	spanEnds  = 1 // bounds, then key: the order of the ends
	spanBytes = 16
)

// HasSpans says that rows of the kind have a start and an end of their own and lie
// under their key first.
func (k Kind) HasSpans() bool {
	return k == KindSession || k == KindSliding || k == KindBuffer || k == KindVersioned
}

// byStart says that all rows have the length that the store says, so that their
// start is enough: none at all, of versions.
func (k Kind) byStart() bool { return k == KindSliding || k == KindVersioned }

// boundsBytes is how many bytes the bounds of a row take.
func (k Kind) boundsBytes() int {
	if k.byStart() {
		return startBytes
	}
	return spanBytes
}

func (s Spec) appendBounds(dst []byte, start, end int64) []byte {
	if !s.Kind.byStart() {
		dst = binary.BigEndian.AppendUint64(dst, uint64(end))
	}
	return binary.BigEndian.AppendUint64(dst, uint64(start))
}

func (s Spec) splitBounds(b []byte) (start, end int64) {
	if s.Kind.byStart() {
		start = int64(binary.BigEndian.Uint64(b))
		return start, start + s.WindowSize.Milliseconds()
	}
	return int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b))
}

// AppendSpanKey appends the engine key of a row of a store of spans.
func (s Spec) AppendSpanKey(dst []byte, id uint16, start, end int64, key []byte) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, id), spanRows)
	return s.appendBounds(append(dst, key...), start, end)
}

// AppendEndKey appends the engine key of a row's entry in the order of ends.
func (s Spec) AppendEndKey(dst []byte, id uint16, start, end int64, key []byte) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, id), spanEnds)
	return append(s.appendBounds(dst, start, end), key...)
}

// SplitSpanKey takes an engine key of AppendSpanKey apart.
func (s Spec) SplitSpanKey(row []byte) (start, end int64, key []byte, err error) {
	n := len(row) - s.Kind.boundsBytes()
	if n < idBytes+1 || row[idBytes] != spanRows {
		return 0, 0, nil, fmt.Errorf("row key of a %s store has %d bytes, at least %d expected, and 0 in the third", s.Kind, len(row),
			idBytes+1+s.Kind.boundsBytes())
	}
	start, end = s.splitBounds(row[n:])
	return start, end, row[idBytes+1 : n], nil
}

func (s Spec) splitEndKey(row []byte) (start, end int64, key []byte, err error) {
	n := idBytes + 1 + s.Kind.boundsBytes()
	if len(row) < n || row[idBytes] != spanEnds {
		return 0, 0, nil, fmt.Errorf("end of a row of a %s store has a key of %d bytes, at least %d expected", s.Kind, len(row), n)
	}
	start, end = s.splitBounds(row[idBytes+1 : n])
	return start, end, row[n:], nil
}

// SpanRows returns the bounds of all rows of a store of spans.
func SpanRows(id uint16) (lower, upper []byte) {
	lower = append(binary.BigEndian.AppendUint16(nil, id), spanRows)
	return lower, append(binary.BigEndian.AppendUint16(nil, id), spanEnds)
}

// AppendSpanChangelogKey appends the key of a row's changelog record, as Kafka
// Streams lays it out: the key, then end and start; in stores of sliding windows and
// of versions the start and a sequence number that is always zero here.
func (s Spec) AppendSpanChangelogKey(dst []byte, start, end int64, key []byte) []byte {
	if s.Kind.byStart() {
		return AppendChangelogKey(dst, KindWindow, start, key)
	}
	return s.appendBounds(append(dst, key...), start, end)
}

// SplitSpanChangelogKey takes a changelog key of AppendSpanChangelogKey apart.
func (s Spec) SplitSpanChangelogKey(logged []byte) (start, end int64, key []byte, err error) {
	if s.Kind.byStart() {
		start, key, err = SplitChangelogKey(KindWindow, logged)
		return start, start + s.WindowSize.Milliseconds(), key, err
	}
	n := len(logged) - spanBytes
	if n < 0 {
		return 0, 0, nil, fmt.Errorf("changelog key of a %s store has %d bytes, at least %d expected", s.Kind, len(logged), spanBytes)
	}
	start, end = s.splitBounds(logged[n:])
	return start, end, logged[:n], nil
}
