package topology

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// Grouping is a grouped stream, ready to be aggregated into results with key G:
// [GroupedStream] (G is the key) and [WindowedStream] (G is the windowed key).
type Grouping[G, V any] interface {
	facts() *grouping
	// feed builds the entry of an aggregation: it drops what does not count and
	// calls update for each row that a record belongs to.
	feed(w *wirer, f feedEnv, update rowUpdate[G, V]) any
}

// rowUpdate updates one row. r has the key of the result.
type rowUpdate[G, V any] func(start int64, key []byte, hash uint32, r processor.Record[G, V]) error

// grouping is what an aggregation must know of its input, without types.
type grouping struct {
	b *Builder
	n *node // the stream's node
	streamFacts
	windows  *Windows
	emission Emission
}

// feedEnv is what a feed gets from the aggregation it feeds.
type feedEnv struct {
	n         *node
	keySerde  any
	clock     *OperatorClock
	onAdvance func() // called when stream time has moved past the close of a window
	// horizon is the start below which rows may have expired although a record for
	// them is not late; nil if there is no such case.
	horizon func() int64
}

// GroupedStream is a stream whose records lie in the partition of their key.
type GroupedStream[K, V any] struct{ g grouping }

// GroupByKey groups by the key as it is. On a re-keyed stream it is a Build
// error, because equal keys may lie in different partitions: go through
// [Stream.Repartition] or use [GroupBy].
func (s *Stream[K, V]) GroupByKey() *GroupedStream[K, V] {
	if s.rekeyed != nil {
		s.b.fail("group-by-key", "the key may have changed at %s, so equal keys may lie in different partitions; "+
			"insert Repartition(topic) before GroupByKey, or use GroupBy with a topic", s.rekeyed.name)
	}
	if processor.NullCheck[K]() != nil {
		s.b.fail("group-by-key", "the key of %s may be null; insert topology.WithKey before GroupByKey", s.n.name)
	}
	return &GroupedStream[K, V]{grouping{b: s.b, n: s.n, streamFacts: s.streamFacts}}
}

// GroupBy groups by a new key: it sends every record through the given topic, in
// which equal keys share a partition. Where the new key may be null, go step by
// step: [SelectKey], then [WithKey], which drops and counts such records, then
// [Stream.Repartition] and [Stream.GroupByKey].
func GroupBy[K, V, J any](s *Stream[K, V], key func(K, V) J, through Topic[J, V]) *GroupedStream[J, V] {
	return SelectKey(s, key).Repartition(through).GroupByKey()
}

// Emit says when results are passed on; the default is [OnUpdate].
func (g *GroupedStream[K, V]) Emit(e Emission) *GroupedStream[K, V] {
	c := *g
	c.g.emission = e
	return &c
}

// WindowedBy cuts the groups into windows.
func (g *GroupedStream[K, V]) WindowedBy(windows Windows) *WindowedStream[K, V] {
	if problem := windows.check(); problem != "" {
		g.g.b.fail("windowed-by", "%s", problem)
	}
	c := g.g
	c.windows = &windows
	return &WindowedStream[K, V]{c}
}

func (g *GroupedStream[K, V]) facts() *grouping { return &g.g }

func (g *GroupedStream[K, V]) feed(w *wirer, f feedEnv, update rowUpdate[K, V]) any {
	keys := newKeyEncoder[K](w, f, g.g.streamFacts)
	null := processor.NullCheck[V]()
	dropped := w.instance.counter(f.n, DropNullValue)
	return emit[K, V](func(r processor.Record[K, V]) error {
		if null != nil && null(r.Value) {
			*dropped++
			return nil
		}
		key, hash, err := keys.encode(r.Key)
		if err != nil {
			return err
		}
		return update(0, key, hash, r)
	})
}

// WindowedStream is a grouped stream cut into windows.
type WindowedStream[K, V any] struct{ g grouping }

// Emit says when results are passed on; the default is [OnUpdate].
func (g *WindowedStream[K, V]) Emit(e Emission) *WindowedStream[K, V] {
	c := *g
	c.g.emission = e
	return &c
}

func (g *WindowedStream[K, V]) facts() *grouping { return &g.g }

func (g *WindowedStream[K, V]) feed(w *wirer, f feedEnv, update rowUpdate[state.Windowed[K], V]) any {
	keys := newKeyEncoder[K](w, f, g.g.streamFacts)
	late := w.instance.counter(f.n, DropLate)
	math, clock := g.g.windows.math(), f.clock
	return emit[K, V](func(r processor.Record[K, V]) error {
		ts := int64(r.Time)
		if ts > clock.StreamTime {
			clock.StreamTime = ts
			f.onAdvance()
		}
		key, hash, err := keys.encode(r.Key)
		if err != nil {
			return err
		}
		closed := math.closedThrough(clock.StreamTime)
		if f.horizon != nil {
			closed = max(closed, f.horizon()-1)
		}
		accepted := false
		// Behind the largest timestamp start overflows, which ends the loop too.
		for start := math.first(ts); start >= 0 && start <= ts; start += math.advance {
			if start <= closed {
				continue
			}
			accepted = true
			window := state.Windowed[K]{Key: r.Key, Start: processor.Timestamp(start), End: processor.Timestamp(math.end(start))}
			if err := update(start, key, hash, processor.WithKey(r, window, r.Value)); err != nil {
				return err
			}
		}
		if !accepted {
			*late++
		}
		return nil
	})
}

// keyEncoder encodes keys into a buffer that the next call reuses.
type keyEncoder[K any] struct {
	n     *node
	inst  *Instance
	serde serde.Serde[K]
	buf   []byte
	// fromSource says that the key is still the one that came from the log, so that
	// its bytes need not be made again.
	fromSource bool
}

func newKeyEncoder[K any](w *wirer, f feedEnv, facts streamFacts) keyEncoder[K] {
	s := f.keySerde.(serde.Serde[K])
	return keyEncoder[K]{n: f.n, inst: w.instance, serde: s, fromSource: facts.sourceKey != "" && facts.sourceKey == s.Name()}
}

func (e *keyEncoder[K]) encode(k K) (key []byte, hash uint32, err error) {
	e.inst.at = e.n
	if e.fromSource {
		return e.inst.rawKey, e.inst.rawHash, nil
	}
	b, err := e.serde.Append(e.buf[:0], k)
	if err != nil {
		return nil, 0, &NodeError{Node: e.n.name, Err: fmt.Errorf("key does not encode as %s: %w", e.serde.Name(), err)}
	}
	e.buf = b
	return b, state.HashKey(b), nil
}
