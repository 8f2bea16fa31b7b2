package serde

import "bytes"

// The escaped form of a byte string ends in a terminator that occurs nowhere
// inside it, so that no escaped string is a prefix of another, and sorts as the
// strings do. A zero byte becomes 0x00 0xff; the terminator is 0x00 0x01. Where
// one string ends and the other goes on, the terminator's 0x00 is compared with
// the next byte: it is smaller than any but an escaped zero, and against that
// one 0x01 is smaller than 0xff. A length in front would have been shorter, but
// would sort by length first.
const (
	escape     = 0x00
	escapedNul = 0xff
	terminator = 0x01
)

// escapeTail escapes b[from:] where it lies and appends the terminator. Working
// in place saves the scratch slice that the composite's Append would otherwise
// need for its first component.
func escapeTail(b []byte, from int) []byte {
	plain := len(b)
	zeros := bytes.Count(b[from:], []byte{escape})
	for range zeros {
		b = append(b, 0)
	}
	// Backwards, so that no byte is overwritten before it has been moved.
	for read, write := plain-1, len(b)-1; read < write; read-- {
		if b[read] == escape {
			b[write] = escapedNul
			write--
		}
		b[write] = b[read]
		write--
	}
	return append(b, escape, terminator)
}

// unescape splits src into the plain form of the escaped string at its start and
// the rest. Without a zero byte in it, plain is a part of src; otherwise it is
// newly allocated. ok is false if src does not start with an escaped string.
func unescape(src []byte) (plain, rest []byte, ok bool) {
	var unescaped []byte
	for at := 0; ; {
		n := bytes.IndexByte(src[at:], escape)
		if n < 0 || at+n+1 >= len(src) {
			return nil, nil, false
		}
		end := at + n
		switch src[end+1] {
		case terminator:
			if at == 0 {
				return src[:end:end], src[end+2:], true
			}
			return append(unescaped, src[at:end]...), src[end+2:], true
		case escapedNul:
			unescaped = append(unescaped, src[at:end+1]...)
			at = end + 2
		default:
			return nil, nil, false
		}
	}
}
