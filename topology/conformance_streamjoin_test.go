package topology_test

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// versionedTable declares a table source that remembers its history. The goldens do
// not list its rows.
func (g *graph) versionedTable(n scenarioNode) (made, error) {
	history, err := n.Params.millis("history")
	name := n.Params.text("store")
	if name == "" {
		name = n.ID + "-rows"
	}
	store := state.Versioned[Key, Value](name, keySerde{}, valueSerde{}, history)
	return made{table: plainTable(topology.SourceTable(g.builder(n.ID), tableTopic(n.Params.text("topic")), store))}, err
}

// streamTableJoinAfter declares a join with a versioned table that holds records
// back.
func streamTableJoinAfter(n scenarioNode, s *stream, rows *topology.Table[Key, Value], join joiner) (made, error) {
	grace, err := n.Params.millis("grace")
	store := state.Held[Key, optValue](n.ID, keySerde{}, serde.Nullable[Value](valueSerde{}))
	if n.Params.text("type") == "left" {
		return made{stream: topology.LeftJoinTableAfterOpt(s, rows, grace, join, store)}, err
	}
	joined := topology.JoinTableAfter(topology.WithKey(s), rows, grace, func(l optValue, r Value) optValue {
		return join(l, processor.Some(r))
	}, store)
	return made{stream: withOptKey(joined), rekeyed: true}, err
}

// streamJoin declares a join of two streams.
func (g *graph) streamJoin(n scenarioNode, left, right made) (made, error) {
	if right.stream == nil {
		return made{}, &unsupportedError{n.Op}
	}
	join, err := newJoiner(n.Params.text("joiner"))
	if err != nil {
		return made{}, err
	}
	before, err := n.Params.millis("before")
	if err != nil {
		return made{}, err
	}
	after, err := n.Params.millis("after")
	if err != nil {
		return made{}, err
	}
	grace, err := n.Params.millis("grace")
	if err != nil {
		return made{}, err
	}
	l, r := left.stream, right.stream
	if left.rekeyed {
		l = l.Repartition(repartitionTopic(n.ID + "-left"))
	}
	if right.rekeyed {
		r = r.Repartition(repartitionTopic(n.ID + "-right"))
	}
	values := serde.Nullable[Value](valueSerde{})
	store := state.Join(n.ID, serde.Nullable[Key](keySerde{}), values, values)
	window := topology.Between(before, after).Grace(grace)
	switch n.Params.text("type") {
	case "inner":
		return made{stream: topology.JoinStreams(l, r, window, join, store)}, nil
	case "left":
		return made{stream: topology.LeftJoinStreams(l, r, window, func(l optValue, r processor.Opt[optValue]) optValue {
			return join(l, r.Value)
		}, store)}, nil
	case "outer":
		return made{stream: topology.OuterJoinStreams(l, r, window, func(l, r processor.Opt[optValue]) optValue {
			return join(l.Value, r.Value)
		}, store)}, nil
	}
	return made{}, unknown("join type", n.Params.text("type"))
}
