package state

import (
	"math"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// Windowed is the key of a row of a window store.
type Windowed[K any] = processor.Windowed[K]

// Handle is a store handle without its types. It is implemented by
// [KeyValueStore] and [WindowStore] only.
type Handle interface {
	Spec() Spec
	// Open makes the store of a task. The result is a Cells of the value type.
	Open(env Env) (Instance, error)
	// KeySerde and ValueSerde return the serdes, for HTTP.
	KeySerde() any
	ValueSerde() any
	sealed()
}

// Materialized is a handle that can hold the rows of an aggregation with result
// key G: a [KeyValueStore] of G, or for windowed results a [WindowStore].
type Materialized[G, V any] interface {
	Handle
	// OpenCells is Open with its type.
	OpenCells(env Env) (Cells[V], error)
	// ResultKey rebuilds the key of a row. key must never be written to again.
	ResultKey(start int64, key []byte, windowSize int64) (G, error)
	// StoredKey appends the stored form of a result key's inner key.
	StoredKey(dst []byte, g G) (start int64, key []byte, err error)
}

// KeyValueStore is the handle of a store with one row per key. Make it with
// [KeyValue]; it is a value, to be declared once at package level.
type KeyValueStore[K, V any] struct {
	name      string
	key       serde.Serde[K]
	value     serde.Serde[V]
	changelog string
}

// KeyValue declares a key-value store. The name is durable: it is part of the
// changelog topic's name.
func KeyValue[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) KeyValueStore[K, V] {
	return KeyValueStore[K, V]{name: name, key: key, value: value}
}

// ChangelogTopic returns the handle with a changelog topic of that name, instead
// of "<application>-<store>-changelog": a table topic that another program has
// written is taken over as the state it is. Its records are the rows, key and
// value in the bytes of the serdes, and no value is no row. It has to have as many
// partitions as the task's inputs, and each key in the partition that the inputs
// give it; it has to be compacted and must not forget rows otherwise. A missing
// one is created. The name is durable.
func (h KeyValueStore[K, V]) ChangelogTopic(name string) KeyValueStore[K, V] {
	h.changelog = name
	return h
}

// Spec implements Handle.
func (h KeyValueStore[K, V]) Spec() Spec {
	return Spec{Name: h.name, Kind: KindKeyValue, Key: nameOf(h.key), Value: nameOf(h.value), Changelog: h.changelog}
}

// Open implements Handle.
func (h KeyValueStore[K, V]) Open(env Env) (Instance, error) { return h.OpenCells(env) }

// OpenCells implements Materialized.
func (h KeyValueStore[K, V]) OpenCells(env Env) (Cells[V], error) { return openKeyValue(env, h.value) }

// KeySerde implements Handle.
func (h KeyValueStore[K, V]) KeySerde() any { return h.key }

// ValueSerde implements Handle.
func (h KeyValueStore[K, V]) ValueSerde() any { return h.value }

// ResultKey implements Materialized.
func (h KeyValueStore[K, V]) ResultKey(_ int64, key []byte, _ int64) (K, error) {
	return decodeKept(h.key, key)
}

// StoredKey implements Materialized.
func (h KeyValueStore[K, V]) StoredKey(dst []byte, k K) (int64, []byte, error) {
	key, err := h.key.Append(dst, k)
	return 0, key, err
}

func (KeyValueStore[K, V]) sealed() {}

// DefaultWindowRetention is how long window rows are kept at least when the
// handle does not say: long enough to look at yesterday's windows.
const DefaultWindowRetention = 24 * time.Hour

// UnlimitedWindow is the size of windows that have no end.
const UnlimitedWindow time.Duration = math.MaxInt64

// WindowStore is the handle of a store with one row per key and window start.
// Make it with [Window].
type WindowStore[K, V any] struct {
	name      string
	key       serde.Serde[K]
	value     serde.Serde[V]
	retention time.Duration
}

// Window declares a window store. The name is durable: it is part of the
// changelog topic's name.
func Window[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) WindowStore[K, V] {
	return WindowStore[K, V]{name: name, key: key, value: value}
}

// Retention returns the handle with a retention: a row is kept until stream time
// reaches its window start plus d. The default is the larger of window size plus
// grace and [DefaultWindowRetention]; less than size plus grace is a Build error.
func (h WindowStore[K, V]) Retention(d time.Duration) WindowStore[K, V] {
	h.retention = d
	return h
}

// Spec implements Handle.
func (h WindowStore[K, V]) Spec() Spec {
	return Spec{Name: h.name, Kind: KindWindow, Key: nameOf(h.key), Value: nameOf(h.value), Retention: h.retention}
}

// Open implements Handle.
func (h WindowStore[K, V]) Open(env Env) (Instance, error) {
	if env.Spec.Kind == KindSliding {
		return h.OpenSpans(env)
	}
	return h.OpenCells(env)
}

// OpenSpans implements Spanned, for sliding windows.
func (h WindowStore[K, V]) OpenSpans(env Env) (Spans[V], error) { return openSpans(env, h.value) }

// OpenCells implements Materialized.
func (h WindowStore[K, V]) OpenCells(env Env) (Cells[V], error) { return openWindow(env, h.value) }

// KeySerde implements Handle.
func (h WindowStore[K, V]) KeySerde() any { return h.key }

// ValueSerde implements Handle.
func (h WindowStore[K, V]) ValueSerde() any { return h.value }

// ResultKey implements Materialized.
func (h WindowStore[K, V]) ResultKey(start int64, key []byte, windowSize int64) (Windowed[K], error) {
	k, err := decodeKept(h.key, key)
	end := start + windowSize
	if windowSize >= UnlimitedWindow.Milliseconds() {
		end = math.MaxInt64
	}
	return Windowed[K]{Key: k, Start: processor.Timestamp(start), End: processor.Timestamp(end)}, err
}

// StoredKey implements Materialized.
func (h WindowStore[K, V]) StoredKey(dst []byte, w Windowed[K]) (int64, []byte, error) {
	key, err := h.key.Append(dst, w.Key)
	return int64(w.Start), key, err
}

func (WindowStore[K, V]) sealed() {}

// decodeKept decodes a key whose bytes are never written to again, without a
// copy where the serde can.
func decodeKept[K any](s serde.Serde[K], key []byte) (K, error) {
	if a, ok := s.(serde.Aliaser[K]); ok {
		return a.DecodeAlias(key)
	}
	return s.Decode(key)
}

func nameOf[T any](s serde.Serde[T]) string {
	if s == nil {
		return ""
	}
	return s.Name()
}
