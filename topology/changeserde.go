package topology

import (
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/processor/serde"
)

// changeSerde writes the two sides of an update for the way to the group that
// they belong to. FORMAT.md draws the layout; it is that of Kafka Streams.
type changeSerde[V any] struct{ value serde.Serde[V] }

// Flags of a change, its last byte.
const (
	changeOld  = 0 // only the old value, to be subtracted
	changeNew  = 1 // only the new value, to be added
	changeBoth = 2
)

func newChangeSerde[V any](value serde.Serde[V]) serde.Serde[change[V]] {
	if value == nil {
		return nil // a Build error that names the topic
	}
	return changeSerde[V]{value}
}

// Name implements serde.Serde.
func (s changeSerde[V]) Name() string { return "change(" + s.value.Name() + ")" }

// Check implements serde's check.
func (s changeSerde[V]) Check() error { return serde.Check(s.value) }

// Append implements serde.Serde.
func (s changeSerde[V]) Append(dst []byte, c change[V]) ([]byte, error) {
	start := len(dst)
	var err error
	switch {
	case c.Old.OK && c.New.OK:
		if dst, err = s.value.Append(dst, c.New.Value); err != nil {
			return dst[:start], err
		}
		dst = insertLength(dst, start)
		dst, err = s.value.Append(dst, c.Old.Value)
		return finishChange(dst, start, changeBoth, err)
	case c.New.OK:
		dst, err = s.value.Append(dst, c.New.Value)
		return finishChange(dst, start, changeNew, err)
	case c.Old.OK:
		dst, err = s.value.Append(dst, c.Old.Value)
		return finishChange(dst, start, changeOld, err)
	}
	return dst, fmt.Errorf("a change without old and new value has no bytes")
}

func finishChange(dst []byte, start int, flag byte, err error) ([]byte, error) {
	if err != nil {
		return dst[:start], err
	}
	return append(dst, flag), nil
}

// insertLength puts the length of what follows start before it.
func insertLength(dst []byte, start int) []byte {
	var length [binary.MaxVarintLen64]byte
	size := len(dst) - start
	n := binary.PutVarint(length[:], int64(size))
	dst = append(dst, length[:n]...)
	copy(dst[start+n:], dst[start:start+size])
	copy(dst[start:], length[:n])
	return dst
}

// Decode implements serde.Serde.
func (s changeSerde[V]) Decode(src []byte) (c change[V], err error) {
	if len(src) == 0 {
		return c, fmt.Errorf("a change has at least one byte")
	}
	body, flag := src[:len(src)-1], src[len(src)-1]
	switch flag {
	case changeOld:
		c.Old.OK = true
		c.Old.Value, err = s.value.Decode(body)
	case changeNew:
		c.New.OK = true
		c.New.Value, err = s.value.Decode(body)
	case changeBoth:
		return s.decodeBoth(body)
	default:
		return c, fmt.Errorf("a change ends in flag %d; known are 0, 1 and 2", flag)
	}
	return c, err
}

func (s changeSerde[V]) decodeBoth(body []byte) (c change[V], err error) {
	size, n := binary.Varint(body)
	if n <= 0 || size < 0 || size > int64(len(body)-n) {
		return c, fmt.Errorf("the new value of a change is longer than the change, %d bytes", len(body))
	}
	c.Old.OK, c.New.OK = true, true
	if c.New.Value, err = s.value.Decode(body[n : n+int(size)]); err != nil {
		return c, err
	}
	c.Old.Value, err = s.value.Decode(body[n+int(size):])
	return c, err
}
