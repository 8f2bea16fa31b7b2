package topology_test

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/topology"
)

type joiner = func(l, r optValue) optValue

func newJoiner(f string) (joiner, error) {
	plus := func(l, r optValue) optValue { return textOf(text(l) + "+" + text(r)) }
	switch f {
	case "joinPlus":
		return plus, nil
	case "left":
		return func(l, _ optValue) optValue { return l }, nil
	case "right":
		return func(_, r optValue) optValue { return r }, nil
	case "nullIfEqual":
		return func(l, r optValue) optValue {
			if text(l) == text(r) {
				return optValue{}
			}
			return plus(l, r)
		}, nil
	case "joinSum":
		return func(l, r optValue) optValue { return processor.Some(intValue(l.Value.Int + r.Value.Int)) }, nil
	}
	return nil, unknown("joiner", f)
}

// streamTableJoin declares a join of a stream with a table. Results of an inner
// join have lost their type of key, and count as re-keyed.
func (g *graph) streamTableJoin(n scenarioNode, in, right made) (made, error) {
	rows, ok := right.table.(tableOf[Key])
	if !ok {
		return made{}, &unsupportedError{n.Op + " of windowed keys"}
	}
	join, err := newJoiner(n.Params.text("joiner"))
	if err != nil {
		return made{}, err
	}
	s := in.stream
	if in.rekeyed {
		s = s.Repartition(repartitionTopic(n.ID))
	}
	if _, held := n.Params["grace"]; held {
		return streamTableJoinAfter(n, s, rows.Table, join)
	}
	if n.Params.text("type") == "left" {
		return made{stream: topology.LeftJoinTableOpt(s, rows.Table, join)}, nil
	}
	joined := topology.JoinTable(topology.WithKey(s), rows.Table, func(l optValue, r Value) optValue { return join(l, processor.Some(r)) })
	return made{stream: withOptKey(joined), rekeyed: true}, nil
}

func withOptKey(s *topology.Stream[Key, optValue]) *stream {
	return topology.Map(s, func(k Key, v optValue) (optKey, optValue) { return processor.Some(k), v })
}

// globalJoin declares a join of a stream with a global table.
func globalJoin(n scenarioNode, s *stream, rows *topology.Global[Key, Value]) (*stream, error) {
	key, err := newSelector(n.Params.text("key"))
	if err != nil {
		return nil, err
	}
	join, err := newJoiner(n.Params.text("joiner"))
	if n.Params.text("type") == "left" {
		return topology.LeftJoinGlobalOpt(s, rows, key, join), err
	}
	inner := func(l optValue, r Value) optValue { return join(l, processor.Some(r)) }
	return topology.JoinGlobalOpt(s, rows, key, inner), err
}

// fkJoin declares a foreign-key join of two tables.
func fkJoin(n scenarioNode, left, right tableNode) (tableNode, error) {
	l, ok := left.(tableOf[Key])
	r, plain := right.(tableOf[Key])
	if !ok || !plain {
		return nil, &unsupportedError{"fkJoin of windowed keys"}
	}
	key, err := newSelector(n.Params.text("foreignKey"))
	if err != nil {
		return nil, err
	}
	join, err := newJoiner(n.Params.text("joiner"))
	if err != nil {
		return nil, err
	}
	foreign := func(k Key, v Value) optKey { return key(processor.Some(k), processor.Some(v)) }
	via := topology.ForeignJoin[Key, Key, Value]{
		Subscriptions: topology.Topic[Key, Key]{Name: n.ID + "-subscriptions", Partitions: 1, Key: keySerde{}, Value: keySerde{}},
		Answers:       topology.Topic[Key, Value]{Name: n.ID + "-answers", Partitions: 1, Key: keySerde{}, Value: valueSerde{}},
		Store:         n.ID + "-subscriptions",
	}
	if n.Params.text("type") == "left" {
		return plainTable(topology.LeftJoinForeignOpt(l.Table, r.Table, foreign, func(l Value, r optValue) optValue {
			return join(processor.Some(l), r)
		}, via)), nil
	}
	return plainTable(topology.JoinForeignOpt(l.Table, r.Table, foreign, func(l, r Value) optValue {
		return join(processor.Some(l), processor.Some(r))
	}, via)), nil
}
