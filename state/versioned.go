package state

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// VersionedStore is the handle of a store that remembers what the rows of a table
// were, for some time back. Make it with [Versioned].
type VersionedStore[K, V any] struct {
	name    string
	key     serde.Serde[K]
	value   serde.Serde[V]
	history time.Duration
}

// Versioned declares a store of versions. Behind the stream time of the store, the
// highest time of its updates, rows can be looked up as they were at any time up to
// history ago; older updates are refused. What is valid now never expires. The name
// is durable: it is part of the changelog topic's name.
func Versioned[K, V any](name string, key serde.Serde[K], value serde.Serde[V], history time.Duration) VersionedStore[K, V] {
	return VersionedStore[K, V]{name, key, value, history}
}

// Spec implements Handle. The history is the retention.
func (h VersionedStore[K, V]) Spec() Spec {
	return Spec{Name: h.name, Kind: KindVersioned, Key: nameOf(h.key), Value: nameOf(h.value), Retention: h.history}
}

// History returns how far back rows can be looked up.
func (h VersionedStore[K, V]) History() time.Duration { return h.history }

// Open implements Handle.
func (h VersionedStore[K, V]) Open(env Env) (Instance, error) { return h.OpenVersions(env) }

// OpenVersions is Open with its type.
func (h VersionedStore[K, V]) OpenVersions(env Env) (*Versions[V], error) {
	spans, err := openSpans[processor.Opt[V]](env, versionSerde[V]{h.value})
	if err != nil {
		return nil, err
	}
	spans.Remember(env.Spec.Retention.Milliseconds() * 2)
	return &Versions[V]{Spans: spans, history: env.Spec.Retention.Milliseconds()}, nil
}

// OpenCells implements Materialized: it is an error, because a key has more than
// one row.
func (h VersionedStore[K, V]) OpenCells(Env) (Cells[V], error) {
	return nil, fmt.Errorf("store %s holds versions; use state.KeyValue here", h.name)
}

// KeySerde implements Handle.
func (h VersionedStore[K, V]) KeySerde() any { return h.key }

// ValueSerde implements Handle.
func (h VersionedStore[K, V]) ValueSerde() any { return h.value }

// ResultKey implements Materialized.
func (h VersionedStore[K, V]) ResultKey(_ int64, key []byte, _ int64) (K, error) {
	return decodeKept(h.key, key)
}

// StoredKey implements Materialized.
func (h VersionedStore[K, V]) StoredKey(dst []byte, k K) (int64, []byte, error) {
	key, err := h.key.Append(dst, k)
	return 0, key, err
}

func (VersionedStore[K, V]) sealed() {}

// Versions is a store of versions inside a task.
type Versions[V any] struct {
	Spans[processor.Opt[V]]
	history int64
}

// A Version is what a row was from a time on. An absent value is a row that was
// deleted.
type Version[V any] struct {
	Value processor.Opt[V]
	Time  int64
}

// Put adds a version, or replaces the one of the same time, and returns the newest
// one that was there before. The caller has refused what is older than the history
// before streamTime. past says that a newer version goes on to be valid.
func (s *Versions[V]) Put(key []byte, hash uint32, v Version[V], streamTime int64) (newest Version[V], past bool, err error) {
	rows, err := s.Of(key, hash, 0)
	if err != nil {
		return newest, false, err
	}
	if n := rows.Len(); n > 0 {
		last := rows.At(n - 1)
		newest, past = Version[V]{last.Value, last.Start}, v.Time < last.Start
	}
	if i := rows.Find(v.Time, v.Time); i >= 0 {
		rows.Set(i, v.Value, v.Time)
	} else {
		at := rows.Search(v.Time)
		rows.Replace(at, at, Span[processor.Opt[V]]{Start: v.Time, End: v.Time, Time: v.Time, Value: v.Value})
	}
	s.prune(rows, streamTime-s.history)
	return newest, past, nil
}

// prune removes what no lookup can find: versions that another one had replaced at
// the time of the oldest lookup, and a deletion before everything.
func (s *Versions[V]) prune(rows KeySpans[processor.Opt[V]], oldest int64) {
	n := 0
	for n+1 < rows.Len() && rows.At(n+1).Start <= oldest {
		n++
	}
	if n < rows.Len() && !rows.At(n).Value.OK && rows.At(n).Start < oldest {
		n++
	}
	rows.Remove(0, n)
}

// At returns what a row was at a time, and from when on. Further back than the
// history before streamTime only what is still valid is found.
func (s *Versions[V]) At(key []byte, hash uint32, time, streamTime int64) (v Version[V], err error) {
	rows, err := s.Of(key, hash, 0)
	if err != nil {
		return v, err
	}
	i := rows.Len()
	for i > 0 && rows.At(i-1).Start > time {
		i--
	}
	if i == 0 || i < rows.Len() && time < streamTime-s.history {
		return v, nil
	}
	return Version[V]{rows.At(i - 1).Value, rows.At(i - 1).Start}, nil
}

// Newest returns what a row is now.
func (s *Versions[V]) Newest(key []byte, hash uint32) (v Version[V], err error) {
	rows, err := s.Of(key, hash, 0)
	if err != nil || rows.Len() == 0 {
		return v, err
	}
	last := rows.At(rows.Len() - 1)
	return Version[V]{last.Value, last.Start}, nil
}

// versionSerde writes a value behind a byte that says whether there is one.
type versionSerde[V any] struct{ value serde.Serde[V] }

func (s versionSerde[V]) Name() string { return "version " + s.value.Name() }

func (s versionSerde[V]) Append(dst []byte, v processor.Opt[V]) ([]byte, error) {
	if !v.OK {
		return append(dst, 0), nil
	}
	return s.value.Append(append(dst, 1), v.Value)
}

func (s versionSerde[V]) Decode(src []byte) (v processor.Opt[V], err error) {
	switch {
	case len(src) == 1 && src[0] == 0:
		return v, nil
	case len(src) >= 1 && src[0] == 1:
		v.OK = true
		v.Value, err = s.value.Decode(src[1:])
		return v, err
	}
	return v, fmt.Errorf("a version of %d bytes does not say whether it has a value", len(src))
}
