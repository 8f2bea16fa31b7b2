package topology

import (
	"github.com/tidemill/tidemill/processor"
)

// JoinTable joins each record of a stream with the row that the table has for its
// key at that moment. A record without a row is left out.
//
// Only the stream triggers: an update of the table joins with the records that
// come after it. The row in force is the one written last, whatever its time; of a
// table over [state.Versioned] it is the one at the time of the stream's record. The
// result has the time and headers of the stream's record. Null values of a
// nullable stream are dropped and counted. Stream and table need the same
// partitions; a stream whose key may have changed is a Build error: insert
// [Stream.Repartition].
//
// A row that comes with the same record (the stream feeds the table too) is seen
// if the table was declared before the join.
func JoinTable[K, V, T, W any](s *Stream[K, V], t *Table[K, T], join func(V, T) W) *Stream[K, W] {
	both := func(v V, row processor.Opt[T]) W { return join(v, row.Value) }
	return joinTable("join-table", s, t, processor.Some[K], false, both, join == nil)
}

// LeftJoinTable is [JoinTable] that keeps the records without a row: join gets an
// absent row for them.
func LeftJoinTable[K, V, T, W any](s *Stream[K, V], t *Table[K, T], join func(V, processor.Opt[T]) W) *Stream[K, W] {
	return joinTable("left-join-table", s, t, processor.Some[K], true, join, join == nil)
}

// LeftJoinTableOpt is [LeftJoinTable] for a stream whose keys may be null: records
// without a key have no row. They pass through a repartition topic above, which
// would drop them otherwise.
func LeftJoinTableOpt[K, V, T, W any](s *Stream[processor.Opt[K], V], t *Table[K, T],
	join func(V, processor.Opt[T]) W) *Stream[processor.Opt[K], W] {
	s.n.keepNullKeysAbove()
	same := func(k processor.Opt[K]) processor.Opt[K] { return k }
	return joinTable("left-join-table", s, t, same, true, join, join == nil)
}

// keepNullKeysAbove lets records without a key pass the repartition topics
// between n and the sources.
func (n *node) keepNullKeysAbove() {
	if n.feeder != nil {
		n.feeder.keepNullKeys = true
		n = n.feeder
	}
	for _, in := range n.inputs {
		in.keepNullKeysAbove()
	}
}

func joinTable[S, K, V, T, W any](kind string, s *Stream[S, V], t *Table[K, T], key func(S) processor.Opt[K], left bool,
	join func(V, processor.Opt[T]) W, missing bool) *Stream[S, W] {
	n := s.b.add(kind, s.n)
	out := &Stream[S, W]{b: s.b, n: n, streamFacts: s.streamFacts}
	switch {
	case missing:
		s.b.fail(n.name, "its function is nil; pass one")
	case t.b.declarations != s.b.declarations:
		s.b.fail(n.name, "stream and table belong to different topologies; declare them on one Builder")
		return out
	case s.rekeyed != nil:
		s.b.fail(n.name, "the key may have changed at %s, so a record and its row may lie in different partitions; "+
			"insert Repartition(topic) before the join", s.rekeyed.name)
	}
	if !t.needRows(n) {
		return out
	}
	lookUp(n, t.n)
	n.wire = func(w *wirer) any {
		next, inst := below[S, W](w, n), w.instance
		read := t.openAt(w, n, s.streamFacts)
		null := processor.NullCheck[V]()
		noValue, noKey := inst.counter(n, DropNullValue), inst.counter(n, DropNullKey)
		return emit[S, V](func(r processor.Record[S, V]) error {
			if null != nil && null(r.Value) {
				*noValue++
				return nil
			}
			var row tableRow[T]
			k := key(r.Key)
			switch {
			case k.OK:
				var err error
				if row, err = read(k.Value, r.Time); err != nil {
					return err
				}
			case !left:
				*noKey++
				return nil
			}
			if !row.value.OK && !left {
				return nil
			}
			inst.at = n
			return next(processor.WithKey(r, r.Key, join(r.Value, row.value)))
		})
	}
	return out
}
