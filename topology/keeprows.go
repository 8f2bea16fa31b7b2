package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// rowUpdater says what a record with value U does to the row of its key.
type rowUpdater[V, U any] struct {
	// update returns the row's new value; absent deletes it.
	update func(stored tableRow[V], u U) processor.Opt[V]
	// latest gives a row the higher time of record and stored row, instead of the
	// record's.
	latest bool
	// With *skipNothing an update from no row to no row is left out.
	skipNothing *bool
}

// keepRows declares a node that writes what its records say into a store, and
// passes on the updates of its rows. The caller decides about deletes.
func keepRows[K, V, U any](kind string, b *Builder, in *node, facts streamFacts, store state.Materialized[K, V],
	u rowUpdater[V, U]) *Table[K, V] {
	n := b.add(kind, in)
	n.table = true
	t := &Table[K, V]{b: b, n: n, deletes: true, streamFacts: facts}
	if store == nil {
		b.fail(n.name, "its store is nil; pass a handle made with state.KeyValue")
		return t
	}
	spec := store.Spec()
	n.name, t.store = spec.Name, spec.Name
	n.detail = append(n.detail, "store", spec.Name)
	if spec.Kind != state.KindKeyValue {
		b.fail(n.name, "a %s store does not fit the rows of a table; make the handle of store %s with state.KeyValue", spec.Kind, spec.Name)
	}
	b.store(n, store, spec, false)
	t.keep(store, spec)
	n.wire = func(w *wirer) any { return wireRows(w, n, facts, store, spec, u) }
	return t
}

func wireRows[K, V, U any](w *wirer, n *node, facts streamFacts, store state.Materialized[K, V], spec state.Spec,
	u rowUpdater[V, U]) any {
	next := below[K, change[V]](w, n)
	cells, err := openCells(w, store, spec)
	if err != nil {
		w.fail(&NodeError{Node: n.name, Err: err})
		return emit[K, U](nil)
	}
	keys := newKeyEncoder[K](w, feedEnv{n: n, keySerde: store.KeySerde()}, facts)
	if keys.fromSource {
		w.warm(cells)
	}
	skip := u.skipNothing != nil && *u.skipNothing
	return emit[K, U](func(r processor.Record[K, U]) error {
		key, hash, err := keys.encode(r.Key)
		if err != nil {
			return err
		}
		slot, err := cells.Slot(0, key, hash)
		if err != nil {
			return &NodeError{Node: n.name, Err: err}
		}
		var stored tableRow[V]
		var time int64
		stored.value.Value, time, stored.value.OK = slot.Load()
		stored.time = processor.Timestamp(time)
		now := u.update(stored, r.Value)
		if u.latest && stored.value.OK {
			r.Time = max(r.Time, stored.time)
		}
		switch {
		case now.OK:
			slot.Store(now.Value, int64(r.Time))
		case stored.value.OK:
			slot.Delete()
		case skip:
			return nil
		}
		return next(processor.WithKey(r, r.Key, change[V]{Old: stored.value, New: now}))
	})
}
