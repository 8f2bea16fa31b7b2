package streamtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Row is a committed row of a store.
type Row[K, V any] struct {
	Key   K
	Value V
	Time  processor.Timestamp
}

// Rows commits, and returns the rows of a key-value store over all partitions, in
// the order of their encoded keys.
func Rows[K, V any](d *Driver, store state.KeyValueStore[K, V]) []Row[K, V] {
	d.t.Helper()
	return rows(d, store)
}

// WindowRows commits, and returns the rows of a window store that have not
// expired over all partitions, in the order of window start and encoded key. Rows
// of a store that processors write have windows that end where they start; sliding
// windows come in the order of encoded key and start.
func WindowRows[K, V any](d *Driver, store state.WindowStore[K, V]) []Row[state.Windowed[K], V] {
	d.t.Helper()
	return rows(d, store)
}

// SessionRows commits, and returns the sessions of a session store that have not
// expired over all partitions, in the order of encoded key, end and start.
func SessionRows[K, V any](d *Driver, store state.SessionStore[K, V]) []Row[state.Windowed[K], V] {
	d.t.Helper()
	return rows(d, store)
}

// storedRow is a row as the engine holds it, with the key behind the store's
// number: window start, if any, and key.
type storedRow struct{ key, value []byte }

func rows[G, V any](d *Driver, store state.Materialized[G, V]) []Row[G, V] {
	d.t.Helper()
	d.must(d.sync())
	name := store.Spec().Name
	stored, spec, err := d.globalRows(name)
	d.must(err)
	for _, assigned := range d.tasks {
		i := slices.IndexFunc(assigned.Sub.Stores, func(s state.Spec) bool { return s.Name == name })
		if i < 0 {
			continue
		}
		spec = assigned.Sub.Stores[i]
		part, err := d.storedRows(assigned, spec)
		d.must(err)
		stored = append(stored, part...)
	}
	if spec.Name == "" {
		d.t.Fatalf("streamtest: the topology has no store %s; pass the handle that it was declared with", name)
	}
	slices.SortFunc(stored, func(a, b storedRow) int { return bytes.Compare(a.key, b.key) })
	out := make([]Row[G, V], len(stored))
	for i, r := range stored {
		var err error
		if out[i], err = decodeRow(store, spec, r); err != nil {
			d.t.Fatalf("streamtest: store %s: %v", name, err)
		}
	}
	return out
}

func decodeRow[G, V any](store state.Materialized[G, V], spec state.Spec, r storedRow) (row Row[G, V], err error) {
	// The store's number is cut off; any two bytes stand for it.
	numbered, size := append([]byte{0, 0}, r.key...), spec.WindowSize.Milliseconds()
	start, key, err := int64(0), []byte(nil), error(nil)
	if spec.Kind.HasSpans() {
		var end int64
		start, end, key, err = spec.SplitSpanKey(numbered)
		size = end - start
	} else {
		start, key, err = state.SplitRowKey(spec.Kind, numbered)
	}
	if err != nil {
		return row, err
	}
	if row.Key, err = store.ResultKey(start, key, size); err != nil {
		return row, err
	}
	time, raw, err := state.SplitRowValue(r.value)
	if err != nil {
		return row, err
	}
	row.Time = processor.Timestamp(time)
	values, ok := store.ValueSerde().(serde.Serde[V])
	if !ok {
		return row, fmt.Errorf("its handle has no serde of its value type")
	}
	row.Value, err = values.Decode(raw)
	return row, err
}

// storedRows reads the rows of one store in one task.
func (d *Driver) storedRows(assigned worker.Assigned, spec state.Spec) (out []storedRow, err error) {
	engine := d.disk.engine(changelog.TaskID(assigned.Sub.Name, assigned.Partition))
	ids, err := changelog.LoadStoreIDs(engine, assigned.Sub.Stores)
	if err != nil {
		return nil, err
	}
	horizon, err := horizon(engine, spec.Name)
	if err != nil {
		return nil, err
	}
	return readRows(engine, ids[spec.Name], spec, horizon)
}

func readRows(from state.Reader, id uint16, spec state.Spec, horizon int64) (out []storedRow, err error) {
	lower, upper := state.StoreRange(id)
	if spec.Kind == state.KindWindow {
		lower = state.AppendRowKey(nil, id, spec.Kind, horizon, nil)
	}
	if spec.Kind.HasSpans() {
		lower, upper = state.SpanRows(id)
	}
	it, err := from.Iter(lower, upper, false)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.Next() {
		if spec.Kind.HasSpans() {
			if _, end, _, err := spec.SplitSpanKey(it.Key()); err != nil || end < horizon {
				if err != nil {
					return nil, err
				}
				continue
			}
		}
		out = append(out, storedRow{key: bytes.Clone(it.Key()[2:]), value: bytes.Clone(it.Value())})
	}
	return out, it.Err()
}

// horizon is the start below which the rows of a store have expired.
func horizon(engine state.Reader, store string) (int64, error) {
	position, ok, err := changelog.StoredPosition(engine)
	if err != nil || !ok {
		return 0, err
	}
	var clocks topology.Clocks
	if err := json.Unmarshal(position.Clocks, &clocks); err != nil {
		return 0, fmt.Errorf("clocks of the position of %s: %w", position.Task, err)
	}
	return clocks.Horizon(store), nil
}
