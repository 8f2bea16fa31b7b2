package streamtest_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// The model computes a plan with maps and sorts, from the rules alone: it has no
// commits, no caches and no restarts, looks at every window there has ever been,
// and never forgets one.
type model struct {
	plan
	children [][]int
	states   map[stateID]*aggregationState
	queue    []queued
	sinks    map[int]map[string][]entry // by sink and key
	// lateBy moves the late test by so much: 0 is the rule, anything else the
	// control.
	lateBy int64
}

// entry is a result without its key.
type entry struct {
	value number
	time  int64
}

func (e entry) String() string { return fmt.Sprintf("%v@%d", e.value, e.time) }

type modelRecord struct {
	key string
	entry
}

// queued is a record in a topic that is read by op.
type queued struct {
	op        int
	partition int32
	modelRecord
}

// stateID is one aggregation in one task.
type stateID struct {
	op        int
	partition int32
}

type rowID struct {
	start int64
	key   string
}

type aggregationState struct {
	time int64 // stream time
	rows map[rowID]entry
	left map[rowID]bool // whose final result has left
}

func newModel(p plan, lateBy int64) *model {
	m := &model{plan: p, children: make([][]int, len(p.ops)), states: map[stateID]*aggregationState{},
		sinks: map[int]map[string][]entry{}, lateBy: lateBy}
	for i, o := range p.ops {
		for _, in := range o.in {
			m.children[in] = append(m.children[in], i)
		}
		if o.kind == opSink {
			m.sinks[i] = map[string][]entry{}
		}
	}
	return m
}

func (m *model) state(id stateID) *aggregationState {
	if m.states[id] == nil {
		m.states[id] = &aggregationState{time: -1, rows: map[rowID]entry{}, left: map[rowID]bool{}}
	}
	return m.states[id]
}

// send computes everything that follows from a record of an input topic. A null
// key is dropped before anything sees it.
func (m *model) send(in sent) {
	if in.nullKey {
		return
	}
	for i, o := range m.ops {
		if slices.Contains(o.topics, in.topic) {
			m.queue = append(m.queue, queued{i, m.place(in.key, 0), in.modelRecord})
		}
	}
	for len(m.queue) > 0 {
		q := m.queue[0]
		m.queue = m.queue[1:]
		m.forward(q.op, q.partition, q.modelRecord)
		m.close(m.ops[q.op].stage, q.partition)
	}
}

// forward hands a result of an operator to those below, in the order in which
// they were declared.
func (m *model) forward(from int, partition int32, r modelRecord) {
	for _, i := range m.children[from] {
		m.process(i, partition, r)
	}
}

func (m *model) process(i int, partition int32, r modelRecord) {
	o := m.ops[i]
	pass := func(key string, v number) { m.forward(i, partition, modelRecord{key, entry{v, r.time}}) }
	switch o.kind {
	case opFilter:
		if o.keep(r.key, r.value) {
			pass(r.key, r.value)
		}
	case opMapValues:
		pass(r.key, o.mapped(r.value))
	case opFlatMapValues:
		for _, v := range o.several(r.value) {
			pass(r.key, v)
		}
	case opSelectKey:
		pass(o.newKey(r.key, r.value), r.value)
	case opMerge:
		pass(r.key, r.value)
	case opBranch:
		port := int64(0)
		for port < 1+o.b%2 && !o.takes(port)(r.key, r.value) {
			port++
		}
		for _, c := range m.children[i] {
			if m.ops[c].a == port {
				m.forward(c, partition, r)
			}
		}
	case opRepartition:
		m.queue = append(m.queue, queued{i, m.place(r.key, o.stage), r})
	case opAggregate:
		m.aggregate(i, partition, r)
	case opSink:
		m.sinks[i][r.key] = append(m.sinks[i][r.key], r.entry)
	}
}

func (m *model) aggregate(i int, partition int32, r modelRecord) {
	o := m.ops[i]
	if !r.value.OK && (!o.agg.windowed || o.agg.fold == foldReduce) {
		return // null values count in windows only, and Reduce is not given any
	}
	s := m.state(stateID{i, partition})
	if !o.agg.windowed {
		m.update(i, partition, rowID{0, r.key}, r.key, r.entry)
		return
	}
	s.time = max(s.time, r.time)
	for start := int64(0); start <= r.time; start += o.agg.advance {
		end := start + o.agg.size
		if r.time < end && end+o.agg.grace+m.lateBy > s.time {
			m.update(i, partition, rowID{start, r.key}, windowKey(r.key, start, end), r.entry)
		}
	}
}

func windowKey(key string, start, end int64) string {
	return fmt.Sprintf("%s@[%d,%d)", key, start, end)
}

// update folds a value into a row. A result has the highest time of its values.
func (m *model) update(i int, partition int32, id rowID, key string, r entry) {
	o, s := m.ops[i], m.state(stateID{i, partition})
	row, exists := s.rows[id]
	if exists {
		r.time = max(r.time, row.time)
	}
	r.value = o.fold(row.value, r.value)
	if r.value.OK {
		s.rows[id] = r
	} else {
		delete(s.rows, id)
	}
	if o.agg.emission != emitClose {
		m.forward(i, partition, modelRecord{key, r})
	}
}

// fold is one step of an aggregation; an absent row is a null.
func (o op) fold(row, v number) number {
	switch o.agg.fold {
	case foldCount:
		return when(true, row.Value+1)
	case foldReduce:
		if !row.OK {
			return v
		}
		return when(true, combine(row.Value, v.Value))
	case foldAggregate:
		return when(true, o.addTo(row.Or(o.initial()), v))
	case foldReduceOpt:
		if !row.OK {
			return v
		}
		return o.combineOpt(row.Value, v)
	}
	if !row.OK {
		row = o.initialOpt()
	}
	return o.addToOpt(row, v)
}

// close lets the results of windows leave that the record behind which it is
// called has closed, by start and key.
func (m *model) close(stage int, partition int32) {
	for i, o := range m.ops {
		s := m.states[stateID{i, partition}]
		if o.agg.emission != emitClose || o.stage != stage || s == nil {
			continue
		}
		ids := slices.SortedFunc(maps.Keys(s.rows), func(a, b rowID) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key))
		})
		for _, id := range ids {
			if end := id.start + o.agg.size; end+o.agg.grace <= s.time && !s.left[id] {
				s.left[id] = true
				m.forward(i, partition, modelRecord{windowKey(id.key, id.start, end), s.rows[id]})
			}
		}
	}
}
