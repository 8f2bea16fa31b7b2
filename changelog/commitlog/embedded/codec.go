package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errDecode is wrapped by every failure to decode bytes whose checksum was right.
var errDecode = errors.New("bytes make no sense")

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendBytes keeps nil apart from empty, as records do.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b))+1)
	return append(dst, b...)
}

// decoder takes values off the front of b. After the first failure every value
// is zero and err says what was wrong, so callers check once, at the end.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s with %d bytes left", errDecode, what, len(d.b))
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.fail("a byte is missing")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.fail("eight bytes are missing")
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a number is cut off or too long")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// offset is a number that has to fit a signed 64-bit offset or size.
func (d *decoder) offset() int64 {
	v := d.uvarint()
	if v > 1<<62 {
		d.fail("an offset is out of range")
		return 0
	}
	return int64(v)
}

func (d *decoder) partition() int32 {
	v := d.uvarint()
	if v > 1<<31-1 {
		d.fail("a partition is out of range")
		return 0
	}
	return int32(v)
}

// count reads the length of a list whose elements take at least size bytes, so
// that a damaged length allocates no more than the input is long.
func (d *decoder) count(size int) int {
	v := d.uvarint()
	if v > uint64(len(d.b)/size) {
		d.fail("a list is longer than its bytes")
		return 0
	}
	return int(v)
}

// take returns the next n bytes, shared with the input.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("bytes are cut off")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	v := d.take(n - 1)
	if v == nil && d.err == nil {
		v = []byte{}
	}
	return v
}

// end fails unless everything was read.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes follow the end")
	}
	return d.err
}
