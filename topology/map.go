package topology

import (
	"github.com/tidemill/tidemill/processor"
)

// MapValues replaces each value by f of it. The key, and with it the partition,
// stays.
func MapValues[K, V, W any](s *Stream[K, V], f func(V) W) *Stream[K, W] {
	return derive(s, "map-values", f == nil, func(n *node, inst *Instance, next emit[K, W]) emit[K, V] {
		return func(r processor.Record[K, V]) error {
			inst.at = n
			return next(processor.WithKey(r, r.Key, f(r.Value)))
		}
	})
}

// Map replaces key and value. The stream counts as re-keyed: before grouping it
// needs [Stream.Repartition].
func Map[K, V, J, W any](s *Stream[K, V], f func(K, V) (J, W)) *Stream[J, W] {
	out := derive(s, "map", f == nil, func(n *node, inst *Instance, next emit[J, W]) emit[K, V] {
		return func(r processor.Record[K, V]) error {
			inst.at = n
			k, v := f(r.Key, r.Value)
			return next(processor.WithKey(r, k, v))
		}
	})
	return out.markRekeyed()
}

// SelectKey replaces the key. The stream counts as re-keyed: before grouping it
// needs [Stream.Repartition].
func SelectKey[K, V, J any](s *Stream[K, V], f func(K, V) J) *Stream[J, V] {
	out := derive(s, "select-key", f == nil, func(n *node, inst *Instance, next emit[J, V]) emit[K, V] {
		return func(r processor.Record[K, V]) error {
			inst.at = n
			return next(processor.WithKey(r, f(r.Key, r.Value), r.Value))
		}
	})
	return out.markRekeyed()
}

// FlatMap turns each record into any number of records: f calls emit for each,
// and each has passed through everything below before emit returns. The results
// have the time of their record. The stream counts as re-keyed.
func FlatMap[K, V, J, W any](s *Stream[K, V], f func(k K, v V, emit func(J, W))) *Stream[J, W] {
	out := derive(s, "flat-map", f == nil, func(n *node, inst *Instance, next emit[J, W]) emit[K, V] {
		var current processor.Record[K, V]
		var failed error
		pass := func(k J, v W) {
			if failed == nil {
				failed = next(processor.WithKey(current, k, v))
				inst.at = n
			}
		}
		return func(r processor.Record[K, V]) error {
			inst.at = n
			current, failed = r, nil
			f(r.Key, r.Value, pass)
			return failed
		}
	})
	return out.markRekeyed()
}

// FlatMapValues turns each value into any number of values under the same key.
func FlatMapValues[K, V, W any](s *Stream[K, V], f func(V) []W) *Stream[K, W] {
	return derive(s, "flat-map-values", f == nil, func(n *node, inst *Instance, next emit[K, W]) emit[K, V] {
		return func(r processor.Record[K, V]) error {
			inst.at = n
			for _, w := range f(r.Value) {
				if err := next(processor.WithKey(r, r.Key, w)); err != nil {
					return err
				}
			}
			return nil
		}
	})
}

// WithKey drops the records without a key, counted under "null-key", and gives
// the others their key's type: the way from a nullable topic to a grouping.
func WithKey[K, V any](s *Stream[processor.Opt[K], V]) *Stream[K, V] {
	n := s.b.add("with-key", s.n)
	n.wire = func(w *wirer) any {
		next := below[K, V](w, n)
		dropped := w.instance.counter(n, DropNullKey)
		return emit[processor.Opt[K], V](func(r processor.Record[processor.Opt[K], V]) error {
			if !r.Key.OK {
				*dropped++
				return nil
			}
			return next(processor.WithKey(r, r.Key.Value, r.Value))
		})
	}
	return &Stream[K, V]{b: s.b, n: n, streamFacts: s.streamFacts}
}

func (s *Stream[K, V]) markRekeyed() *Stream[K, V] {
	s.rekeyed, s.sourceKey = s.n, ""
	return s
}
