package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Aggregator folds values V into an aggregate A. Both functions must be pure;
// Add must return the new aggregate and leave the old one as it is, which plain
// value types do by themselves.
type Aggregator[V, A any] struct {
	// Init makes the aggregate of no values; nil means the zero A.
	Init func() A
	// Add returns the aggregate with one more value.
	Add func(A, V) A
	// Merge joins the aggregates of two sessions, the earlier one first. Sessions
	// need it; others leave it out.
	Merge func(A, A) A
}

// Merging is a with a function that joins two aggregates, which sessions need:
// Fold(Mean.Add).Merging(Mean.Merge).
func (a Aggregator[V, A]) Merging(merge func(A, A) A) Aggregator[V, A] {
	a.Merge = merge
	return a
}

// Fold is an Aggregator that begins with the zero A, so that a method can serve:
// Fold(Mean.Add).
func Fold[A, V any](add func(A, V) A) Aggregator[V, A] { return Aggregator[V, A]{Add: add} }

// AggregatorOpt is an Aggregator that may delete: an absent result removes the
// row, and the next value starts again from Init.
type AggregatorOpt[V, A any] struct {
	// Init makes the aggregate of no values; nil means an absent one.
	Init func() processor.Opt[A]
	Add  func(processor.Opt[A], V) processor.Opt[A]
	// Merge joins the aggregates of two sessions, the earlier one first. It begins
	// with what Init makes. Sessions need it; others leave it out.
	Merge func(processor.Opt[A], processor.Opt[A]) processor.Opt[A]
}

// Aggregate folds the values of each group into a row of the store and returns
// the table of the rows.
//
// The time of a result is the highest time of its values. Null values of a
// nullable stream are dropped and counted before an unwindowed aggregation, and
// reach Add in a windowed one, as in Kafka Streams. A late record, all of whose
// windows have closed, is dropped and counted.
func Aggregate[G, V, A any](g Grouping[G, V], a Aggregator[V, A], store state.Materialized[G, A]) *Table[G, A] {
	opt := AggregatorOpt[V, A]{}
	if a.Add != nil {
		opt.Add = func(agg processor.Opt[A], v V) processor.Opt[A] { return processor.Some(a.Add(agg.Value, v)) }
	}
	opt.Init = func() processor.Opt[A] {
		if a.Init == nil {
			return processor.Opt[A]{OK: true}
		}
		return processor.Some(a.Init())
	}
	if a.Merge != nil {
		opt.Merge = func(x, y processor.Opt[A]) processor.Opt[A] { return processor.Some(a.Merge(x.Value, y.Value)) }
	}
	return aggregate("aggregate", g, opt, store, false)
}

// AggregateOpt is [Aggregate] with an aggregator that may delete rows.
func AggregateOpt[G, V, A any](g Grouping[G, V], a AggregatorOpt[V, A], store state.Materialized[G, A]) *Table[G, A] {
	return aggregate("aggregate", g, a, store, true)
}

// Count counts the records of each group.
func Count[G, V any](g Grouping[G, V], store state.Materialized[G, int64]) *Table[G, int64] {
	return aggregate("count", g, AggregatorOpt[V, int64]{
		Init:  func() processor.Opt[int64] { return processor.Some[int64](0) },
		Add:   func(n processor.Opt[int64], _ V) processor.Opt[int64] { return processor.Some(n.Value + 1) },
		Merge: func(x, y processor.Opt[int64]) processor.Opt[int64] { return processor.Some(x.Value + y.Value) },
	}, store, false)
}

// Reduce combines the values of each group: the first one is taken as it is.
func Reduce[G, V any](g Grouping[G, V], combine func(aggregate, value V) V, store state.Materialized[G, V]) *Table[G, V] {
	opt := AggregatorOpt[V, V]{}
	if combine != nil {
		opt.Add = func(agg processor.Opt[V], v V) processor.Opt[V] {
			if !agg.OK {
				return processor.Some(v)
			}
			return processor.Some(combine(agg.Value, v))
		}
		opt.Merge = func(x, y processor.Opt[V]) processor.Opt[V] {
			if !x.OK {
				return y
			}
			return processor.Some(combine(x.Value, y.Value))
		}
	}
	return aggregate("reduce", g, opt, store, false)
}

// ReduceOpt is [Reduce] over the values of a nullable stream. An absent result
// deletes the row.
func ReduceOpt[G, V any](g Grouping[G, processor.Opt[V]], combine func(aggregate V, value processor.Opt[V]) processor.Opt[V],
	store state.Materialized[G, V]) *Table[G, V] {
	opt := AggregatorOpt[processor.Opt[V], V]{}
	if combine != nil {
		opt.Add = func(agg processor.Opt[V], v processor.Opt[V]) processor.Opt[V] {
			if !agg.OK {
				return v
			}
			return combine(agg.Value, v)
		}
		opt.Merge = opt.Add
	}
	return aggregate("reduce", g, opt, store, true)
}

// aggregate declares an aggregation of any kind.
func aggregate[G, V, A any](kind string, g Grouping[G, V], a AggregatorOpt[V, A], store state.Materialized[G, A], deletes bool) *Table[G, A] {
	facts := g.facts()
	b := facts.b
	n := b.add(kind, facts.n)
	spec := aggregationSpec(facts, store.Spec())
	n.name = spec.Name
	if a.Add == nil {
		b.fail(n.name, "its function is nil; pass one")
	}
	checkAggregation(facts, n, spec)
	b.store(n, store, spec, false)
	n.detail = append(n.detail, "store", spec.Name, "emit", facts.emission.String())
	if facts.windows != nil {
		n.detail = append(n.detail, "windows", facts.windows.String(), "retention", spec.Retention.String())
	}
	n.wire = func(w *wirer) any { return wireAggregation(w, n, g, a, store, spec) }
	if facts.windows.spans() {
		checkSpans(facts, n, g, a)
		n.wire = func(w *wirer) any { return wireSpanAggregation(w, n, g, a, store, spec) }
	}
	return aggregated(facts, n, store, spec, deletes)
}

// aggregated is the table of an aggregation.
func aggregated[G, A any](facts *grouping, n *node, store state.Materialized[G, A], spec state.Spec, deletes bool) *Table[G, A] {
	t := &Table[G, A]{b: facts.b, n: n, store: spec.Name, deletes: deletes, streamFacts: facts.streamFacts}
	t.sourceKey = "" // results may come at a commit or close, behind other records
	t.windowed = facts.windows
	t.keep(store, spec)
	if facts.windows.spans() {
		t.rows = nil
		// A session that becomes part of another one is deleted.
		t.deletes = deletes || facts.windows.kind == kindSession && facts.emission != OnClose
	}
	if facts.emission == OnCommit {
		t.sampled, t.askOld = spec.Name, nil // what was emitted last is not known
	}
	return t
}

// aggregationSpec fills in what the handle leaves to the aggregation.
func aggregationSpec(g *grouping, spec state.Spec) state.Spec {
	if g.windows == nil {
		return spec
	}
	if g.windows.kind == kindSliding && spec.Kind == state.KindWindow {
		spec.Kind = state.KindSliding
	}
	if g.windows.kind != kindSession {
		spec.WindowSize = g.windows.size
	}
	if spec.Retention == 0 {
		spec.Retention = max(g.windows.leastRetention(), state.DefaultWindowRetention)
	}
	return spec
}

func checkAggregation(g *grouping, n *node, spec state.Spec) {
	b := g.b
	if g.windows != nil && spec.Retention < g.windows.leastRetention() {
		b.fail(n.name, "retention %v is shorter than %s, %v; raise it with the handle's Retention",
			spec.Retention, g.windows.retentionRule(), g.windows.leastRetention())
	}
	if kind, fix := g.windows.storeKind(); spec.Kind != kind {
		b.fail(n.name, "a %s store does not fit its grouping; make the handle of store %s with %s", spec.Kind, spec.Name, fix)
	}
	if g.windows == nil && g.emission == OnClose {
		b.fail(n.name, "emission on close needs windows; insert WindowedBy, or use OnUpdate or OnCommit")
	}
	if g.windows != nil && g.windows.kind == kindUnlimited && g.emission == OnClose {
		b.fail(n.name, "unlimited windows never close; use OnUpdate or OnCommit")
	}
	if g.sampled != "" && !b.sampled[g.sampled] {
		b.fail(n.name, "it would aggregate the updates of store %s, which emits per commit, so the result would depend on "+
			"when commits happen; emit on update or on close there, or call AcceptSampledUpdates(%q) first", g.sampled, g.sampled)
	}
}

// wireAggregation builds the entry of an aggregation for one task.
func wireAggregation[G, V, A any](w *wirer, n *node, g Grouping[G, V], a AggregatorOpt[V, A],
	store state.Materialized[G, A], spec state.Spec) any {
	facts := g.facts()
	f := feedEnv{n: n, keySerde: store.KeySerde(), clock: w.instance.operatorClock(spec.Name)}
	fold, err := newRowFold(w, n, facts, a.Init, store, spec)
	if err != nil {
		w.fail(&NodeError{Node: n.name, Err: err})
		return g.feed(w, f, nil)
	}
	if facts.sourceKey != "" {
		w.warm(fold.cells)
	}
	f.onAdvance = fold.onAdvance
	return g.feed(w, f, foldInto(fold, a.Add))
}

// rowFold holds the rows of an aggregation without windows, or over time windows,
// in one task. The inputs of a cogroup share one.
type rowFold[G, A any] struct {
	n         *node
	inst      *Instance
	cells     state.Cells[A]
	init      func() processor.Opt[A]
	next      emit[G, change[A]]
	onUpdate  bool
	onAdvance func() // to be called when the clock of the store has moved
}

func newRowFold[G, A any](w *wirer, n *node, facts *grouping, init func() processor.Opt[A],
	store state.Materialized[G, A], spec state.Spec) (*rowFold[G, A], error) {
	next := below[G, change[A]](w, n)
	cells, err := openCells(w, store, spec)
	if err != nil {
		return nil, err
	}
	inst := w.instance
	fold := &rowFold[G, A]{n: n, inst: inst, cells: cells, init: init, next: next,
		onUpdate: facts.emission == OnUpdate, onAdvance: func() {}}
	rows := &rowEmitter[G, A]{n: n, inst: inst, cells: cells, store: store, next: next, size: spec.WindowSize.Milliseconds()}
	if facts.windows != nil {
		c := &closer[G, A]{rows: rows, clock: inst.operatorClock(spec.Name), math: facts.windows.math(),
			retention: spec.Retention.Milliseconds(), emits: facts.emission == OnClose}
		fold.onAdvance = c.advance
		c.advance()
		inst.closers = append(inst.closers, closing{n.id, c.drain})
	}
	if facts.emission == OnCommit {
		inst.emitters = append(inst.emitters, emitter{n.id, rows.emitDirty})
	}
	return fold, nil
}

// foldInto is how one input changes a row.
func foldInto[G, V, A any](f *rowFold[G, A], add func(processor.Opt[A], V) processor.Opt[A]) rowUpdate[G, V] {
	return func(start int64, key []byte, hash uint32, r processor.Record[G, V]) error {
		f.inst.at = f.n
		slot, err := f.cells.Slot(start, key, hash)
		if err != nil {
			return &NodeError{Node: f.n.name, Err: err}
		}
		var old, agg processor.Opt[A]
		var oldTime int64
		old.Value, oldTime, old.OK = slot.Load()
		switch {
		case old.OK:
			agg = old
		case f.init != nil:
			agg = f.init()
		}
		agg = add(agg, r.Value)
		if old.OK {
			r.Time = max(r.Time, processor.Timestamp(oldTime))
		}
		if agg.OK {
			slot.Store(agg.Value, int64(r.Time))
		} else if old.OK {
			slot.Delete()
		}
		if !f.onUpdate {
			return nil
		}
		return f.next(processor.WithKey(r, r.Key, change[A]{Old: old, New: agg}))
	}
}
