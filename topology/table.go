package topology

import (
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// Table is the latest value per key: every record is an update of a row. It is
// held in the store it was given, or is a view of tables that are.
type Table[K, V any] struct {
	b       *Builder
	n       *node
	store   string // its own store, or that of the table it is a view of; for messages
	deletes bool
	streamFacts
	// handle says how rows of these types are stored; nil if no store does.
	handle state.Materialized[K, V]
	// rows makes a reader of the rows as they are at the moment; nil if nothing
	// keeps them.
	rows openRows[K, V]
	// askOld makes the updates carry old values from now on, and says whether they
	// do; nil if they never do.
	askOld func() bool
	// values is the serde of the values, where a store has one; nil if none.
	values serde.Serde[V]
	// filtered says that an update may come from a row that was never part of the
	// table, so that both its sides are absent.
	filtered bool
	// versioned says that updates may come out of order and change only what was, and
	// rowsAt makes a reader of rows as they were; nil if only rows of now are kept.
	versioned bool
	rowsAt    openRowsAt[K, V]
	history   time.Duration // how far back
}

// Named gives the last declared operator of t a name, for error messages,
// metrics and Describe. It is not durable.
func (t *Table[K, V]) Named(name string) *Table[K, V] {
	if !t.b.finished {
		t.n.name = name
	}
	return t
}

// change is an update of a table row: what was there, what is there now.
type change[V any] struct {
	Old, New processor.Opt[V]
	// past says that a newer update is there already, so that New was, but is not.
	past bool
}

// ToStream returns the updates as a stream of values. On a table whose rows can
// be deleted it is a Build error: use [Updates], in which a deletion is an absent
// value.
func (t *Table[K, V]) ToStream() *Stream[K, V] {
	if t.deletes {
		t.b.fail("to-stream", "rows of table %s can be deleted; use topology.Updates(table), whose values are Opt", t.store)
	}
	n := t.b.add("to-stream", t.n)
	n.wire = func(w *wirer) any {
		next := below[K, V](w, n)
		return emit[K, change[V]](func(r processor.Record[K, change[V]]) error {
			return next(processor.WithKey(r, r.Key, r.Value.New.Value))
		})
	}
	return &Stream[K, V]{b: t.b, n: n, streamFacts: t.streamFacts}
}

// Updates returns the updates as a stream in which an absent value says that the
// row was deleted.
func Updates[K, V any](t *Table[K, V]) *Stream[K, processor.Opt[V]] {
	n := t.b.add("updates", t.n)
	n.wire = func(w *wirer) any {
		next := below[K, processor.Opt[V]](w, n)
		return emit[K, change[V]](func(r processor.Record[K, change[V]]) error {
			return next(processor.WithKey(r, r.Key, r.Value.New))
		})
	}
	return &Stream[K, processor.Opt[V]]{b: t.b, n: n, streamFacts: t.streamFacts}
}
