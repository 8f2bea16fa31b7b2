package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// SourceTable reads a topic as a table: the last record of a key, by offset, is
// its row, and a record without a value deletes the row.
//
// Records without a key are dropped and counted. Every other record is an update
// and is passed on, also one that changes nothing and the deletion of a row that
// is not there. A record that is older than the row replaces it all the same. The
// time of a row is that of its record.
//
// The store holds the rows. Without one (nil) the updates pass by without being
// kept: old values are unknown, and a join with the table is a Build error.
//
// A store of versions ([state.Versioned]) also remembers what the rows were. Then the
// newest row is the one with the highest time, an update out of order goes into the
// history, and one older than the history before stream time, which is the highest
// time of all updates, is refused: dropped and counted. A stream that is joined with
// the table gets the row as it was at the time of its record. [Updates] has all
// updates but the refused; groupings and joins of the table leave out, and count,
// those that only change what was.
//
// A processor that is given the handle (see [Process]) may read the rows.
func SourceTable[K, V any](b *Builder, t Topic[K, processor.Opt[V]], store state.Materialized[K, V]) *Table[K, V] {
	s := source(b, t, false)
	s.n.dropNullKeys = true
	if store == nil {
		n := b.add("table", s.n)
		n.table = true
		n.wire = func(w *wirer) any {
			next := below[K, change[V]](w, n)
			return emit[K, processor.Opt[V]](func(r processor.Record[K, processor.Opt[V]]) error {
				return next(processor.WithKey(r, r.Key, change[V]{New: r.Value}))
			})
		}
		return &Table[K, V]{b: b, n: n, store: t.Name, deletes: true, streamFacts: s.streamFacts}
	}
	return toTable("table", s, store)
}

// ToTable makes a table of a stream: each record is an update of the row of its
// key, and an absent value deletes the row. The rules are those of [SourceTable],
// but that a key which may be null, or may have changed, is a Build error: insert
// [WithKey] or [Stream.Repartition].
func ToTable[K, V any](s *Stream[K, processor.Opt[V]], store state.Materialized[K, V]) *Table[K, V] {
	if s.rekeyed != nil {
		s.b.fail("to-table", "the key may have changed at %s, so equal keys may lie in different partitions; "+
			"insert Repartition(topic) before ToTable", s.rekeyed.name)
	}
	if processor.NullCheck[K]() != nil {
		s.b.fail("to-table", "the key of %s may be null; insert topology.WithKey before ToTable", s.n.name)
	}
	return toTable("to-table", s, store)
}

func toTable[K, V any](kind string, s *Stream[K, processor.Opt[V]], store state.Materialized[K, V]) *Table[K, V] {
	if versions, ok := store.(versionedStore[V]); ok {
		return versionedTable(kind, s, store, versions)
	}
	replace := func(_ tableRow[V], v processor.Opt[V]) processor.Opt[V] { return v }
	return keepRows(kind, s.b, s.n, s.streamFacts, store, rowUpdater[V, processor.Opt[V]]{update: replace})
}
