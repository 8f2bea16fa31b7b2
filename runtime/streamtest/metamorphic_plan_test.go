package streamtest_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/tidemill/tidemill/processor"
)

// A plan is a topology as data: drawn from a seed, declared by build, and computed
// by the model. Every stream has strings as keys and numbers, or nulls, as values.
type plan struct {
	ops        []op
	partitions []int32 // by stage
	murmur     bool    // the default partitioner, else one of the test's own
}

type number = processor.Opt[int64]

type kind uint8

const (
	opSource kind = iota
	opFilter
	opMapValues
	opFlatMapValues
	opSelectKey
	opRepartition
	opMerge
	opBranch
	opPort // an output of the branch that it reads
	opAggregate
	opSink
)

// op is one operator; its stream has its index. Inputs have smaller indexes.
type op struct {
	kind   kind
	in     []int
	a, b   int64 // what the pure functions are parametrised with
	topics []inputTopic
	agg    aggregation
	// stage numbers the sub-topology: 0 reads the inputs, every other one a
	// repartition topic. rekeyed and sampled are as in the DSL: what may not be
	// grouped, and what may only be written.
	stage            int
	rekeyed, sampled bool
}

// inputTopic may have nulls as values, and as keys, which are dropped at once.
type inputTopic struct {
	name                 string
	nullKeys, nullValues bool
}

type aggregation struct {
	fold     fold
	windowed bool
	emission emission
	// In milliseconds; size == advance is a tumbling window.
	size, advance, grace, retention int64
}

type fold uint8

const (
	foldCount fold = iota
	foldReduce
	foldAggregate
	foldReduceOpt
	foldAggregateOpt
)

type emission uint8

const (
	emitUpdate emission = iota
	emitCommit
	emitClose
)

// planner draws a plan.
//
// Left out is where the order between inputs is not defined: a task that reads a
// repartition topic reads nothing else, and a stage whose tasks may run side by
// side for one sent record is not repartitioned again.
type planner struct {
	*rand.Rand
	plan
}

func newPlan(r *rand.Rand) plan {
	p := &planner{Rand: r}
	p.partitions = []int32{1 + r.Int32N(3)}
	p.murmur = r.IntN(2) == 0
	p.sources()
	for range 3 + r.IntN(7) {
		p.extend(p.pick(func(o op) bool { return !o.sampled }))
	}
	for i := range p.ops {
		if k := p.ops[i].kind; k != opSink && k != opBranch && !p.read(i) {
			p.add(op{kind: opSink, in: []int{i}, a: p.Int64N(2)})
		}
	}
	return p.plan
}

func (p *planner) add(o op) int {
	for _, in := range o.in {
		o.stage = p.ops[in].stage
		o.rekeyed = o.rekeyed || p.ops[in].rekeyed
		o.sampled = o.sampled || p.ops[in].sampled
	}
	p.ops = append(p.ops, o)
	return len(p.ops) - 1
}

func (p *planner) read(i int) bool {
	for _, o := range p.ops {
		for _, in := range o.in {
			if in == i {
				return true
			}
		}
	}
	return false
}

// pick draws a stream that fits; the first one always does.
func (p *planner) pick(fits func(op) bool) int {
	for {
		i := p.IntN(len(p.ops))
		if o := p.ops[i]; o.kind != opSink && o.kind != opBranch && fits(o) {
			return i
		}
	}
}

func (p *planner) sources() {
	first := inputTopic{"in-0", p.IntN(3) == 0, p.IntN(2) == 0}
	switch p.IntN(4) {
	case 0: // two topics as one stream
		second := first
		second.name = "in-1"
		p.add(op{kind: opSource, topics: []inputTopic{first, second}})
	case 1: // two streams, merged
		one := p.add(op{kind: opSource, topics: []inputTopic{first}})
		other := p.add(op{kind: opSource, topics: []inputTopic{{"in-1", p.IntN(3) == 0, p.IntN(2) == 0}}})
		other = p.add(op{kind: opMapValues, in: []int{other}, a: 1, b: p.Int64N(4)})
		p.add(op{kind: opMerge, in: []int{one, other}})
	default:
		p.add(op{kind: opSource, topics: []inputTopic{first}})
	}
}

// extend puts an operator, or a few, below a stream.
func (p *planner) extend(in int) {
	o := op{in: []int{in}, a: p.Int64N(6), b: p.Int64N(6)}
	switch p.IntN(12) {
	case 0:
		o.kind = opFilter
	case 1:
		o.kind = opMapValues
	case 2:
		o.kind = opFlatMapValues
	case 3:
		stage := p.ops[in].stage
		other := p.pick(func(o op) bool { return o.stage == stage && !o.sampled })
		if other == in {
			return
		}
		o.kind, o.in = opMerge, append(o.in, other)
	case 4:
		o.kind = opBranch
		branch := p.add(o)
		for port := range 2 + o.b%2 {
			p.add(op{kind: opPort, in: []int{branch}, a: port})
		}
		return
	case 5, 6:
		p.repartition(p.add(op{kind: opSelectKey, in: o.in, a: o.a, rekeyed: true}))
		return
	default:
		if p.ops[in].rekeyed {
			if in = p.repartition(in); in < 0 {
				return
			}
		}
		p.aggregate(in)
		return
	}
	p.add(o)
}

// repartition returns -1 where the order in the topic would not be defined.
func (p *planner) repartition(in int) int {
	if from := p.ops[in].stage; from > 0 && p.partitions[from] > 1 {
		return -1
	}
	i := p.add(op{kind: opRepartition, in: []int{in}})
	p.partitions = append(p.partitions, 1+p.Int32N(3))
	p.ops[i].stage, p.ops[i].rekeyed = len(p.partitions)-1, false
	return i
}

func (p *planner) aggregate(in int) {
	g := aggregation{fold: fold(p.IntN(5)), windowed: p.IntN(3) > 0, emission: emission(p.IntN(2))}
	if !g.windowed && p.IntN(2) == 0 {
		g.emission = emitUpdate // what is below goes on longer
	}
	if g.windowed {
		g.size = 1 + p.Int64N(15)
		g.advance = g.size
		if p.IntN(2) == 0 {
			g.advance = 1 + p.Int64N(g.size)
		}
		g.grace = p.Int64N(10) * p.Int64N(2)
		if p.IntN(2) == 0 {
			g.retention = g.size + g.grace + p.Int64N(20)
		}
		if p.IntN(3) == 0 {
			g.emission = emitClose
		}
	}
	p.add(op{kind: opAggregate, in: []int{in}, a: p.Int64N(6), b: p.Int64N(6), agg: g,
		rekeyed: g.windowed, sampled: g.emission == emitCommit})
}

func (p *plan) place(key string, stage int) int32 {
	return p.placement()([]byte(key), p.partitions[stage])
}

func name(kind string, i int) string { return fmt.Sprintf("%s-%d", kind, i) }
