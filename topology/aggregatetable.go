package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// TableAggregator folds the rows of a group into an aggregate, and takes them out
// again when they change or leave. The functions must be pure, and Subtract must
// undo Add, whatever the order.
type TableAggregator[V, A any] struct {
	// Init makes the aggregate of no rows; nil means the zero A.
	Init func() A
	// Add returns the aggregate with one more row, Subtract without one.
	Add, Subtract func(A, V) A
}

// TableAggregatorOpt is a [TableAggregator] that may delete: an absent result
// removes the group, and the next row starts again from Init.
type TableAggregatorOpt[V, A any] struct {
	// Init makes the aggregate of no rows; nil means an absent one.
	Init          func() processor.Opt[A]
	Add, Subtract func(processor.Opt[A], V) processor.Opt[A]
}

// AggregateTable folds the rows of each group into a row of the store and returns
// the table of the groups, every update of which is passed on.
//
// Of an update inside its group the old row is subtracted and the new one added,
// in one step; one that moves between groups updates both. A row is not
// subtracted from a group without an aggregate, which happens only after the
// aggregator has deleted it: what comes out then is a deletion once more. A group
// whose last row has left keeps the aggregate of no rows; to delete it, use
// [AggregateTableOpt]. The time of a result is the higher one of update and
// stored aggregate.
func AggregateTable[K, V, A any](g *GroupedTable[K, V], a TableAggregator[V, A], store state.Materialized[K, A]) *Table[K, A] {
	opt := TableAggregatorOpt[V, A]{Add: presentFold(a.Add), Subtract: presentFold(a.Subtract), Init: func() processor.Opt[A] {
		if a.Init == nil {
			return processor.Opt[A]{OK: true}
		}
		return processor.Some(a.Init())
	}}
	// A subtraction from a group that is not there is a deletion. It takes a
	// deletion before it, which this aggregator never makes.
	return aggregateTable("aggregate-table", g, opt, store, false)
}

func presentFold[V, A any](f func(A, V) A) func(processor.Opt[A], V) processor.Opt[A] {
	if f == nil {
		return nil
	}
	return func(agg processor.Opt[A], v V) processor.Opt[A] { return processor.Some(f(agg.Value, v)) }
}

// AggregateTableOpt is [AggregateTable] with an aggregator that may delete groups.
func AggregateTableOpt[K, V, A any](g *GroupedTable[K, V], a TableAggregatorOpt[V, A], store state.Materialized[K, A]) *Table[K, A] {
	return aggregateTable("aggregate-table", g, a, store, true)
}

// CountTable counts the rows of each group. A group whose last row has left stays,
// with 0.
func CountTable[K, V any](g *GroupedTable[K, V], store state.Materialized[K, int64]) *Table[K, int64] {
	by := func(n int64) func(processor.Opt[int64], V) processor.Opt[int64] {
		return func(agg processor.Opt[int64], _ V) processor.Opt[int64] { return processor.Some(agg.Value + n) }
	}
	a := TableAggregatorOpt[V, int64]{Init: func() processor.Opt[int64] { return processor.Some[int64](0) }, Add: by(1), Subtract: by(-1)}
	return aggregateTable("count-table", g, a, store, false)
}

// ReduceTable combines the values of the rows of each group; the first one is
// taken as it is. See [AggregateTable].
func ReduceTable[K, V any](g *GroupedTable[K, V], add, subtract func(aggregate, value V) V, store state.Materialized[K, V]) *Table[K, V] {
	return aggregateTable("reduce-table", g, reducer(presentFold(add), presentFold(subtract)), store, false)
}

// ReduceTableOpt is [ReduceTable] with functions that may delete the group.
func ReduceTableOpt[K, V any](g *GroupedTable[K, V], add, subtract func(aggregate, value V) processor.Opt[V],
	store state.Materialized[K, V]) *Table[K, V] {
	fold := func(f func(V, V) processor.Opt[V]) func(processor.Opt[V], V) processor.Opt[V] {
		if f == nil {
			return nil
		}
		return func(agg processor.Opt[V], v V) processor.Opt[V] { return f(agg.Value, v) }
	}
	return aggregateTable("reduce-table", g, reducer(fold(add), fold(subtract)), store, true)
}

func reducer[V any](add, subtract func(processor.Opt[V], V) processor.Opt[V]) TableAggregatorOpt[V, V] {
	a := TableAggregatorOpt[V, V]{Subtract: subtract}
	if add != nil {
		a.Add = func(agg processor.Opt[V], v V) processor.Opt[V] {
			if !agg.OK {
				return processor.Some(v)
			}
			return add(agg, v)
		}
	}
	return a
}

// aggregateTable declares an aggregation of a grouped table.
func aggregateTable[K, V, A any](kind string, g *GroupedTable[K, V], a TableAggregatorOpt[V, A], store state.Materialized[K, A],
	deletes bool) *Table[K, A] {
	update := func(stored tableRow[A], c change[V]) processor.Opt[A] {
		agg := stored.value
		if c.Old.OK && agg.OK {
			agg = a.Subtract(agg, c.Old.Value)
		}
		if !c.New.OK {
			return agg
		}
		if !agg.OK && a.Init != nil {
			agg = a.Init()
		}
		return a.Add(agg, c.New.Value)
	}
	t := keepRows(kind, g.b, g.n, g.streamFacts, store, rowUpdater[A, change[V]]{update: update, latest: true})
	t.deletes = deletes
	if a.Add == nil || a.Subtract == nil {
		g.b.fail(t.n.name, "one of its functions is nil; pass both an adder and a subtractor")
	}
	return t
}
