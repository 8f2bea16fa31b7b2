package state

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// Spanned is a handle that can hold rows with bounds of their own: sessions or
// sliding windows.
type Spanned[V any] interface {
	Handle
	// OpenSpans is Open with its type.
	OpenSpans(env Env) (Spans[V], error)
}

// SessionStore is the handle of a store with one row per key and session. Make it
// with [Session].
type SessionStore[K, V any] struct {
	name      string
	key       serde.Serde[K]
	value     serde.Serde[V]
	retention time.Duration
}

// Session declares a session store. The name is durable: it is part of the
// changelog topic's name.
func Session[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) SessionStore[K, V] {
	return SessionStore[K, V]{name: name, key: key, value: value}
}

// Retention returns the handle with a retention: a session is kept until stream
// time has passed its end by d. The default is the larger of gap plus grace and
// [DefaultWindowRetention]; less than gap plus grace is a Build error.
func (h SessionStore[K, V]) Retention(d time.Duration) SessionStore[K, V] {
	h.retention = d
	return h
}

// Spec implements Handle.
func (h SessionStore[K, V]) Spec() Spec {
	return Spec{Name: h.name, Kind: KindSession, Key: nameOf(h.key), Value: nameOf(h.value), Retention: h.retention}
}

// Open implements Handle.
func (h SessionStore[K, V]) Open(env Env) (Instance, error) { return h.OpenSpans(env) }

// OpenSpans implements Spanned.
func (h SessionStore[K, V]) OpenSpans(env Env) (Spans[V], error) { return openSpans(env, h.value) }

// OpenCells implements Materialized: it is an error, because sessions are not
// found by their start.
func (h SessionStore[K, V]) OpenCells(Env) (Cells[V], error) {
	return nil, fmt.Errorf("store %s holds sessions; use state.KeyValue or state.Window here", h.name)
}

// KeySerde implements Handle.
func (h SessionStore[K, V]) KeySerde() any { return h.key }

// ValueSerde implements Handle.
func (h SessionStore[K, V]) ValueSerde() any { return h.value }

// ResultKey implements Materialized. windowSize is the length of the session.
func (h SessionStore[K, V]) ResultKey(start int64, key []byte, windowSize int64) (Windowed[K], error) {
	k, err := decodeKept(h.key, key)
	return Windowed[K]{Key: k, Start: processor.Timestamp(start), End: processor.Timestamp(start + windowSize)}, err
}

// StoredKey implements Materialized.
func (h SessionStore[K, V]) StoredKey(dst []byte, w Windowed[K]) (int64, []byte, error) {
	key, err := h.key.Append(dst, w.Key)
	return int64(w.Start), key, err
}

func (SessionStore[K, V]) sealed() {}
