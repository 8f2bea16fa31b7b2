package topology

import (
	"strconv"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Cogrouping is a cogroup, ready to be aggregated into results with key G:
// [CogroupedStream] or [CogroupedWindows].
type Cogrouping[G, A any] interface {
	cogrouped() *cogroup[A]
	// feed builds the entry of one input.
	feed(w *wirer, input int, f feedEnv, in cogroupFold[G, A]) any
}

// cogroup is what the inputs of a cogroup share.
type cogroup[A any] struct {
	grouping
	nodes   []*node // one per input
	init    func() processor.Opt[A]
	merge   func(x, y processor.Opt[A]) processor.Opt[A]
	deletes bool
}

// cogroupFold is one of the two, as the windows demand.
type cogroupFold[G, A any] struct {
	rows  *rowFold[G, A]
	spans *spanFold[G, A]
}

// CogroupedStream is several grouped streams with the same keys that change one
// aggregate per key. Begin one with [Cogroup], add to it with [AddTo], and end it
// with [AggregateCogroup].
type CogroupedStream[K, A any] struct {
	c      cogroup[A]
	inputs []cogroupInput[K, A]
}

// cogroupInput hides the type of an input's values.
type cogroupInput[K, A any] struct {
	facts    *grouping
	plain    func(w *wirer, f feedEnv, fold *rowFold[K, A]) any
	windowed func(w *wirer, f feedEnv, windows *Windows, in cogroupFold[state.Windowed[K], A]) any
}

// Cogroup begins a cogroup with its first input. add takes a value of the input
// into the aggregate, which begins as the zero A (see [CogroupedStream.Init]).
func Cogroup[K, V, A any](g *GroupedStream[K, V], add func(A, V) A) *CogroupedStream[K, A] {
	c := &CogroupedStream[K, A]{}
	c.c.b = g.g.b
	c.c.init = func() processor.Opt[A] { return processor.Opt[A]{OK: true} }
	return AddTo(c, g, add)
}

// AddTo adds an input with its own kind of values. The inputs of a cogroup are told
// apart by their order: add new ones at the end, or the stream times that windows
// keep for each change places at the next start.
func AddTo[K, V, A any](c *CogroupedStream[K, A], g *GroupedStream[K, V], add func(A, V) A) *CogroupedStream[K, A] {
	if add == nil {
		return addTo[K, V, A](c, g, nil)
	}
	return addTo(c, g, func(agg processor.Opt[A], v V) processor.Opt[A] { return processor.Some(add(agg.Value, v)) })
}

// CogroupOpt is [Cogroup] with an add that may delete the row. The aggregate
// begins absent, unless Init or InitOpt says otherwise.
func CogroupOpt[K, V, A any](g *GroupedStream[K, V], add func(processor.Opt[A], V) processor.Opt[A]) *CogroupedStream[K, A] {
	c := &CogroupedStream[K, A]{}
	c.c.b = g.g.b
	return AddToOpt(c, g, add)
}

// AddToOpt is [AddTo] with an add that may delete the row. To an add that may not,
// an absent aggregate is the zero A.
func AddToOpt[K, V, A any](c *CogroupedStream[K, A], g *GroupedStream[K, V], add func(processor.Opt[A], V) processor.Opt[A]) *CogroupedStream[K, A] {
	out := addTo(c, g, add)
	out.c.deletes = true
	return out
}

func addTo[K, V, A any](c *CogroupedStream[K, A], g *GroupedStream[K, V], add func(processor.Opt[A], V) processor.Opt[A]) *CogroupedStream[K, A] {
	out := *c
	if g.g.b.declarations != c.c.b.declarations {
		c.c.b.fail("cogroup", "its streams belong to different topologies; declare them on one Builder")
		return &out
	}
	if g.g.emission != OnUpdate {
		c.c.b.fail("cogroup", "the emission of an input means nothing; use Emit of the cogroup")
	}
	n := c.c.b.add("cogroup", g.g.n)
	if add == nil {
		c.c.b.fail(n.name, "its function is nil; pass one")
	}
	if len(c.inputs) == 0 {
		out.c.streamFacts = g.g.streamFacts
	} else {
		out.c.streamFacts = c.c.streamFacts.or(g.g.streamFacts)
	}
	out.c.nodes = append(c.c.nodes[:len(c.c.nodes):len(c.c.nodes)], n)
	out.inputs = append(c.inputs[:len(c.inputs):len(c.inputs)], cogroupInput[K, A]{
		facts: &g.g,
		plain: func(w *wirer, f feedEnv, fold *rowFold[K, A]) any { return g.feed(w, f, foldInto(fold, add)) },
		windowed: func(w *wirer, f feedEnv, windows *Windows, in cogroupFold[state.Windowed[K], A]) any {
			ws := &WindowedStream[K, V]{g.g}
			ws.g.windows = windows
			if in.spans != nil {
				return ws.feedSpans(w, f, spanStepOf(w, in.spans, f.clock, add))
			}
			return ws.feed(w, f, foldInto(in.rows, add))
		},
	})
	return &out
}

// Init makes the aggregate of no values; without it that is the zero A.
func (c *CogroupedStream[K, A]) Init(init func() A) *CogroupedStream[K, A] {
	return c.InitOpt(func() processor.Opt[A] { return processor.Some(init()) })
}

// InitOpt is Init for an aggregate that may be absent.
func (c *CogroupedStream[K, A]) InitOpt(init func() processor.Opt[A]) *CogroupedStream[K, A] {
	out := *c
	out.c.init = init
	return &out
}

// Merging joins the aggregates of two sessions, the earlier one first. Sessions
// need it; others leave it out.
func (c *CogroupedStream[K, A]) Merging(merge func(x, y A) A) *CogroupedStream[K, A] {
	return c.MergingOpt(func(x, y processor.Opt[A]) processor.Opt[A] { return processor.Some(merge(x.Value, y.Value)) })
}

// MergingOpt is Merging for aggregates that may be absent.
func (c *CogroupedStream[K, A]) MergingOpt(merge func(x, y processor.Opt[A]) processor.Opt[A]) *CogroupedStream[K, A] {
	out := *c
	out.c.merge = merge
	return &out
}

// Emit says when results are passed on: [OnUpdate], which is the default, or
// [OnCommit].
func (c *CogroupedStream[K, A]) Emit(e Emission) *CogroupedStream[K, A] {
	out := *c
	out.c.emission = e
	return &out
}

// WindowedBy cuts the groups into windows.
//
// Each input has a stream time of its own, as in Kafka Streams: a record is late
// when the records of its own input have passed its windows, however far the others
// are. Rows expire by the stream time of the input that is furthest; what has
// expired takes no more records.
func (c *CogroupedStream[K, A]) WindowedBy(windows Windows) *CogroupedWindows[K, A] {
	if problem := windows.check(); problem != "" {
		c.c.b.fail("windowed-by", "%s", problem)
	}
	out := &CogroupedWindows[K, A]{*c}
	out.s.c.windows = &windows
	return out
}

func (c *CogroupedStream[K, A]) cogrouped() *cogroup[A] { return &c.c }

func (c *CogroupedStream[K, A]) feed(w *wirer, input int, f feedEnv, in cogroupFold[K, A]) any {
	return c.inputs[input].plain(w, f, in.rows)
}

// CogroupedWindows is a cogroup cut into windows.
type CogroupedWindows[K, A any] struct{ s CogroupedStream[K, A] }

// Emit says when results are passed on: [OnUpdate], which is the default, or
// [OnCommit].
func (c *CogroupedWindows[K, A]) Emit(e Emission) *CogroupedWindows[K, A] {
	out := *c
	out.s.c.emission = e
	return &out
}

func (c *CogroupedWindows[K, A]) cogrouped() *cogroup[A] { return &c.s.c }

func (c *CogroupedWindows[K, A]) feed(w *wirer, input int, f feedEnv, in cogroupFold[state.Windowed[K], A]) any {
	if in.spans != nil {
		in.spans.resize = resizeWindow[K]
	}
	return c.s.inputs[input].windowed(w, f, c.s.c.windows, in)
}

// AggregateCogroup folds the values of all inputs of each group into one row of
// the store and returns the table of the rows. The rules are those of [Aggregate].
func AggregateCogroup[G, A any](c Cogrouping[G, A], store state.Materialized[G, A]) *Table[G, A] {
	shared := c.cogrouped()
	b := shared.b
	n := b.add("aggregate", shared.nodes...)
	spec := aggregationSpec(&shared.grouping, store.Spec())
	n.name, n.table = spec.Name, true
	checkAggregation(&shared.grouping, n, spec)
	checkCogroup(shared, n)
	b.store(n, store, spec, false)
	n.detail = append(n.detail, "store", spec.Name, "emit", shared.emission.String())
	if shared.windows != nil {
		n.detail = append(n.detail, "windows", shared.windows.String(), "retention", spec.Retention.String())
	}
	n.wire = func(w *wirer) any { return wireCogroup(w, n, c, store, spec) }
	for i, input := range shared.nodes {
		input.wire = func(w *wirer) any { return wireCogroupInput(w, i, n, c, store, spec) }
	}
	return aggregated(&shared.grouping, n, store, spec, shared.deletes)
}

func checkCogroup[A any](c *cogroup[A], n *node) {
	if c.emission == OnClose {
		c.b.fail(n.name, "each input of a cogroup has a stream time of its own, so that no record closes a window for all; "+
			"emit on update, and insert SuppressUntilClose below")
	}
	if c.windows != nil && c.windows.kind == kindSession && c.merge == nil {
		c.b.fail(n.name, "sessions are joined when a record lies between them, and its aggregate cannot; insert Merging")
	}
	for _, input := range c.nodes {
		if input.wire != nil {
			c.b.fail(n.name, "its cogroup is aggregated twice; build one for each")
		}
	}
}

// wireCogroup builds what the inputs share, once per task.
func wireCogroup[G, A any](w *wirer, n *node, c Cogrouping[G, A], store state.Materialized[G, A], spec state.Spec) any {
	shared := c.cogrouped()
	var fold cogroupFold[G, A]
	var err error
	if shared.windows.spans() {
		if fold.spans, err = newSpanFold(w, n, &shared.grouping, store, spec); err == nil {
			fold.spans.init, fold.spans.merge = shared.init, shared.merge
		}
	} else {
		fold.rows, err = newRowFold(w, n, &shared.grouping, shared.init, store, spec)
	}
	if err != nil {
		w.fail(&NodeError{Node: n.name, Err: err})
		return cogroupFold[G, A]{}
	}
	return fold
}

func wireCogroupInput[G, A any](w *wirer, input int, n *node, c Cogrouping[G, A], store state.Materialized[G, A], spec state.Spec) any {
	built, ok := w.entries[n]
	if !ok {
		built = n.wire(w)
		w.entries[n] = built
	}
	fold := built.(cogroupFold[G, A])
	clock := w.instance.operatorClock(spec.Name)
	f := feedEnv{n: n, keySerde: store.KeySerde(), clock: clock}
	failed := fold.rows == nil && fold.spans == nil
	if failed || c.cogrouped().windows == nil {
		return c.feed(w, input, f, fold)
	}
	f.clock = w.instance.operatorClock(spec.Name + "/" + strconv.Itoa(input))
	var advance func()
	if fold.spans != nil {
		f.horizon, advance = fold.spans.spans.Horizon, fold.spans.closer.advance
	} else {
		f.horizon, advance = fold.rows.cells.Horizon, fold.rows.onAdvance
	}
	f.onAdvance = func() {
		if f.clock.StreamTime > clock.StreamTime {
			clock.StreamTime = f.clock.StreamTime
			advance()
		}
	}
	return c.feed(w, input, f, fold)
}
