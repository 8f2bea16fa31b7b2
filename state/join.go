package state

import (
	"github.com/tidemill/tidemill/processor/serde"
)

// JoinStore is the handle of what a join of two streams remembers: the records of
// each side, for as long as one of the other side may meet them. Make it with
// [Join]. It stands for two stores, one per side, because the sides expire each by
// its own records.
type JoinStore[K, L, R any] struct {
	left  JoinSide[K, L]
	right JoinSide[K, R]
	name  string
}

// Join declares the stores of a join: NAME-left and NAME-right. The name is
// durable: it is part of the names of two changelog topics. Where values may be
// null, give the nullable serde of the topic; null values are never stored.
func Join[K, L, R any](name string, key serde.Serde[K], left serde.Serde[L], right serde.Serde[R]) JoinStore[K, L, R] {
	return JoinStore[K, L, R]{
		left:  JoinSide[K, L]{name: name + "-left", key: key, value: left},
		right: JoinSide[K, R]{name: name + "-right", key: key, value: right},
		name:  name,
	}
}

// Name returns the name that the handle was declared with.
func (h JoinStore[K, L, R]) Name() string { return h.name }

// Left returns the handle of the store of the left side.
func (h JoinStore[K, L, R]) Left() JoinSide[K, L] { return h.left }

// Right returns the handle of the store of the right side.
func (h JoinStore[K, L, R]) Right() JoinSide[K, R] { return h.right }

// JoinSide is the handle of the records of one side of a join.
type JoinSide[K, V any] struct {
	name  string
	key   serde.Serde[K]
	value serde.Serde[V]
}

// Spec implements Handle.
func (h JoinSide[K, V]) Spec() Spec {
	return Spec{Name: h.name, Kind: KindJoin, Key: nameOf(h.key), Value: nameOf(h.value)}
}

// Open implements Handle.
func (h JoinSide[K, V]) Open(env Env) (Instance, error) { return h.OpenRows(env) }

// OpenRows is Open with its type.
func (h JoinSide[K, V]) OpenRows(env Env) (JoinRows[V], error) { return openJoinRows(env, h.value) }

// KeySerde implements Handle.
func (h JoinSide[K, V]) KeySerde() any { return h.key }

// ValueSerde implements Handle.
func (h JoinSide[K, V]) ValueSerde() any { return h.value }

// ResultKey decodes a stored key, which must never be written to again.
func (h JoinSide[K, V]) ResultKey(key []byte) (K, error) { return decodeKept(h.key, key) }

func (JoinSide[K, V]) sealed() {}

// JoinRow is a record that one side of a join remembers.
type JoinRow[V any] struct {
	Time  int64
	Value V
}

// WaitingKey stands for the rows of one key and time that have met no partner and
// wait for the time to leave without one. Key is never written to again.
type WaitingKey struct {
	Time int64
	Key  []byte
	row  uint32 // position plus one of the newest of the rows, if it is known
}

// JoinRows is one side of a join as the operator uses it: rows by key and time, of
// which there may be several, and those that wait, in the order of time and key.
type JoinRows[V any] interface {
	Instance
	// Touch reads what the next Fetch is likely to read; see [Cells].
	Touch(hash uint32) uint64
	// Put adds a row. The sequence tells rows of one key and time apart, and later
	// rows have higher ones. waits lets the row wait for the time to leave.
	Put(row JoinRow[V], sequence uint32, key []byte, hash uint32, waits bool) error
	// Fetch appends the rows of a key with from <= time <= to, by time, rows of one
	// time in the order of their arrival. They do not wait any more.
	Fetch(dst []JoinRow[V], key []byte, hash uint32, from, to int64) ([]JoinRow[V], error)
	// WaitingFrom finds the first key that waits with that time or a later one.
	WaitingFrom(time int64) (k WaitingKey, ok bool, err error)
	// WaitingBehind finds the next one.
	WaitingBehind(k WaitingKey) (next WaitingKey, ok bool, err error)
	// LastWaiting returns the time of the last one.
	LastWaiting() (time int64, ok bool, err error)
	// Take ends the waiting of the rows of one key and time, and appends them in the
	// order of their arrival.
	Take(dst []JoinRow[V], k WaitingKey) ([]JoinRow[V], error)
	// ExpireBelow says that rows of an earlier time will not be asked for again. Rows
	// that wait are kept.
	ExpireBelow(time int64)
}
