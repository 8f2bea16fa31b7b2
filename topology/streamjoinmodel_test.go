package topology

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// joinCase is a random script of two streams.
type joinCase struct {
	before, after, grace int64
	left, right          bool // which side needs no partner
	self                 bool // the stream is joined with itself
	records              []joinInput
}

type joinInput struct {
	side  int
	key   string // "-" is null
	value int64  // null if it is nothing
	ts    int64
}

func newJoinCase(rng *rand.Rand) joinCase {
	// Windows of some milliseconds lie in one slice of the store, longer ones in several.
	scale := []int64{1, 1, 40, 600}[rng.IntN(4)]
	c := joinCase{before: scale * (rng.Int64N(14) - 3), after: scale * (rng.Int64N(14) - 3), grace: scale * rng.Int64N(9)}
	if rng.IntN(3) == 0 {
		c.grace = 0
	}
	if c.before+c.after < 0 {
		c.after = -c.before
	}
	switch rng.IntN(5) {
	case 1, 2:
		c.left = true
	case 3, 4:
		c.left, c.right = true, true
	}
	c.self = rng.IntN(8) == 0
	base := rng.Int64N(30)
	for range 1 + rng.IntN(60) {
		switch rng.IntN(20) {
		case 0:
			base += rng.Int64N(60)
		case 1, 2, 3, 4, 5, 6, 7:
			base += rng.Int64N(4)
		}
		r := joinInput{side: rng.IntN(2), key: []string{"a", "b", "c", "c\x00", "d"}[rng.IntN(5)], value: rng.Int64N(100), ts: base}
		if rng.IntN(3) == 0 {
			r.ts = max(0, base-rng.Int64N(25))
		}
		switch rng.IntN(25) {
		case 0:
			r.key = "-"
		case 1:
			r.value = nothing
		}
		if r.ts *= scale; scale > 1 {
			r.ts += rng.Int64N(3)
		}
		if c.self {
			r.side = 0
		}
		c.records = append(c.records, r)
	}
	return c
}

func (c joinCase) declare(b *Builder) {
	left := Source(b, nullable("in0"))
	right := left
	if !c.self {
		right = Source(b, nullable("in1"))
	}
	nullableInt := serde.Nullable(serde.Int64)
	store := state.Join("pairs", serde.Nullable(serde.String), nullableInt, nullableInt)
	window := Between(ms(c.before), ms(c.after)).Grace(ms(c.grace))
	type number = processor.Opt[int64]
	var out *Stream[processor.Opt[string], string]
	switch {
	case c.right:
		out = OuterJoinStreams(left, right, window, func(l, r processor.Opt[number]) string { return pair(l.Value, r.Value) }, store)
	case c.left:
		out = LeftJoinStreams(left, right, window, func(l number, r processor.Opt[number]) string { return pair(l, r.Value) }, store)
	default:
		out = JoinStreams(left, right, window, func(l, r number) string { return pair(l, r) }, store)
	}
	out.To(Topic[processor.Opt[string], string]{Name: "out", Partitions: 1, Key: serde.Nullable(serde.String), Value: serde.String})
}

func pair(l, r processor.Opt[int64]) string { return fmt.Sprintf("%v+%v", l, r) }

func (c joinCase) run(t *testing.T, m mode) (results []string) {
	t.Helper()
	d := newDriver(t, m, c.declare)
	for _, r := range c.records {
		if in := fmt.Sprintf("in%d", r.side); r.value == nothing {
			d.sendNull(in, r.key, r.ts)
		} else {
			d.send(in, r.key, r.value, r.ts)
		}
	}
	d.commit()
	d.close()
	return d.take()
}

// joinModel follows the rules of joins, with lists that are searched from the
// beginning.
type joinModel struct {
	c          joinCase
	rows       [2][]joinInput
	newest     [2]int64
	waits      []joinInput
	streamTime int64
	low        int64
	results    []string
	// strict is the negative control: a window whose end does not count.
	strict bool
}

func newJoinModel(c joinCase, strict bool) *joinModel {
	return &joinModel{c: c, newest: [2]int64{-1, -1}, streamTime: -1, low: math.MaxInt64, strict: strict}
}

func (m *joinModel) keeps(side int) bool { return []bool{m.c.left, m.c.right}[side] }

// reach is how far behind and ahead of a record of one side its partners may lie.
func (m *joinModel) reach(side int) (back, ahead int64) {
	if side == 0 {
		return m.c.before, m.c.after
	}
	return m.c.after, m.c.before
}

func (m *joinModel) lag(side int) int64 {
	_, ahead := m.reach(side)
	return ahead + m.c.grace
}

func (m *joinModel) emit(side int, key string, mine, other processor.Opt[int64], ts int64) {
	if key == "-" {
		key = "null"
	}
	if side == 1 {
		mine, other = other, mine
	}
	if key != "null" {
		key = processor.Some(key).String()
	}
	m.results = append(m.results, fmt.Sprintf("out: %s=%s@%d", key, pair(mine, other), ts))
}

func (m *joinModel) record(r joinInput) {
	sides := []int{r.side}
	if m.c.self {
		sides = []int{0, 1}
	}
	for _, r.side = range sides {
		m.recordOn(r)
	}
}

func (m *joinModel) recordOn(r joinInput) {
	m.streamTime = max(m.streamTime, r.ts)
	none, value := processor.Opt[int64]{}, processor.Some(r.value)
	switch {
	case r.value == nothing:
		return
	case r.key == "-":
		if m.keeps(r.side) {
			m.emit(r.side, r.key, value, none, r.ts)
		}
		return
	}
	if r.ts == m.streamTime {
		m.search(r.side)
	}
	back, ahead := m.reach(r.side)
	from, to := max(0, r.ts-back), max(0, r.ts+ahead)
	if m.strict {
		to--
	}
	other := 1 - r.side
	met := false
	for _, o := range m.rows[other] {
		if o.key == r.key && o.ts >= from && o.ts <= to && o.ts > m.newest[other]-m.c.before-m.c.after-m.c.grace {
			met = true
			m.emit(r.side, r.key, value, processor.Some(o.value), max(r.ts, o.ts))
			m.waits = slices.DeleteFunc(m.waits, func(w joinInput) bool { return w.side == other && w.key == r.key && w.ts == o.ts })
		}
	}
	if !met && m.keeps(r.side) {
		if m.streamTime > to {
			m.emit(r.side, r.key, value, none, r.ts)
		} else {
			m.low = min(m.low, r.ts)
			m.waits = append(m.waits, r)
			slices.SortStableFunc(m.waits, func(x, y joinInput) int {
				return cmp.Or(cmp.Compare(x.ts, y.ts), cmp.Compare(y.side, x.side), strings.Compare(x.key, y.key))
			})
		}
	}
	m.rows[r.side] = append(m.rows[r.side], r)
	slices.SortStableFunc(m.rows[r.side], func(x, y joinInput) int { return cmp.Compare(x.ts, y.ts) })
	m.newest[r.side] = max(m.newest[r.side], r.ts)
}

// search visits the rows that wait in their order, as Kafka Streams does.
func (m *joinModel) search(side int) {
	if m.low == math.MaxInt64 || m.low+m.lag(side) >= m.streamTime {
		return
	}
	m.low = math.MaxInt64
	var open [2]bool
	left := m.waits[:0:0]
	stopped, before := false, joinInput{}
	for i, w := range m.waits {
		group := i > 0 && w.ts == before.ts && w.side == before.side && w.key == before.key
		before = w
		if !group && !stopped {
			m.low = w.ts
			stopped = open[0] && open[1]
		}
		if stopped || w.ts+m.lag(w.side) >= m.streamTime {
			open[w.side] = true
			left = append(left, w)
			continue
		}
		m.emit(w.side, w.key, processor.Some(w.value), processor.Opt[int64]{}, w.ts)
	}
	m.waits = left
}

// TIDEMILL_LONG=1 takes 100,000 seeds.
func TestStreamJoinsAgainstAModel(t *testing.T) {
	strictDiffers, unmatched := 0, 0
	for seed := range modelSeeds() {
		c := newJoinCase(rand.New(rand.NewPCG(seed, 3)))
		model, control := newJoinModel(c, false), newJoinModel(c, true)
		for _, r := range c.records {
			model.record(r)
			control.record(r)
		}
		m := modes[seed%uint64(len(modes))]
		if got := c.run(t, m); !slices.Equal(got, model.results) {
			t.Fatalf("seed %d, %s, %+v\ngot  %q\nwant %q", seed, m.name, c, got, model.results)
		}
		if !slices.Equal(model.results, control.results) {
			strictDiffers++
		}
		if strings.Contains(strings.Join(model.results, " "), "null") {
			unmatched++
		}
	}
	if strictDiffers == 0 || unmatched == 0 {
		t.Errorf("a window without its end shows in %d seeds, a result without a partner in %d; the input reaches neither", strictDiffers, unmatched)
	}
}
