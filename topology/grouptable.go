package topology

import (
	"bytes"
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// GroupedTable is a table whose rows are grouped by another key, ready to be
// aggregated with [CountTable], [ReduceTable] or [AggregateTable]. The values are
// what the grouping made of the rows.
type GroupedTable[K, V any] struct {
	b *Builder
	n *node
	streamFacts
}

// GroupTable groups the rows of a table: f gives the group of a row, and the
// value that it contributes. The updates go through the given topic, in which
// equal groups share a partition.
//
// An update takes the old row out of its group and puts the new row into its own:
// two records, the old group first, or one if the group is the same. That takes
// the old value of each update, so a table that does not know it is a Build
// error.
func GroupTable[K, V, J, W any](t *Table[K, V], f func(K, V) (J, W), through Topic[J, W]) *GroupedTable[J, W] {
	some := func(k K, v V) (processor.Opt[J], processor.Opt[W]) {
		j, w := f(k, v)
		return processor.Some(j), processor.Some(w)
	}
	return groupTable(t, some, through, f == nil)
}

// GroupTableOpt is [GroupTable] with a function that may leave rows out: a row
// with an absent group or value counts nowhere.
func GroupTableOpt[K, V, J, W any](t *Table[K, V], f func(K, V) (processor.Opt[J], processor.Opt[W]),
	through Topic[J, W]) *GroupedTable[J, W] {
	return groupTable(t, f, through, f == nil)
}

func groupTable[K, V, J, W any](t *Table[K, V], f func(K, V) (processor.Opt[J], processor.Opt[W]), through Topic[J, W],
	missing bool) *GroupedTable[J, W] {
	t = t.current()
	n := t.b.add("group-table", t.n)
	if missing {
		t.b.fail(n.name, "its function is nil; pass one")
	}
	if through.EventTime != nil {
		t.b.fail(n.name, "topic %s carries the times of the updates; remove EventTime", through.Name)
	}
	t.needOld(n)
	n.wire = func(w *wirer) any {
		g := &tableGrouper[K, V, J, W]{n: n, inst: w.instance, f: f, key: through.Key, next: below[J, change[W]](w, n)}
		return emit[K, change[V]](g.update)
	}
	s := &Stream[J, change[W]]{b: t.b, n: n, streamFacts: streamFacts{sampled: t.sampled}}
	out := s.Repartition(Topic[J, change[W]]{
		Name: through.Name, Partitions: through.Partitions, Key: through.Key, Value: newChangeSerde(through.Value),
		Reset: through.Reset, Retention: through.Retention, Compact: through.Compact, Partitioner: through.Partitioner,
	})
	if processor.NullCheck[J]() != nil {
		t.b.fail(n.name, "the group may be null; use GroupTableOpt, and a topic whose key is not nullable")
	}
	return &GroupedTable[J, W]{b: t.b, n: out.n, streamFacts: out.streamFacts}
}

// tableGrouper splits updates of rows into updates of groups.
type tableGrouper[K, V, J, W any] struct {
	n              *node
	inst           *Instance
	f              func(K, V) (processor.Opt[J], processor.Opt[W])
	key            serde.Serde[J]
	next           emit[J, change[W]]
	oldKey, newKey []byte
}

// member is what a row contributes to its group.
type member[J, W any] struct {
	group J
	value processor.Opt[W]
}

func (g *tableGrouper[K, V, J, W]) member(k K, v processor.Opt[V]) (m member[J, W]) {
	if !v.OK {
		return m
	}
	group, value := g.f(k, v.Value)
	if group.OK {
		m = member[J, W]{group.Value, value}
	}
	return m
}

func (g *tableGrouper[K, V, J, W]) update(r processor.Record[K, change[V]]) error {
	g.inst.at = g.n
	before, after := g.member(r.Key, r.Value.Old), g.member(r.Key, r.Value.New)
	if before.value.OK && after.value.OK {
		same, err := g.sameGroup(before.group, after.group)
		if err != nil {
			return err
		}
		if same {
			return g.next(processor.WithKey(r, after.group, change[W]{Old: before.value, New: after.value}))
		}
	}
	if before.value.OK {
		if err := g.next(processor.WithKey(r, before.group, change[W]{Old: before.value})); err != nil {
			return err
		}
	}
	if after.value.OK {
		return g.next(processor.WithKey(r, after.group, change[W]{New: after.value}))
	}
	return nil
}

// sameGroup compares the encoded keys: groups need not be comparable, and it is
// the bytes that name the row.
func (g *tableGrouper[K, V, J, W]) sameGroup(before, after J) (same bool, err error) {
	if g.oldKey, err = g.key.Append(g.oldKey[:0], before); err == nil {
		g.newKey, err = g.key.Append(g.newKey[:0], after)
	}
	if err != nil {
		return false, &NodeError{Node: g.n.name, Class: ClassEncode, Err: fmt.Errorf("group does not encode as %s: %w", g.key.Name(), err)}
	}
	return bytes.Equal(g.oldKey, g.newKey), nil
}
