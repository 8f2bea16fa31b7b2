package topology

import (
	"github.com/tidemill/tidemill/processor"
)

// Stream is a sequence of facts: records with a key and a value. A Stream is a
// declaration; it may be used any number of times, and every use sees every
// record.
type Stream[K, V any] struct {
	b *Builder
	n *node
	streamFacts
}

// streamFacts are what later declarations must know about a stream.
type streamFacts struct {
	// rekeyed is the node behind which a record may lie in a partition that is not
	// its key's; nil if none.
	rekeyed *node
	// sourceKey is the serde name of the source whose encoded key the record at hand
	// still has; "" if the key may be another, or its bytes may not stand for it.
	sourceKey string
	// sampled names the store whose emission per commit the stream comes from.
	sampled string
	// windowed are the windows of the aggregation that the keys come from, for
	// suppression; nil if there are none.
	windowed *Windows
}

func (f streamFacts) or(other streamFacts) streamFacts {
	if f.rekeyed == nil {
		f.rekeyed = other.rekeyed
	}
	if f.sampled == "" {
		f.sampled = other.sampled
	}
	if f.sourceKey != other.sourceKey {
		f.sourceKey = ""
	}
	if f.windowed != other.windowed {
		f.windowed = nil
	}
	return f
}

// Named gives the last declared operator of s a name, for error messages,
// metrics and Describe. It is not durable.
func (s *Stream[K, V]) Named(name string) *Stream[K, V] {
	if !s.b.finished {
		s.n.name = name
	}
	return s
}

// derive declares an operator below s with the given wiring.
func derive[K, V, J, W any](s *Stream[K, V], kind string, missing bool,
	step func(n *node, inst *Instance, next emit[J, W]) emit[K, V]) *Stream[J, W] {
	n := s.b.add(kind, s.n)
	if missing {
		s.b.fail(n.name, "its function is nil; pass one")
	}
	n.wire = func(w *wirer) any { return step(n, w.instance, below[J, W](w, n)) }
	return &Stream[J, W]{b: s.b, n: n, streamFacts: s.streamFacts}
}

// Filter keeps the records for which keep is true. Null keys and values of
// nullable topics reach the function.
func (s *Stream[K, V]) Filter(keep func(K, V) bool) *Stream[K, V] {
	return derive(s, "filter", keep == nil, func(n *node, inst *Instance, next emit[K, V]) emit[K, V] {
		return func(r processor.Record[K, V]) error {
			inst.at = n
			if !keep(r.Key, r.Value) {
				return nil
			}
			return next(r)
		}
	})
}

// FilterNot drops the records for which drop is true.
func (s *Stream[K, V]) FilterNot(drop func(K, V) bool) *Stream[K, V] {
	return derive(s, "filter-not", drop == nil, func(n *node, inst *Instance, next emit[K, V]) emit[K, V] {
		return func(r processor.Record[K, V]) error {
			inst.at = n
			if drop(r.Key, r.Value) {
				return nil
			}
			return next(r)
		}
	})
}

// Peek calls look with every record and passes it on unchanged. After a crash or
// an abort records are looked at again.
func (s *Stream[K, V]) Peek(look func(processor.Record[K, V])) *Stream[K, V] {
	return derive(s, "peek", look == nil, func(n *node, inst *Instance, next emit[K, V]) emit[K, V] {
		return func(r processor.Record[K, V]) error {
			inst.at = n
			look(r)
			return next(r)
		}
	})
}

// Merge joins streams of the same types into one. Records keep the order of
// their own stream; between streams there is no promise.
func (s *Stream[K, V]) Merge(others ...*Stream[K, V]) *Stream[K, V] {
	inputs, facts := []*node{s.n}, s.streamFacts
	for _, o := range others {
		if o.b.declarations != s.b.declarations {
			s.b.fail("merge", "the streams belong to different topologies; declare them on one Builder")
			continue
		}
		inputs, facts = append(inputs, o.n), facts.or(o.streamFacts)
	}
	n := s.b.add("merge", inputs...)
	n.wire = func(w *wirer) any { return below[K, V](w, n) }
	return &Stream[K, V]{b: s.b, n: n, streamFacts: facts}
}

// Branch sends each record to the first stream whose predicate is true, and to
// the last returned one if there is none: Branch with n predicates returns n+1
// streams.
func (s *Stream[K, V]) Branch(predicates ...func(K, V) bool) []*Stream[K, V] {
	n := s.b.add("branch", s.n)
	out := make([]*Stream[K, V], len(predicates)+1)
	for i := range out {
		port := s.b.add("branch-output", n)
		port.wire = func(w *wirer) any { return below[K, V](w, port) }
		out[i] = &Stream[K, V]{b: s.b, n: port, streamFacts: s.streamFacts}
		if i < len(predicates) && predicates[i] == nil {
			s.b.fail(n.name, "predicate %d is nil; pass one", i)
		}
	}
	n.wire = func(w *wirer) any {
		ports := make([]emit[K, V], len(out))
		for i, o := range out {
			ports[i] = entry[K, V](w, o.n)
		}
		inst := w.instance
		return emit[K, V](func(r processor.Record[K, V]) error {
			inst.at = n
			for i, p := range predicates {
				if p(r.Key, r.Value) {
					return ports[i](r)
				}
			}
			return ports[len(predicates)](r)
		})
	}
	return out
}
