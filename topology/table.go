package topology

import (
	"github.com/tidemill/tidemill/processor"
)

// Table is the latest value per key: every record is an update of a row. It is
// held in the store it was given.
type Table[K, V any] struct {
	b       *Builder
	n       *node
	store   string
	deletes bool
	streamFacts
}

// change is an update of a table row: what was there, what is there now.
type change[V any] struct {
	Old, New processor.Opt[V]
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
