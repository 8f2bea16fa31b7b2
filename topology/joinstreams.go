package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// JoinStreams joins each record of a stream with the records of another one that
// have its key and lie within the window: every pair once, whichever comes first.
//
// Both sides trigger. A record first meets those of the other side that are there,
// by time and then arrival, and is then remembered. A result has the higher time of
// the pair, and the headers of the record that completed it. Records of one key and
// time are all kept. There is no late record: one that is out of order meets whatever
// the other side still remembers, which is what is newer than its newest record by
// less than before + after + grace.
//
// Records of nullable streams whose key or value is null are dropped and counted, but move the stream
// time of the join, which both sides share. A stream may be joined with itself; each
// record then meets itself, once.
//
// The stores hold the records of each side. Both streams need the same partitions; a
// stream whose key may have changed is a Build error: insert [Stream.Repartition].
// The window may change between versions up to the power of two, in milliseconds,
// that before + after reaches; beyond that give the stores another name.
func JoinStreams[K, L, R, V any](left *Stream[K, L], right *Stream[K, R], window JoinWindow, join func(L, R) V,
	store state.JoinStore[K, L, R]) *Stream[K, V] {
	both := func(l processor.Opt[L], r processor.Opt[R]) V { return join(l.Value, r.Value) }
	d := streamJoinDecl[K, L, R, V]{kind: "join-streams", window: window, join: both, missing: join == nil, store: store}
	return d.declare(left, right)
}

// LeftJoinStreams is [JoinStreams] that also gives a result for each left record
// that meets no right one: join gets an absent right value for it.
//
// That result has the time of the left record and leaves when no partner in order
// can come any more: when stream time is beyond its time + after + grace. It takes a
// record with key and value that moves stream time, or is level with it, and leaves
// before the results of that record, with its headers. Those that leave together do
// so by time, then encoded key. As in Kafka Streams, they may leave later than that,
// by after + grace at most while records keep coming in order: which records wait is
// only looked at when stream time has passed the one looked at last. A left record
// that is late, because stream time is beyond its time + after already, leaves at
// once; a partner that comes all the same gives a result of its own.
//
// A left record whose key is null meets nothing and leaves at once. Such records
// pass the repartition topics above, which would drop them otherwise.
func LeftJoinStreams[K, L, R, V any](left *Stream[K, L], right *Stream[K, R], window JoinWindow,
	join func(L, processor.Opt[R]) V, store state.JoinStore[K, L, R]) *Stream[K, V] {
	d := streamJoinDecl[K, L, R, V]{kind: "left-join-streams", window: window, join: leftOf(join), missing: join == nil,
		keepLeft: true, store: store}
	return d.declare(left, right)
}

// OuterJoinStreams is [LeftJoinStreams] for both sides: join gets an absent value
// for the side that has none, never for both. A right record waits until stream
// time is beyond its time + before + grace. Of equal times the right side leaves
// first.
func OuterJoinStreams[K, L, R, V any](left *Stream[K, L], right *Stream[K, R], window JoinWindow,
	join func(processor.Opt[L], processor.Opt[R]) V, store state.JoinStore[K, L, R]) *Stream[K, V] {
	d := streamJoinDecl[K, L, R, V]{kind: "outer-join-streams", window: window, join: join, missing: join == nil,
		keepLeft: true, keepRight: true, store: store}
	return d.declare(left, right)
}

// keepNullKeys lets records without a key come to a join that gives results for
// them.
func keepNullKeys(sides ...*node) {
	for _, n := range sides {
		n.keepNullKeysAbove()
	}
}

func leftOf[L, R, V any](join func(L, processor.Opt[R]) V) func(processor.Opt[L], processor.Opt[R]) V {
	return func(l processor.Opt[L], r processor.Opt[R]) V { return join(l.Value, r) }
}

// streamJoinDecl is a declared join of two streams.
type streamJoinDecl[K, L, R, V any] struct {
	kind                string
	window              JoinWindow
	join                func(processor.Opt[L], processor.Opt[R]) V
	missing             bool // there is no function
	keepLeft, keepRight bool // whose records need no partner
	store               state.JoinStore[K, L, R]
}

// declare adds a node below each side, and one where they meet.
func (d *streamJoinDecl[K, L, R, V]) declare(left *Stream[K, L], right *Stream[K, R]) *Stream[K, V] {
	b := left.b
	fromLeft, fromRight := b.add(d.kind+"-left", left.n), b.add(d.kind+"-right", right.n)
	n := b.add(d.kind, fromLeft, fromRight)
	if name := d.store.Name(); name != "" {
		n.name = name
	}
	n.detail = append(n.detail, "window", d.window.String())
	out := &Stream[K, V]{b: b, n: n, streamFacts: left.streamFacts.or(right.streamFacts)}
	if d.keepLeft || d.keepRight {
		out.sourceKey = "" // results may leave with other records
		keepNullKeys(left.n, right.n)
	}
	if right.b.declarations != b.declarations {
		b.fail(n.name, "the streams belong to different topologies; declare them on one Builder")
		return out
	}
	if err := state.CheckName(d.store.Name()); err != nil {
		b.fail(n.name, "store: %v; give state.Join a valid name", err)
	}
	d.check(b, n, left.streamFacts, "left")
	d.check(b, n, right.streamFacts, "right")
	if d.missing {
		b.fail(n.name, "its function is nil; pass one")
	}
	if problem := d.window.check(); problem != "" {
		b.fail(n.name, "%s", problem)
		return out
	}
	leftSpec, rightSpec := d.spec(d.store.Left().Spec()), d.spec(d.store.Right().Spec())
	b.store(fromLeft, d.store.Left(), leftSpec, false)
	b.store(fromRight, d.store.Right(), rightSpec, false)
	n.wire = func(w *wirer) any { return wireStreamJoin(w, n, d, leftSpec, rightSpec) }
	fromLeft.wire = func(w *wirer) any { return wireLeftOfJoin(w, n, d, left.streamFacts) }
	fromRight.wire = func(w *wirer) any { return wireRightOfJoin(w, n, d, right.streamFacts) }
	return out
}

func (d *streamJoinDecl[K, L, R, V]) spec(spec state.Spec) state.Spec {
	spec.WindowSize, spec.Retention = state.JoinSlice(d.window.span()), d.window.retention()
	return spec
}

func (d *streamJoinDecl[K, L, R, V]) check(b *Builder, n *node, side streamFacts, which string) {
	if side.rekeyed != nil {
		b.fail(n.name, "the key of its %s side may have changed at %s, so records that belong together may lie in different partitions; "+
			"insert Repartition(topic) before the join", which, side.rekeyed.name)
	}
	if side.sampled != "" && !b.sampled[side.sampled] {
		b.fail(n.name, "its %s side has the updates of store %s, which emits per commit, so that the results would depend on "+
			"when commits happen; emit on update there, or call AcceptSampledUpdates(%q) first", which, side.sampled, side.sampled)
	}
}
