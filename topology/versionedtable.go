package topology

import (
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// DropPast is the reason for updates of a versioned table that came out of order,
// where only what is valid now counts.
const DropPast = "past"

// versionedStore is a handle of versions, whatever the keys are.
type versionedStore[V any] interface {
	state.Handle
	OpenVersions(env state.Env) (*state.Versions[V], error)
}

// rowReaderAt finds the row of a key as it was at a time.
type rowReaderAt[K, V any] func(k K, t processor.Timestamp) (tableRow[V], error)

// openRowsAt makes a rowReaderAt, as openRows makes a rowReader.
type openRowsAt[K, V any] func(w *wirer, asker *node, facts streamFacts) rowReaderAt[K, V]

// versionedTable declares a table over a store of versions (see [SourceTable]).
func versionedTable[K, V any](kind string, s *Stream[K, processor.Opt[V]], store state.Materialized[K, V], versions versionedStore[V]) *Table[K, V] {
	b, spec := s.b, store.Spec()
	n := b.add(kind, s.n)
	n.table, n.name = true, spec.Name
	n.detail = append(n.detail, "store", spec.Name, "history", spec.Retention.String())
	if spec.Retention <= 0 || spec.Retention%time.Millisecond != 0 {
		b.fail(n.name, "the history %v of its store must be a positive number of whole milliseconds", spec.Retention)
	}
	b.store(n, store, spec, false)
	t := &Table[K, V]{b: b, n: n, store: spec.Name, deletes: true, versioned: true, history: spec.Retention, streamFacts: s.streamFacts}
	t.values, _ = store.ValueSerde().(serde.Serde[V])
	t.askOld = func() bool { return true }
	t.rows = func(w *wirer, asker *node, facts streamFacts) rowReader[K, V] {
		r := openVersionReader(w, asker, facts, store, versions)
		return func(k K) (tableRow[V], error) {
			return r.read(k, func(key []byte, hash uint32) (state.Version[V], error) { return r.versions.Newest(key, hash) })
		}
	}
	t.rowsAt = func(w *wirer, asker *node, facts streamFacts) rowReaderAt[K, V] {
		r := openVersionReader(w, asker, facts, store, versions)
		return func(k K, t processor.Timestamp) (tableRow[V], error) {
			return r.read(k, func(key []byte, hash uint32) (state.Version[V], error) {
				return r.versions.At(key, hash, int64(t), r.clock.StreamTime)
			})
		}
	}
	n.wire = func(w *wirer) any { return wireVersions(w, n, s.streamFacts, store, versions) }
	return t
}

// versionReader reads rows of a versioned table for one node of a task.
type versionReader[K, V any] struct {
	n        *node
	keys     keyEncoder[K]
	versions *state.Versions[V]
	clock    *OperatorClock
}

func openVersionReader[K, V any](w *wirer, n *node, facts streamFacts, store state.Materialized[K, V], versions versionedStore[V]) *versionReader[K, V] {
	spec := store.Spec()
	r := &versionReader[K, V]{n: n, clock: w.instance.operatorClock(spec.Name),
		keys: newKeyEncoder[K](w, feedEnv{n: n, keySerde: store.KeySerde()}, facts)}
	if opened, ok := w.instance.storeByName[spec.Name].(*state.Versions[V]); ok {
		r.versions = opened
		return r
	}
	opened, err := versions.OpenVersions(w.storeEnv(spec))
	if err != nil {
		w.fail(&NodeError{Node: n.name, Err: err})
		return r
	}
	w.instance.addStore(opened)
	r.versions = opened
	return r
}

func (r *versionReader[K, V]) read(k K, find func(key []byte, hash uint32) (state.Version[V], error)) (row tableRow[V], err error) {
	key, hash, err := r.keys.encode(k)
	if err != nil {
		return row, err
	}
	v, err := find(key, hash)
	if err != nil {
		return row, &NodeError{Node: r.n.name, Err: err}
	}
	return tableRow[V]{value: v.Value, time: processor.Timestamp(v.Time)}, nil
}

func wireVersions[K, V any](w *wirer, n *node, facts streamFacts, store state.Materialized[K, V], versions versionedStore[V]) any {
	next := below[K, change[V]](w, n)
	r := openVersionReader(w, n, facts, store, versions)
	if r.versions == nil {
		return emit[K, processor.Opt[V]](nil)
	}
	if r.keys.fromSource {
		w.warm(r.versions)
	}
	late, history := w.instance.counter(n, DropLate), store.Spec().Retention.Milliseconds()
	return emit[K, processor.Opt[V]](func(record processor.Record[K, processor.Opt[V]]) error {
		key, hash, err := r.keys.encode(record.Key)
		if err != nil {
			return err
		}
		t := int64(record.Time)
		if t < r.clock.StreamTime-history {
			*late++
			return nil
		}
		r.clock.StreamTime = max(r.clock.StreamTime, t)
		newest, past, err := r.versions.Put(key, hash, state.Version[V]{Value: record.Value, Time: t}, r.clock.StreamTime)
		if err != nil {
			return &NodeError{Node: n.name, Err: err}
		}
		return next(processor.WithKey(record, record.Key, change[V]{Old: newest.Value, New: record.Value, past: past}))
	})
}

// current is the table without the updates that came out of order, which only
// change what was.
func (t *Table[K, V]) current() *Table[K, V] {
	if !t.versioned {
		return t
	}
	n := t.b.add("current", t.n)
	n.table = true
	n.wire = func(w *wirer) any {
		next, past := below[K, change[V]](w, n), w.instance.counter(n, DropPast)
		return emit[K, change[V]](func(r processor.Record[K, change[V]]) error {
			if r.Value.past {
				*past++
				return nil
			}
			return next(r)
		})
	}
	out := *t
	out.n, out.versioned = n, false
	return &out
}

// openAt makes the reader for a join of a stream: of rows as they were at the time
// of its record, if the table remembers, and else as they are.
func (t *Table[K, V]) openAt(w *wirer, asker *node, facts streamFacts) rowReaderAt[K, V] {
	if t.rowsAt != nil {
		return t.rowsAt(w, asker, facts)
	}
	read := t.rows(w, asker, facts)
	return func(k K, _ processor.Timestamp) (tableRow[V], error) { return read(k) }
}
