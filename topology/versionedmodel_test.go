package topology

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// versionedCase is a random script of a stream (input 0) and a versioned table
// (input 1).
type versionedCase struct {
	history, grace int64 // no grace if it is negative
	left           bool
	records        []joinInput
}

func newVersionedCase(rng *rand.Rand) versionedCase {
	scale := []int64{1, 1, 50}[rng.IntN(3)]
	c := versionedCase{history: scale * (10 + rng.Int64N(40)), grace: -1, left: rng.IntN(2) == 0}
	if rng.IntN(3) > 0 {
		c.grace = scale * rng.Int64N(10)
	}
	base := rng.Int64N(30)
	for range 1 + rng.IntN(60) {
		base += rng.Int64N(4)
		if rng.IntN(20) == 0 {
			base += rng.Int64N(60)
		}
		r := joinInput{side: rng.IntN(2), key: []string{"a", "b", "b\x00"}[rng.IntN(3)], value: rng.Int64N(100), ts: base}
		if rng.IntN(2) == 0 {
			r.ts = max(0, base-rng.Int64N(70))
		}
		switch rng.IntN(15) {
		case 0:
			r.key = "-"
		case 1, 2:
			r.value = nothing
		}
		r.ts *= scale
		c.records = append(c.records, r)
	}
	return c
}

func (c versionedCase) declare(b *Builder) {
	orders := Source(b, nullable("in0"))
	rows := SourceTable(b, deletable("in1"), state.Versioned("rows", serde.String, serde.Int64, ms(c.history)))
	seen := rows.Filter(func(_ string, v int64) bool { return v%5 > 0 })
	type number = processor.Opt[int64]
	var out *Stream[string, string]
	held := state.Held("held", serde.String, serde.Nullable(serde.Int64))
	left := func(v, r number) string { return pair(v, r) }
	inner := func(v number, r int64) string { return pair(v, processor.Some(r)) }
	switch keyed := WithKey(orders); {
	case c.grace < 0 && c.left:
		out = LeftJoinTable(keyed, seen, left)
	case c.grace < 0:
		out = JoinTable(keyed, seen, inner)
	case c.left:
		out = LeftJoinTableAfter(keyed, seen, ms(c.grace), left, held)
	default:
		out = JoinTableAfter(keyed, seen, ms(c.grace), inner, held)
	}
	out.To(texts("out"))
	grouped := GroupTable(rows, func(_ string, v int64) (string, int64) { return fmt.Sprint(v % 3), v },
		Topic[string, int64]{Name: "groups", Partitions: 1, Key: serde.String, Value: serde.Int64})
	sums := AggregateTable(grouped, TableAggregator[int64, int64]{Add: plus, Subtract: func(a, v int64) int64 { return a - v }}, rowsStore("sums"))
	Updates(sums).To(deletable("sums-out"))
}

// versionedModel follows the rules with lists that forget nothing.
type versionedModel struct {
	c          versionedCase
	rows       []joinInput // table updates that were not refused, by time; the last of one time counts
	tableTime  int64
	streamTime int64
	waits      []joinInput
	results    []string
	sums       []string
	groups     map[string]int64
	strict     bool // the negative control: the history is one shorter
}

func (m *versionedModel) newest(key string) (r joinInput, ok bool) {
	for _, o := range m.rows {
		if o.key == key && (!ok || o.ts >= r.ts) {
			r, ok = o, true
		}
	}
	return r, ok
}

func (m *versionedModel) join(r joinInput) {
	newest, _ := m.newest(r.key)
	var row joinInput
	found := false
	for _, o := range m.rows {
		if o.key == r.key && o.ts <= r.ts && (!found || o.ts >= row.ts) {
			row, found = o, true
		}
	}
	history := m.c.history
	if m.strict {
		history--
	}
	if r.ts < m.tableTime-history && r.ts < newest.ts {
		found = false
	}
	value := processor.Opt[int64]{Value: row.value, OK: found && row.value != nothing && row.value%5 > 0}
	if !value.OK {
		value.Value = 0
	}
	if value.OK || m.c.left {
		m.results = append(m.results, fmt.Sprintf("out: %s=%s@%d", r.key, pair(processor.Some(r.value), value), r.ts))
	}
}

func (m *versionedModel) record(r joinInput) {
	switch {
	case r.key == "-":
	case r.side == 1:
		m.update(r)
	case r.value == nothing:
	case m.c.grace < 0:
		m.join(r)
	default:
		m.streamTime = max(m.streamTime, r.ts)
		due := m.streamTime - m.c.grace
		if r.ts < due {
			m.join(r)
		} else {
			m.waits = append(m.waits, r)
		}
		slices.SortStableFunc(m.waits, func(a, b joinInput) int { return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.key, b.key)) })
		for len(m.waits) > 0 && m.waits[0].ts <= due {
			m.join(m.waits[0])
			m.waits = m.waits[1:]
		}
	}
}

// update takes the row out of its group and puts it into the new one, if it is the
// newest.
func (m *versionedModel) update(r joinInput) {
	if r.ts < m.tableTime-m.c.history {
		return
	}
	m.tableTime = max(m.tableTime, r.ts)
	old, had := m.newest(r.key)
	m.rows = append(m.rows, r)
	if had && r.ts < old.ts {
		return
	}
	type part struct {
		group string
		n     int64
	}
	var parts []part
	if had && old.value != nothing {
		parts = append(parts, part{fmt.Sprint(old.value % 3), -old.value})
	}
	if r.value != nothing {
		if g := fmt.Sprint(r.value % 3); len(parts) == 1 && parts[0].group == g {
			parts[0].n += r.value
		} else {
			parts = append(parts, part{g, r.value})
		}
	}
	for _, p := range parts {
		m.groups[p.group] += p.n
		m.sums = append(m.sums, fmt.Sprintf("%s=%d", p.group, m.groups[p.group]))
	}
}

// TIDEMILL_LONG=1 takes 100,000 seeds.
func TestVersionedTablesAgainstAModel(t *testing.T) {
	strictDiffers, held := 0, 0
	for seed := range modelSeeds() {
		c := newVersionedCase(rand.New(rand.NewPCG(seed, 4)))
		model := &versionedModel{c: c, groups: map[string]int64{}}
		control := &versionedModel{c: c, groups: map[string]int64{}, strict: true}
		for _, r := range c.records {
			model.record(r)
			control.record(r)
		}
		m := modes[seed%uint64(len(modes))]
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
		var got, sums []string
		for _, line := range d.take() {
			if sum, ok := strings.CutPrefix(line, "sums-out: "); ok {
				sums = append(sums, sum[:strings.LastIndexByte(sum, '@')])
			} else {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, model.results) || !slices.Equal(sums, model.sums) {
			t.Fatalf("seed %d, %s, %+v\ngot  %q\nwant %q\nsums %q\nwant %q", seed, m.name, c, got, model.results, sums, model.sums)
		}
		if !slices.Equal(model.results, control.results) {
			strictDiffers++
		}
		if c.grace > 0 && len(got) > 0 {
			held++
		}
	}
	if strictDiffers == 0 || held == 0 {
		t.Errorf("a shorter history shows in %d seeds, a grace in %d; the input reaches neither", strictDiffers, held)
	}
}
