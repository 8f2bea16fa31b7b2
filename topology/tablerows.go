package topology

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// tableRow is a row of a table at one moment.
type tableRow[V any] struct {
	value processor.Opt[V]
	time  processor.Timestamp
}

// rowReader finds the row of a key as it is now. A row that is not there has no
// value, and its time means nothing.
type rowReader[K, V any] func(k K) (tableRow[V], error)

// openRows makes a rowReader for a node of a task. facts are those of the records
// whose keys will be asked for.
type openRows[K, V any] func(w *wirer, asker *node, facts streamFacts) rowReader[K, V]

// keep says that the rows of t lie in that store, and that its updates carry the
// old value, which the store knows.
func (t *Table[K, V]) keep(store state.Materialized[K, V], spec state.Spec) {
	t.handle = store
	t.rows = func(w *wirer, asker *node, facts streamFacts) rowReader[K, V] {
		cells, err := openCells(w, store, spec)
		if err != nil {
			w.fail(&NodeError{Node: asker.name, Err: err})
			return nil
		}
		if spec.Kind == state.KindKeyValue {
			if keys, ok := store.KeySerde().(serde.Serde[K]); ok {
				return readByKey(w, asker, facts, cells, keys)
			}
		}
		return readByResultKey(w, asker, store, cells)
	}
	t.askOld = func() bool { return true }
	t.values, _ = store.ValueSerde().(serde.Serde[V])
}

// readByKey reads rows of a store whose keys are those of the table. A key that
// came from the log as it is need not be encoded again.
func readByKey[K, V any](w *wirer, asker *node, facts streamFacts, cells state.Cells[V], s serde.Serde[K]) rowReader[K, V] {
	keys := newKeyEncoder[K](w, feedEnv{n: asker, keySerde: s}, facts)
	if keys.fromSource {
		w.warm(cells)
	}
	return func(k K) (row tableRow[V], err error) {
		key, hash, err := keys.encode(k)
		if err != nil {
			return row, err
		}
		return loadRow(asker, cells, 0, key, hash)
	}
}

// readByResultKey reads rows of a window store, whose keys are a part of those of
// the table.
func readByResultKey[K, V any](w *wirer, asker *node, store state.Materialized[K, V], cells state.Cells[V]) rowReader[K, V] {
	var buf []byte
	inst := w.instance
	return func(k K) (row tableRow[V], err error) {
		inst.at = asker
		start, key, err := store.StoredKey(buf[:0], k)
		if err != nil {
			return row, &NodeError{Node: asker.name, Class: ClassEncode,
				Err: fmt.Errorf("store %s: key does not encode: %w", cells.Spec().Name, err)}
		}
		buf = key
		if start < cells.Horizon() {
			return row, nil
		}
		return loadRow(asker, cells, start, key, state.HashKey(key))
	}
}

func loadRow[V any](asker *node, cells state.Cells[V], start int64, key []byte, hash uint32) (row tableRow[V], err error) {
	slot, err := cells.Slot(start, key, hash)
	if err != nil {
		return row, &NodeError{Node: asker.name, Err: err}
	}
	var time int64
	row.value.Value, time, row.value.OK = slot.Load()
	row.time = processor.Timestamp(time)
	return row, nil
}

// openCells opens the store of a node unless another node of the task, which
// reads it, has done so.
func openCells[K, V any](w *wirer, store state.Materialized[K, V], spec state.Spec) (state.Cells[V], error) {
	if opened := w.instance.storeByName[spec.Name]; opened != nil {
		cells, ok := opened.(state.Cells[V])
		if !ok {
			return nil, fmt.Errorf("store %s is declared with two value types; use one handle for it", spec.Name)
		}
		return cells, nil
	}
	cells, err := store.OpenCells(w.storeEnv(spec))
	if err != nil {
		return nil, err
	}
	w.instance.addStore(cells)
	return cells, nil
}

// warm lets the sources touch what lookups in a store will read, once for all
// nodes that use the store.
func (w *wirer) warm(cells interface {
	state.Instance
	Touch(hash uint32) uint64
}) {
	if name := cells.Spec().Name; !w.warmed[name] {
		w.warmed[name] = true
		w.instance.warmers = append(w.instance.warmers, cells.Touch)
	}
}

// needRows is a Build error unless the rows of t can be read.
func (t *Table[K, V]) needRows(n *node) bool {
	if t.rows == nil {
		t.b.fail(n.name, "it reads rows of %s, which keeps none; give that table a store, or insert Materialize(store) behind it", t.n.name)
	}
	return t.rows != nil
}

// needOld is a Build error unless the updates of t can carry old values.
func (t *Table[K, V]) needOld(n *node) bool {
	ok := t.asksOld()
	if !ok {
		t.b.fail(n.name, "it needs the old value of each update, which %s does not know; give that table a store "+
			"and emit on update, or insert Materialize(store) behind it", t.n.name)
	}
	return ok
}

func (t *Table[K, V]) asksOld() bool { return t.askOld != nil && t.askOld() }
