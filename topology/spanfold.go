package topology

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// spanGrouping is a grouping whose windows depend on the records of their key.
type spanGrouping[G, V any] interface {
	// feedSpans builds the entry of an aggregation over sessions or sliding windows.
	feedSpans(w *wirer, f feedEnv, step spanStep[G, V]) any
	// resize gives a result key other bounds.
	resize(g G, start, end int64) G
}

// spanStep takes one record into the windows of its key. The key of r has the
// record's time as both bounds.
type spanStep[G, V any] func(key []byte, hash uint32, r processor.Record[G, V]) error

func (g *WindowedStream[K, V]) resize(w state.Windowed[K], start, end int64) state.Windowed[K] {
	return resizeWindow(w, start, end)
}

func resizeWindow[K any](w state.Windowed[K], start, end int64) state.Windowed[K] {
	w.Start, w.End = processor.Timestamp(start), processor.Timestamp(end)
	return w
}

// feedSpans drops null values before sliding windows only, as Kafka Streams does.
func (g *WindowedStream[K, V]) feedSpans(w *wirer, f feedEnv, step spanStep[state.Windowed[K], V]) any {
	keys := newKeyEncoder[K](w, f, g.g.streamFacts)
	var null func(V) bool
	var dropped *uint64
	if g.g.windows.kind == kindSliding {
		null, dropped = processor.NullCheck[V](), w.instance.counter(f.n, DropNullValue)
	}
	clock := f.clock
	return emit[K, V](func(r processor.Record[K, V]) error {
		if null != nil && null(r.Value) {
			*dropped++
			return nil
		}
		if ts := int64(r.Time); ts > clock.StreamTime {
			clock.StreamTime = ts
			f.onAdvance()
		}
		key, hash, err := keys.encode(r.Key)
		if err != nil {
			return err
		}
		return step(key, hash, processor.WithKey(r, state.Windowed[K]{Key: r.Key, Start: r.Time, End: r.Time}, r.Value))
	})
}

// checkSpans demands what only such windows need.
func checkSpans[G, V, A any](facts *grouping, n *node, g Grouping[G, V], a AggregatorOpt[V, A]) {
	if _, ok := g.(spanGrouping[G, V]); !ok {
		facts.b.fail(n.name, "its grouping has no windows; insert WindowedBy")
	}
	if facts.windows.kind == kindSession && a.Merge == nil && a.Add != nil {
		facts.b.fail(n.name, "sessions are joined when a record lies between them, and its aggregator cannot; set Aggregator.Merge")
	}
}

// wireSpanAggregation builds the entry of an aggregation over sessions or sliding
// windows for one task.
func wireSpanAggregation[G, V, A any](w *wirer, n *node, g Grouping[G, V], a AggregatorOpt[V, A],
	store state.Materialized[G, A], spec state.Spec) any {
	facts := g.facts()
	grouping := g.(spanGrouping[G, V])
	f := feedEnv{n: n, keySerde: store.KeySerde(), clock: w.instance.operatorClock(spec.Name)}
	fold, err := newSpanFold(w, n, facts, store, spec)
	if err != nil {
		w.fail(&NodeError{Node: n.name, Err: err})
		return grouping.feedSpans(w, f, nil)
	}
	fold.resize, fold.init, fold.merge = grouping.resize, a.Init, a.Merge
	if facts.sourceKey != "" {
		w.warm(fold.spans)
	}
	f.onAdvance = fold.closer.advance
	return grouping.feedSpans(w, f, spanStepOf(w, fold, f.clock, a.Add))
}

// spanStepOf is how one input changes the windows of a key.
func spanStepOf[G, V, A any](w *wirer, fold *spanFold[G, A], clock *OperatorClock, add func(processor.Opt[A], V) processor.Opt[A]) spanStep[G, V] {
	late := w.instance.counter(fold.n, DropLate)
	if fold.windows.kind == kindSession {
		return sessionStep(fold, clock, late, add)
	}
	return slidingStep(fold, clock, late, add)
}

// spanFold holds the windows of an aggregation in one task. The inputs of a
// cogroup share one.
type spanFold[G, A any] struct {
	n        *node
	inst     *Instance
	spans    state.Spans[A]
	windows  *Windows
	init     func() processor.Opt[A] // may be nil
	merge    func(x, y processor.Opt[A]) processor.Opt[A]
	resize   func(g G, start, end int64) G
	next     emit[G, change[A]]
	onUpdate bool
	closer   *spanCloser[G, A]
}

func newSpanFold[G, A any](w *wirer, n *node, facts *grouping, store state.Materialized[G, A], spec state.Spec) (*spanFold[G, A], error) {
	next := below[G, change[A]](w, n)
	spans, err := openSpans(w, store, spec)
	if err != nil {
		return nil, err
	}
	inst := w.instance
	fold := &spanFold[G, A]{n: n, inst: inst, spans: spans, windows: facts.windows, next: next, onUpdate: facts.emission == OnUpdate}
	lag := facts.windows.closeLag()
	spans.Remember(lag + facts.windows.leastRetention().Milliseconds())
	keep := spec.Retention.Milliseconds()
	if facts.windows.kind == kindSliding {
		keep -= spec.WindowSize.Milliseconds() // retention counts from the start, expiry from the end
	}
	fold.closer = &spanCloser[G, A]{n: n, inst: inst, spans: spans, store: store, next: next,
		clock: inst.operatorClock(spec.Name), lag: lag, keep: keep, emits: facts.emission == OnClose}
	if fold.closer.emits {
		spans.Ordered()
	}
	fold.closer.advance()
	inst.closers = append(inst.closers, closing{n.id, fold.closer.drain})
	if facts.emission == OnCommit {
		inst.emitters = append(inst.emitters, emitter{n.id, fold.closer.emitDirty})
	}
	return fold, nil
}

func (f *spanFold[G, A]) empty() processor.Opt[A] {
	if f.init == nil {
		return processor.None[A]()
	}
	return f.init()
}

// emitSpan passes on an update of a window, made by the record meta is from.
func emitSpan[G, V, A any](f *spanFold[G, A], meta processor.Record[G, V], start, end, time int64, c change[A]) error {
	if !f.onUpdate {
		return nil
	}
	r := processor.WithKey(meta, f.resize(meta.Key, start, end), c)
	r.Time = processor.Timestamp(time)
	return f.next(r)
}

// openSpans opens the store of a node unless a processor of the task, which reads
// it, has done so.
func openSpans[G, A any](w *wirer, store state.Materialized[G, A], spec state.Spec) (state.Spans[A], error) {
	if opened := w.instance.storeByName[spec.Name]; opened != nil {
		spans, ok := opened.(state.Spans[A])
		if !ok {
			return nil, fmt.Errorf("store %s is declared with two value types; use one handle for it", spec.Name)
		}
		return spans, nil
	}
	handle, ok := store.(state.Spanned[A])
	if !ok {
		return nil, fmt.Errorf("store %s cannot hold windows with ends of their own", spec.Name)
	}
	spans, err := handle.OpenSpans(w.storeEnv(spec))
	if err != nil {
		return nil, err
	}
	w.instance.addStore(spans)
	return spans, nil
}
