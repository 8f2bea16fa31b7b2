package topology

import (
	"slices"

	"github.com/tidemill/tidemill/processor"
)

// JoinTables is the table of the keys that have a row on both sides.
//
// An update of either side looks up the row of the other one and passes on the
// joined row, with the higher time of the two. While the other side has no row,
// nothing is passed on. A deletion deletes the joined row, and is passed on
// whenever the other side has a row. The result is a view, which
// [Table.Materialize] gives a store; both sides need rows to look up, and the
// same partitions.
//
// Two tables that come from the same updates (a table joined with a view of
// itself) may be joined: each update then comes out twice.
func JoinTables[K, L, R, V any](left *Table[K, L], right *Table[K, R], join func(L, R) V) *Table[K, V] {
	return joinTables("join-tables", left, right, false, false, present2(join), join == nil)
}

// JoinTablesOpt is [JoinTables] with a function that may leave a row out: an
// absent result is a deletion.
func JoinTablesOpt[K, L, R, V any](left *Table[K, L], right *Table[K, R], join func(L, R) processor.Opt[V]) *Table[K, V] {
	both := func(l processor.Opt[L], r processor.Opt[R]) processor.Opt[V] { return join(l.Value, r.Value) }
	return joinTables("join-tables", left, right, false, false, both, join == nil)
}

// LeftJoinTables is [JoinTables] that keeps the rows of the left side which have
// no partner: join gets an absent right value for them.
func LeftJoinTables[K, L, R, V any](left *Table[K, L], right *Table[K, R], join func(L, processor.Opt[R]) V) *Table[K, V] {
	some := func(l processor.Opt[L], r processor.Opt[R]) processor.Opt[V] { return processor.Some(join(l.Value, r)) }
	return joinTables("left-join-tables", left, right, true, false, some, join == nil)
}

// LeftJoinTablesOpt is [LeftJoinTables] with a function that may leave a row out.
func LeftJoinTablesOpt[K, L, R, V any](left *Table[K, L], right *Table[K, R],
	join func(L, processor.Opt[R]) processor.Opt[V]) *Table[K, V] {
	some := func(l processor.Opt[L], r processor.Opt[R]) processor.Opt[V] { return join(l.Value, r) }
	return joinTables("left-join-tables", left, right, true, false, some, join == nil)
}

// OuterJoinTables is [JoinTables] that keeps the rows of both sides which have no
// partner: join gets an absent value for the side that has none, never for both.
func OuterJoinTables[K, L, R, V any](left *Table[K, L], right *Table[K, R],
	join func(processor.Opt[L], processor.Opt[R]) V) *Table[K, V] {
	some := func(l processor.Opt[L], r processor.Opt[R]) processor.Opt[V] { return processor.Some(join(l, r)) }
	return joinTables("outer-join-tables", left, right, true, true, some, join == nil)
}

// OuterJoinTablesOpt is [OuterJoinTables] with a function that may leave a row
// out.
func OuterJoinTablesOpt[K, L, R, V any](left *Table[K, L], right *Table[K, R],
	join func(processor.Opt[L], processor.Opt[R]) processor.Opt[V]) *Table[K, V] {
	return joinTables("outer-join-tables", left, right, true, true, join, join == nil)
}

func present2[L, R, V any](join func(L, R) V) func(processor.Opt[L], processor.Opt[R]) processor.Opt[V] {
	return func(l processor.Opt[L], r processor.Opt[R]) processor.Opt[V] {
		return processor.Some(join(l.Value, r.Value))
	}
}

// joinTables declares a join: a node below each side, and one where they meet.
func joinTables[K, L, R, V any](kind string, left *Table[K, L], right *Table[K, R], keepLeft, keepRight bool,
	join func(processor.Opt[L], processor.Opt[R]) processor.Opt[V], missing bool) *Table[K, V] {
	left, right = left.current(), right.current()
	b := left.b
	fromLeft, fromRight := b.add(kind+"-left", left.n), b.add(kind+"-right", right.n)
	n := b.add(kind, fromLeft, fromRight)
	for _, each := range []*node{fromLeft, fromRight, n} {
		each.table = true
	}
	out := &Table[K, V]{b: b, n: n, store: n.name, deletes: true, streamFacts: left.streamFacts.or(right.streamFacts)}
	if right.b.declarations != b.declarations {
		b.fail(n.name, "the tables belong to different topologies; declare them on one Builder")
		return out
	}
	if missing {
		b.fail(n.name, "its function is nil; pass one")
	}
	if !left.needRows(n) || !right.needRows(n) {
		return out
	}
	lookUp(fromLeft, right.n)
	lookUp(fromRight, left.n)
	// A deletion without a partner must be told from one of a row that was not there.
	if keepLeft {
		left.needOld(n)
	}
	if keepRight {
		right.needOld(n)
	}
	related := comeFromSameTable(left.n, right.n)
	old := false
	out.askOld = func() bool {
		// The other side of a related table has changed already: the old joined row
		// cannot be computed any more.
		old = old || !related && left.asksOld() && right.asksOld()
		return old
	}
	swapped := func(r processor.Opt[R], l processor.Opt[L]) processor.Opt[V] { return join(l, r) }
	fromLeft.wire = func(w *wirer) any {
		side := joinSide[L, R, V]{join: join, keepMine: keepLeft, keepOther: keepRight, related: related, old: old}
		return wireJoinSide(w, fromLeft, left.streamFacts, side, right.rows)
	}
	fromRight.wire = func(w *wirer) any {
		side := joinSide[R, L, V]{join: swapped, keepMine: keepRight, keepOther: keepLeft, related: related, old: old}
		return wireJoinSide(w, fromRight, right.streamFacts, side, left.rows)
	}
	n.wire = func(w *wirer) any { return below[K, change[V]](w, n) }
	out.rows = joinedRows(left, right, keepLeft, keepRight, join)
	return out
}

// lookUp declares that n reads the rows of another node.
func lookUp(n, of *node) {
	n.lookups = append(n.lookups, of)
	n.detail = append(n.detail, "rows of", of.name)
}

// comeFromSameTable says whether one update can reach both tables.
func comeFromSameTable(x, y *node) bool {
	var above func(n *node) []*node
	above = func(n *node) (out []*node) {
		for out = []*node{n}; len(n.inputs) == 1 && n.table; out = append(out, n) {
			n = n.inputs[0]
		}
		for _, in := range n.inputs {
			if n.table {
				out = append(out, above(in)...)
			}
		}
		return out
	}
	both := above(y)
	return slices.ContainsFunc(above(x), func(n *node) bool { return n.table && slices.Contains(both, n) })
}

// joinSide is a join as one of its sides sees it.
type joinSide[A, B, V any] struct {
	join func(mine processor.Opt[A], other processor.Opt[B]) processor.Opt[V]
	// keepMine and keepOther say whose rows need no partner.
	keepMine, keepOther bool
	related, old        bool
}

// joined is the joined row of the given sides.
func (s *joinSide[A, B, V]) joined(mine processor.Opt[A], other processor.Opt[B]) processor.Opt[V] {
	switch {
	case mine.OK && (other.OK || s.keepMine), other.OK && s.keepOther:
		return s.join(mine, other)
	}
	return processor.None[V]()
}

// silent says that an update without a partner changes nothing. A partner from
// the same updates may just have been deleted: then the joined row has to go.
func (s *joinSide[A, B, V]) silent(c change[A]) bool {
	if s.keepMine {
		return !c.Old.OK && !c.New.OK
	}
	return !s.related || !c.Old.OK || c.New.OK
}

func wireJoinSide[K, A, B, V any](w *wirer, n *node, facts streamFacts, s joinSide[A, B, V], rows openRows[K, B]) any {
	next := below[K, change[V]](w, n)
	read, inst := rows(w, n, facts), w.instance
	return emit[K, change[A]](func(r processor.Record[K, change[A]]) error {
		other, err := read(r.Key)
		if err != nil {
			return err
		}
		if !other.value.OK && s.silent(r.Value) {
			return nil
		}
		inst.at = n
		c := change[V]{New: s.joined(r.Value.New, other.value)}
		if s.old {
			c.Old = s.joined(r.Value.Old, other.value)
		}
		if other.value.OK {
			r.Time = max(r.Time, other.time)
		}
		return next(processor.WithKey(r, r.Key, c))
	})
}

// joinedRows computes joined rows on demand.
func joinedRows[K, L, R, V any](left *Table[K, L], right *Table[K, R], keepLeft, keepRight bool,
	join func(processor.Opt[L], processor.Opt[R]) processor.Opt[V]) openRows[K, V] {
	side := joinSide[L, R, V]{join: join, keepMine: keepLeft, keepOther: keepRight}
	return func(w *wirer, asker *node, facts streamFacts) rowReader[K, V] {
		readLeft, readRight := left.rows(w, asker, facts), right.rows(w, asker, facts)
		inst := w.instance
		return func(k K) (row tableRow[V], err error) {
			l, err := readLeft(k)
			if err != nil {
				return row, err
			}
			r, err := readRight(k)
			if err != nil {
				return row, err
			}
			inst.at = asker
			row.value = side.joined(l.value, r.value)
			if l.value.OK {
				row.time = l.time
			}
			if r.value.OK {
				row.time = max(row.time, r.time)
			}
			return row, nil
		}
	}
}
