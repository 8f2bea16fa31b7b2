package topology

import (
	"github.com/tidemill/tidemill/processor"
)

// Filter keeps the rows for which keep is true. A row that stops matching comes
// out as deleted. The result is a view, which [Table.Materialize] gives a store.
//
// An update neither of whose sides matches is dropped, which takes the old value:
// above a table that keeps no rows every update that does not match comes out as
// a deletion. keep is not called for deletions.
func (t *Table[K, V]) Filter(keep func(K, V) bool) *Table[K, V] {
	return t.filter("filter", keep, true)
}

// FilterNot drops the rows for which drop is true. See [Table.Filter].
func (t *Table[K, V]) FilterNot(drop func(K, V) bool) *Table[K, V] {
	return t.filter("filter-not", drop, false)
}

func (t *Table[K, V]) filter(kind string, matches func(K, V) bool, keep bool) *Table[K, V] {
	n := t.b.add(kind, t.n)
	n.table = true
	if matches == nil {
		t.b.fail(n.name, "its function is nil; pass one")
		return t
	}
	seen := func(k K, v processor.Opt[V]) processor.Opt[V] {
		if v.OK && matches(k, v.Value) == keep {
			return v
		}
		return processor.None[V]()
	}
	old := t.asksOld()
	n.wire = func(w *wirer) any {
		next, inst := below[K, change[V]](w, n), w.instance
		return emit[K, change[V]](func(r processor.Record[K, change[V]]) error {
			inst.at = n
			c := change[V]{New: seen(r.Key, r.Value.New), past: r.Value.past}
			if old {
				if c.Old = seen(r.Key, r.Value.Old); !c.Old.OK && !c.New.OK {
					return nil
				}
			}
			r.Value = c
			return next(r)
		})
	}
	out := *t
	out.n, out.deletes, out.filtered = n, true, !old
	out.askOld = func() bool { return old }
	if t.rows != nil {
		out.rows = func(w *wirer, asker *node, facts streamFacts) rowReader[K, V] {
			read, inst := t.rows(w, asker, facts), w.instance
			return func(k K) (tableRow[V], error) {
				row, err := read(k)
				if err == nil && row.value.OK {
					inst.at = n
					row.value = seen(k, row.value)
				}
				return row, err
			}
		}
	}
	if t.rowsAt != nil {
		out.rowsAt = func(w *wirer, asker *node, facts streamFacts) rowReaderAt[K, V] {
			read, inst := t.rowsAt(w, asker, facts), w.instance
			return func(k K, at processor.Timestamp) (tableRow[V], error) {
				row, err := read(k, at)
				if err == nil && row.value.OK {
					inst.at = n
					row.value = seen(k, row.value)
				}
				return row, err
			}
		}
	}
	return &out
}
