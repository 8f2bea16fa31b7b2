package recordbatch

import (
	"encoding/binary"
	"math/bits"
)

// Varints are zigzag: 0, -1, 1, -2 become 0, 1, 2, 3, so that small negative
// numbers are short too. Nearly all of them in a record are one or two bytes,
// hence the fast paths that the compiler can inline.

func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// varintSize returns how many bytes putVarint writes: one for each seven
// significant bits, at least one. 9/64 stands in for the slower 1/7; the test
// compares every bit length.
func varintSize(v int64) int { return (9*bits.Len64(zigzag(v)) + 64) / 64 }

// putVarint writes v at p[i:], which has room, and returns the position after.
func putVarint(p []byte, i int, v int64) int {
	u := zigzag(v)
	if u < 0x80 {
		p[i] = byte(u)
		return i + 1
	}
	return putLongVarint(p, i, u)
}

func putLongVarint(p []byte, i int, u uint64) int {
	for u >= 0x80 {
		p[i] = byte(u) | 0x80
		u >>= 7
		i++
	}
	p[i] = byte(u)
	return i + 1
}

// readVarint decodes the varint at p[i:] and returns the position after it, -1
// if p ends within it or it exceeds 64 bits. A position of -1 is passed on, so
// that a sequence of reads needs one check at its end.
func readVarint(p []byte, i int) (v int64, next int) {
	if uint(i) > uint(len(p)) {
		return 0, -1
	}
	u, n := binary.Uvarint(p[i:])
	if n <= 0 {
		return 0, -1
	}
	return int64(u>>1) ^ -int64(u&1), i + n
}

// shortVarint is readVarint for one and two bytes. It returns -1 for longer
// ones too: calling readVarint from here would make it too large to be inlined,
// which is what makes it fast.
func shortVarint(p []byte, i int) (v int64, next int) {
	if uint(i) >= uint(len(p)) {
		return 0, -1
	}
	u := uint(p[i])
	i++
	if u >= 0x80 {
		if i >= len(p) || p[i] >= 0x80 {
			return 0, -1
		}
		u += uint(p[i])<<7 - 0x80
		i++
	}
	return int64(u>>1) ^ -int64(u&1), i
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

// putBytes writes a length and the bytes; nil is null, length -1.
func putBytes(p []byte, i int, b []byte) int {
	if b == nil {
		return putVarint(p, i, -1)
	}
	i = putVarint(p, i, int64(len(b)))
	if len(b) == 8 { // integers and floats: two moves are cheaper than a call to copy
		binary.LittleEndian.PutUint64(p[i:], binary.LittleEndian.Uint64(b))
		return i + 8
	}
	return i + copy(p[i:], b)
}

// readBytes is the inverse of putBytes. What it returns aliases p, with the
// capacity cut so that an append by the caller cannot reach the next field.
func readBytes(p []byte, i int) (b []byte, next int) {
	n, i := readVarint(p, i)
	if i < 0 || n < -1 || n > int64(len(p)-i) {
		return nil, -1
	}
	if n < 0 {
		return nil, i
	}
	end := i + int(n)
	return p[i:end:end], end
}
