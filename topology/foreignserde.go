package topology

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// The records of a foreign-key join are drawn in FORMAT.md.

// rowHash stands for the value that a left row has: an answer for another one
// came too late. The zero hash is that of a row that is not there.
type rowHash [16]byte

// instruction says what a subscription is for.
type instruction byte

const (
	// unsubscribe removes a subscription without an answer.
	unsubscribe instruction = iota
	// unsubscribeAndAnswer removes it and answers without a right value.
	unsubscribeAndAnswer
	// answerIfMatched subscribes, and answers if there is a right row.
	answerIfMatched
	// answerAlways subscribes, and answers.
	answerAlways
	instructions // how many there are
)

// subscription goes from a left row to the right row that it refers to.
type subscription[K any] struct {
	instruction instruction
	hash        rowHash
	key         K // of the left row
}

// answer goes from a right row back to a left row.
type answer[R any] struct {
	hash  rowHash
	right processor.Opt[R]
}

type subscriptionSerde[K any] struct{ key serde.Serde[K] }

func (s subscriptionSerde[K]) Name() string { return "subscription(" + s.key.Name() + ")" }
func (s subscriptionSerde[K]) Check() error { return serde.Check(s.key) }

func (s subscriptionSerde[K]) Append(dst []byte, v subscription[K]) ([]byte, error) {
	start := len(dst)
	dst = append(append(dst, byte(v.instruction)), v.hash[:]...)
	dst, err := s.key.Append(dst, v.key)
	if err != nil {
		return dst[:start], err
	}
	return dst, nil
}

func (s subscriptionSerde[K]) Decode(src []byte) (v subscription[K], err error) {
	if len(src) < 1+len(v.hash) {
		return v, fmt.Errorf("a subscription has at least %d bytes, this one %d", 1+len(v.hash), len(src))
	}
	if v.instruction = instruction(src[0]); v.instruction >= instructions {
		return v, fmt.Errorf("a subscription has the instruction %d; known are those below %d", src[0], instructions)
	}
	copy(v.hash[:], src[1:])
	v.key, err = s.key.Decode(src[1+len(v.hash):])
	return v, err
}

type answerSerde[R any] struct{ right serde.Serde[R] }

func (s answerSerde[R]) Name() string { return "answer(" + s.right.Name() + ")" }
func (s answerSerde[R]) Check() error { return serde.Check(s.right) }

func (s answerSerde[R]) Append(dst []byte, v answer[R]) ([]byte, error) {
	start := len(dst)
	if !v.right.OK {
		return append(append(dst, 0), v.hash[:]...), nil
	}
	dst, err := s.right.Append(append(append(dst, 1), v.hash[:]...), v.right.Value)
	if err != nil {
		return dst[:start], err
	}
	return dst, nil
}

func (s answerSerde[R]) Decode(src []byte) (v answer[R], err error) {
	if len(src) < 1+len(v.hash) || src[0] > 1 || (src[0] == 0 && len(src) > 1+len(v.hash)) {
		return v, fmt.Errorf("%d bytes are no answer", len(src))
	}
	copy(v.hash[:], src[1:])
	if v.right.OK = src[0] == 1; v.right.OK {
		v.right.Value, err = s.right.Decode(src[1+len(v.hash):])
	}
	return v, err
}

// hashSerde writes the value of a row of the subscription store.
type hashSerde struct{}

func (hashSerde) Name() string { return "subscription-hash" }

func (hashSerde) Append(dst []byte, v rowHash) ([]byte, error) { return append(dst, v[:]...), nil }

func (hashSerde) Decode(src []byte) (v rowHash, err error) {
	if len(src) != len(v) {
		return v, fmt.Errorf("a hash has %d bytes, this one %d", len(v), len(src))
	}
	return rowHash(src), nil
}
