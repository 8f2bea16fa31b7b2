package state

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// HeldStore is the handle of a store in which records of a stream wait for their
// time, any number per key. Make it with [Held].
type HeldStore[K, V any] struct {
	side JoinSide[K, Waiting[V]]
}

// Held declares a store of records that wait. The name is durable: it is part of
// the changelog topic's name. Where values may be null, give the nullable serde of
// the topic; null values never wait.
func Held[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) HeldStore[K, V] {
	h := HeldStore[K, V]{JoinSide[K, Waiting[V]]{name: name, key: key}}
	if value != nil {
		h.side.value = waitingSerde[V]{value}
	}
	return h
}

// Spec implements Handle.
func (h HeldStore[K, V]) Spec() Spec {
	spec := h.side.Spec()
	spec.Kind = KindHeld
	return spec
}

// Open implements Handle.
func (h HeldStore[K, V]) Open(env Env) (Instance, error) { return h.side.Open(env) }

// OpenRows is Open with its type. Rows are removed when they are taken.
func (h HeldStore[K, V]) OpenRows(env Env) (JoinRows[Waiting[V]], error) { return h.side.OpenRows(env) }

// KeySerde implements Handle.
func (h HeldStore[K, V]) KeySerde() any { return h.side.key }

// ValueSerde implements Handle.
func (h HeldStore[K, V]) ValueSerde() any {
	if h.side.value == nil {
		return nil
	}
	return h.side.value
}

// ResultKey decodes a stored key, which must never be written to again.
func (h HeldStore[K, V]) ResultKey(key []byte) (K, error) { return h.side.ResultKey(key) }

func (HeldStore[K, V]) sealed() {}

// HoldRecord is a record as it waits: with what it was sent with.
func HoldRecord[K, V any](r processor.Record[K, V]) JoinRow[Waiting[V]] {
	return JoinRow[Waiting[V]]{Time: int64(r.Time),
		Value: Waiting[V]{New: processor.Some(r.Value), Headers: r.Headers, Origin: r.Origin}}
}
