package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// JoinGlobal joins each record of a stream with the row that a global table has,
// at that moment, for the key which key makes of the record. A record without a
// row is left out.
//
// Only the stream triggers. The result has the key, time and headers of the
// stream's record. Null keys of a nullable stream reach key; null values are
// dropped and counted. It takes no repartition, whatever the keys are. Which
// version of a row a record meets is not repeatable, see [GlobalTable].
func JoinGlobal[K, V, G, T, W any](s *Stream[K, V], g *Global[G, T], key func(K, V) G, join func(V, T) W) *Stream[K, W] {
	both := func(v V, row processor.Opt[T]) W { return join(v, row.Value) }
	return joinGlobal("join-global", s, g, presentKey(key), false, both, join == nil)
}

// JoinGlobalOpt is [JoinGlobal] with keys that may be absent: such a record has no
// row, and is left out.
func JoinGlobalOpt[K, V, G, T, W any](s *Stream[K, V], g *Global[G, T], key func(K, V) processor.Opt[G],
	join func(V, T) W) *Stream[K, W] {
	both := func(v V, row processor.Opt[T]) W { return join(v, row.Value) }
	return joinGlobal("join-global", s, g, key, false, both, join == nil)
}

// LeftJoinGlobal is [JoinGlobal] that keeps the records without a row: join gets
// an absent row for them.
func LeftJoinGlobal[K, V, G, T, W any](s *Stream[K, V], g *Global[G, T], key func(K, V) G,
	join func(V, processor.Opt[T]) W) *Stream[K, W] {
	return joinGlobal("left-join-global", s, g, presentKey(key), true, join, join == nil)
}

// LeftJoinGlobalOpt is [LeftJoinGlobal] with keys that may be absent: such a
// record has no row.
func LeftJoinGlobalOpt[K, V, G, T, W any](s *Stream[K, V], g *Global[G, T], key func(K, V) processor.Opt[G],
	join func(V, processor.Opt[T]) W) *Stream[K, W] {
	return joinGlobal("left-join-global", s, g, key, true, join, join == nil)
}

func presentKey[K, V, G any](key func(K, V) G) func(K, V) processor.Opt[G] {
	if key == nil {
		return nil
	}
	return func(k K, v V) processor.Opt[G] { return processor.Some(key(k, v)) }
}

func joinGlobal[K, V, G, T, W any](kind string, s *Stream[K, V], g *Global[G, T], key func(K, V) processor.Opt[G], left bool,
	join func(V, processor.Opt[T]) W, missing bool) *Stream[K, W] {
	n := s.b.add(kind, s.n)
	switch {
	case key == nil || missing:
		s.b.fail(n.name, "one of its functions is nil; pass both")
	case g.b.declarations != s.b.declarations:
		s.b.fail(n.name, "stream and table belong to different topologies; declare them on one Builder")
	}
	name := g.store.Spec().Name
	n.readGlobal(name)
	n.wire = func(w *wirer) any {
		next, inst := below[K, W](w, n), w.instance
		if err := w.openGlobal(name); err != nil {
			w.fail(&NodeError{Node: n.name, Err: err})
			return emit[K, V](nil)
		}
		rows := inst.globals[name].(state.Cells[T])
		keys := newKeyEncoder[G](w, feedEnv{n: n, keySerde: g.store.KeySerde()}, streamFacts{})
		null := processor.NullCheck[V]()
		noValue, noKey := inst.counter(n, DropNullValue), inst.counter(n, DropNullKey)
		return emit[K, V](func(r processor.Record[K, V]) error {
			if null != nil && null(r.Value) {
				*noValue++
				return nil
			}
			inst.at = n
			var row tableRow[T]
			k := key(r.Key, r.Value)
			if k.OK {
				encoded, hash, err := keys.encode(k.Value)
				if err != nil {
					return err
				}
				if row, err = loadRow(n, rows, 0, encoded, hash); err != nil {
					return err
				}
			} else if !left {
				*noKey++
				return nil
			}
			if !row.value.OK && !left {
				return nil
			}
			return next(processor.WithKey(r, r.Key, join(r.Value, row.value)))
		})
	}
	return &Stream[K, W]{b: s.b, n: n, streamFacts: s.streamFacts}
}
