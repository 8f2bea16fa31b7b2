package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// ForeignJoin names what a foreign-key join keeps: the topics over which the rows
// of the two tables find each other, and a store.
type ForeignJoin[K, F, R any] struct {
	// Subscriptions goes from the left rows to the right ones: its key serde writes
	// foreign keys, as the right table's topic does, and its value serde the keys of
	// left rows. It has the partitions of the right table's topic.
	Subscriptions Topic[F, K]
	// Answers goes back: its key serde writes the keys of left rows, as the left
	// table's topic does, and its value serde the values of right rows. It has the
	// partitions of the left table's topic.
	Answers Topic[K, R]
	// Store is the name of the store that holds, beside the right table, which left
	// rows refer to a right row.
	Store string
}

// JoinForeign joins each row of the left table with the row of the right table to
// which foreign refers. The result has the keys of the left table.
//
// An update of a left row asks the right row, over the topics of via, and the
// result comes when it answers: with the higher time of the two. An update of a
// right row reaches every left row that refers to it; the results have the time
// of the right row, as in Kafka Streams. An answer for a left row that has changed
// meanwhile is left out, which is told by a hash of the row's value: the left
// table needs a store, or a serde through one. A left row that begins to refer to
// a row which does not exist, or is deleted, deletes its result. Deletions of
// results that were not there are possible.
//
// The result is a view without rows; [Table.Materialize] gives it a store, which
// joins with it and groupings need.
func JoinForeign[K, L, F, R, V any](left *Table[K, L], right *Table[F, R], foreign func(K, L) F,
	join func(L, R) V, via ForeignJoin[K, F, R]) *Table[K, V] {
	both := func(l L, r processor.Opt[R]) processor.Opt[V] { return processor.Some(join(l, r.Value)) }
	return joinForeign("join-foreign", left, right, presentKey(foreign), false, both, join == nil, via)
}

// JoinForeignOpt is [JoinForeign] where a row may refer to nothing, in which case
// it has no result, and where join may leave a row out.
func JoinForeignOpt[K, L, F, R, V any](left *Table[K, L], right *Table[F, R], foreign func(K, L) processor.Opt[F],
	join func(L, R) processor.Opt[V], via ForeignJoin[K, F, R]) *Table[K, V] {
	both := func(l L, r processor.Opt[R]) processor.Opt[V] { return join(l, r.Value) }
	return joinForeign("join-foreign", left, right, foreign, false, both, join == nil, via)
}

// LeftJoinForeign is [JoinForeign] that keeps the left rows without a partner:
// join gets an absent right value for them.
func LeftJoinForeign[K, L, F, R, V any](left *Table[K, L], right *Table[F, R], foreign func(K, L) F,
	join func(L, processor.Opt[R]) V, via ForeignJoin[K, F, R]) *Table[K, V] {
	some := func(l L, r processor.Opt[R]) processor.Opt[V] { return processor.Some(join(l, r)) }
	return joinForeign("left-join-foreign", left, right, presentKey(foreign), true, some, join == nil, via)
}

// LeftJoinForeignOpt is [LeftJoinForeign] where a row may refer to nothing, in
// which case it has no partner, and where join may leave a row out.
func LeftJoinForeignOpt[K, L, F, R, V any](left *Table[K, L], right *Table[F, R], foreign func(K, L) processor.Opt[F],
	join func(L, processor.Opt[R]) processor.Opt[V], via ForeignJoin[K, F, R]) *Table[K, V] {
	return joinForeign("left-join-foreign", left, right, foreign, true, join, join == nil, via)
}

func joinForeign[K, L, F, R, V any](kind string, left *Table[K, L], right *Table[F, R], foreign func(K, L) processor.Opt[F], outer bool,
	join func(L, processor.Opt[R]) processor.Opt[V], missing bool, via ForeignJoin[K, F, R]) *Table[K, V] {
	left, right = left.current(), right.current()
	b := left.b
	ask := b.add(kind+"-ask", left.n)
	out := &Table[K, V]{b: b, n: ask, store: ask.name, deletes: true}
	if foreign == nil || missing {
		b.fail(ask.name, "one of its functions is nil; pass both")
		return out
	}
	if right.b.declarations != b.declarations {
		b.fail(ask.name, "the tables belong to different topologies; declare them on one Builder")
		return out
	}
	if left.values == nil {
		b.fail(ask.name, "it needs the serde of the left values; insert Materialize(store) behind %s", left.n.name)
	}
	if !via.complete(b, ask) || left.values == nil || !left.needOld(ask) || !left.needRows(ask) || !right.needRows(ask) {
		return out
	}
	answers := declareRight(kind, declareAsk(ask, left, foreign, outer, via), right, via)
	n := b.add(kind, answers.n)
	n.table = true
	lookUp(n, left.n)
	n.wire = func(w *wirer) any { return wireAnswers(w, n, answers.streamFacts, left, outer, join) }
	out.n, out.store, out.streamFacts = n, n.name, answers.streamFacts
	return out
}

// complete checks what the topics cannot check themselves.
func (via ForeignJoin[K, F, R]) complete(b *Builder, n *node) bool {
	if via.Subscriptions.Key == nil || via.Subscriptions.Value == nil || via.Answers.Key == nil || via.Answers.Value == nil {
		b.fail(n.name, "topic %s or %s has no key or value serde; set Topic.Key and Topic.Value of both", via.Subscriptions.Name, via.Answers.Name)
		return false
	}
	if err := state.CheckName(via.Store); err != nil {
		b.fail(n.name, "store: %v; set ForeignJoin.Store", err)
		return false
	}
	return true
}

// declareAsk declares the way from the left rows to the right side.
func declareAsk[K, L, F, R any](n *node, left *Table[K, L], foreign func(K, L) processor.Opt[F], outer bool,
	via ForeignJoin[K, F, R]) *Stream[processor.Opt[F], subscription[K]] {
	n.wire = func(w *wirer) any {
		a := &asker[K, L, F]{n: n, inst: w.instance, foreign: foreign, outer: outer, foreignKey: via.Subscriptions.Key,
			hasher: hasher[L]{n: n, values: left.values}, next: below[processor.Opt[F], subscription[K]](w, n)}
		return emit[K, change[L]](a.update)
	}
	s := &Stream[processor.Opt[F], subscription[K]]{b: left.b, n: n, streamFacts: streamFacts{sampled: left.sampled}}
	t := via.Subscriptions
	out := s.Repartition(Topic[processor.Opt[F], subscription[K]]{Name: t.Name, Partitions: t.Partitions, Retention: t.Retention,
		Partitioner: t.Partitioner, Key: serde.Nullable(t.Key), Value: subscriptionSerde[K]{t.Value}})
	out.n.feeder.keepNullKeys = true // a row that refers to nothing is answered too
	return out
}

// declareRight declares what lies beside the right table, and the way back.
func declareRight[K, F, R any](kind string, subscriptions *Stream[processor.Opt[F], subscription[K]], right *Table[F, R],
	via ForeignJoin[K, F, R]) *Stream[K, answer[R]] {
	b := right.b
	store := state.KeyValue[[]byte, rowHash](via.Store, serde.Bytes, hashSerde{})
	subscribe, update := b.add(kind+"-subscribe", subscriptions.n), b.add(kind+"-update", right.n)
	lookUp(subscribe, right.n)
	b.store(subscribe, store, store.Spec(), false)
	update.stores = append(update.stores, via.Store)
	if decl := b.stores[via.Store]; decl != nil && decl.owner == subscribe {
		decl.nodes = append(decl.nodes, update)
	}
	subscribe.detail = append(subscribe.detail, "store", via.Store)
	open := func(w *wirer, n *node) *rightSide[K, F, R] { return openRightSide(w, n, store, right, via) }
	subscribe.wire = func(w *wirer) any {
		side := open(w, subscribe)
		side.next = below[K, answer[R]](w, subscribe)
		side.read = right.rows(w, subscribe, subscriptions.streamFacts)
		return emit[processor.Opt[F], subscription[K]](side.subscribe)
	}
	update.wire = func(w *wirer) any {
		side := open(w, update)
		side.next = below[K, answer[R]](w, update)
		return emit[F, change[R]](side.update)
	}
	n := b.add(kind+"-answer", subscribe, update)
	n.wire = func(w *wirer) any { return below[K, answer[R]](w, n) }
	s := &Stream[K, answer[R]]{b: b, n: n, streamFacts: streamFacts{sampled: right.sampled}}
	t := via.Answers
	return s.Repartition(Topic[K, answer[R]]{Name: t.Name, Partitions: t.Partitions, Retention: t.Retention,
		Partitioner: t.Partitioner, Key: t.Key, Value: answerSerde[R]{t.Value}})
}
