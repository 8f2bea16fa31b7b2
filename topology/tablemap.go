package topology

import (
	"github.com/tidemill/tidemill/processor"
)

// MapTable replaces the value of each row by f of it; deletions pass through. The
// result is a view, which [Table.Materialize] gives a store: until then f is
// called again whenever a join reads a row, and for old values where they are
// needed below.
func MapTable[K, V, W any](t *Table[K, V], f func(V) W) *Table[K, W] {
	if f == nil {
		return mapTable[K, V, W](t, nil, t.deletes)
	}
	return mapTable(t, func(v V) processor.Opt[W] { return processor.Some(f(v)) }, t.deletes)
}

// MapTableOpt is [MapTable] with a function that may remove rows: an absent
// result is a deletion.
func MapTableOpt[K, V, W any](t *Table[K, V], f func(V) processor.Opt[W]) *Table[K, W] {
	return mapTable(t, f, true)
}

func mapTable[K, V, W any](t *Table[K, V], f func(V) processor.Opt[W], deletes bool) *Table[K, W] {
	n := t.b.add("map-table", t.n)
	n.table = true
	out := &Table[K, W]{b: t.b, n: n, store: t.store, deletes: deletes, versioned: t.versioned, history: t.history, streamFacts: t.streamFacts}
	if f == nil {
		t.b.fail(n.name, "its function is nil; pass one")
		return out
	}
	seen := func(v processor.Opt[V]) processor.Opt[W] {
		if !v.OK {
			return processor.None[W]()
		}
		return f(v.Value)
	}
	old := false
	out.askOld = func() bool {
		old = old || t.asksOld()
		return old
	}
	n.wire = func(w *wirer) any {
		next, inst := below[K, change[W]](w, n), w.instance
		return emit[K, change[V]](func(r processor.Record[K, change[V]]) error {
			inst.at = n
			c := change[W]{New: seen(r.Value.New), past: r.Value.past}
			if old {
				c.Old = seen(r.Value.Old)
			}
			return next(processor.WithKey(r, r.Key, c))
		})
	}
	if t.rows != nil {
		out.rows = func(w *wirer, asker *node, facts streamFacts) rowReader[K, W] {
			read, inst := t.rows(w, asker, facts), w.instance
			return func(k K) (tableRow[W], error) {
				row, err := read(k)
				inst.at = n
				return tableRow[W]{value: seen(row.value), time: row.time}, err
			}
		}
	}
	if t.rowsAt != nil {
		out.rowsAt = func(w *wirer, asker *node, facts streamFacts) rowReaderAt[K, W] {
			read, inst := t.rowsAt(w, asker, facts), w.instance
			return func(k K, at processor.Timestamp) (tableRow[W], error) {
				row, err := read(k, at)
				inst.at = n
				return tableRow[W]{value: seen(row.value), time: row.time}, err
			}
		}
	}
	return out
}
