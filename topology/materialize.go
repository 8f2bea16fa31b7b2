package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Materialize keeps the rows of a table in a store of its own: the result of a
// filter, a map or a join can then be queried, read by processors, and looked up
// by joins without being computed again. Old values come from the store.
//
// The updates pass through unchanged. The time of a row is that of its update.
func (t *Table[K, V]) Materialize(store state.Materialized[K, V]) *Table[K, V] {
	// What a filter above could not tell from a deletion, the store can.
	var skipNothing *bool
	if t.filtered {
		skipNothing = new(bool)
	}
	replace := func(_ tableRow[V], c change[V]) processor.Opt[V] { return c.New }
	out := keepRows("materialize", t.b, t.n, t.streamFacts, store, rowUpdater[V, change[V]]{update: replace, skipNothing: skipNothing})
	out.deletes = t.deletes
	if t.filtered {
		out.askOld = func() bool {
			*skipNothing = true
			return true
		}
	}
	return out
}
