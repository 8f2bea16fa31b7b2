package streamtest_test

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/tidemill/tidemill/runtime/streamtest"
)

// verdict compares what the engine has written with what the model has computed.
type verdict struct {
	acked int // results that there should be
	lost  int // that are not there
	dup   int // that are there more often than they should be
	wrong int // of another value or in another order; rows that differ; failures
	notes []string
}

func (v verdict) failed() bool { return v.lost+v.dup+v.wrong > 0 }

func (v *verdict) add(o verdict) {
	v.acked, v.lost, v.dup, v.wrong = v.acked+o.acked, v.lost+o.lost, v.dup+o.dup, v.wrong+o.wrong
}

func (v *verdict) note(count *int, format string, args ...any) {
	*count++
	if len(v.notes) < 10 {
		v.notes = append(v.notes, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) compare(d *streamtest.Driver, m *model) {
	for i, o := range m.ops {
		switch o.kind {
		case opSink:
			v.sink(m, i, written(d, m.plan, i))
		case opAggregate:
			v.store(m, i, stored(d, i, o))
		}
	}
}

// written reads an output topic: results by key, in their order.
func written(d *streamtest.Driver, p plan, i int) map[string][]entry {
	out := map[string][]entry{}
	if from := p.ops[p.ops[i].in[0]]; from.agg.windowed && p.ops[i].a == 1 {
		for _, r := range streamtest.Output(d, p.windowTopic(i)).All() {
			k := windowKey(r.Key.Key, int64(r.Key.Start), int64(r.Key.End))
			out[k] = append(out[k], entry{r.Value, int64(r.Time)})
		}
		return out
	}
	for _, r := range streamtest.Output(d, p.topic(name("out", i), 0)).All() {
		out[r.Key] = append(out[r.Key], entry{r.Value, int64(r.Time)})
	}
	return out
}

// sink compares one topic. The order of results of one key is defined unless
// several tasks write them; emission per commit leaves results out, but not the
// last one.
func (v *verdict) sink(m *model, i int, got map[string][]entry) {
	o, want := m.ops[i], m.sinks[i]
	keys := maps.Clone(got)
	maps.Copy(keys, want)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		where := fmt.Sprintf("%s key %s", name("out", i), k)
		if o.sampled {
			v.sample(where, want[k], got[k])
			continue
		}
		v.acked += len(want[k])
		before := *v
		v.multiset(where, want[k], got[k])
		sameBag := v.lost == before.lost && v.dup == before.dup && v.wrong == before.wrong
		unordered := o.rekeyed && m.partitions[o.stage] > 1
		if sameBag && !unordered && !slices.Equal(want[k], got[k]) {
			v.note(&v.wrong, "%s: order is %v, want %v", where, got[k], want[k])
		}
	}
}

func (v *verdict) multiset(where string, want, got []entry) {
	balance := map[entry]int{}
	for _, e := range want {
		balance[e]++
	}
	for _, e := range got {
		balance[e]--
	}
	for e, n := range balance {
		for ; n > 0; n-- {
			v.note(&v.lost, "%s: %s is missing, got %v, want %v", where, e, got, want)
		}
		for ; n < 0; n++ {
			count, what := &v.wrong, "is wrong"
			if slices.Contains(want, e) {
				count, what = &v.dup, "is there twice"
			}
			v.note(count, "%s: %s %s, got %v, want %v", where, e, what, got, want)
		}
	}
}

// sample compares a subsequence with the same last result. A deletion that leaves
// at a commit has no time of its own; one of a row that was not there at the
// commit before does not leave.
func (v *verdict) sample(where string, want, got []entry) {
	timeless := func(e entry) entry {
		if !e.value.OK {
			e.time = 0
		}
		return e
	}
	v.acked += len(got)
	at := 0
	for _, e := range got {
		for at < len(want) && timeless(want[at]) != timeless(e) {
			at++
		}
		if at == len(want) {
			v.note(&v.wrong, "%s: %v is no subsequence of %v", where, got, want)
			return
		}
		at++
	}
	last := func(all []entry) entry {
		if len(all) == 0 {
			return entry{}
		}
		return timeless(all[len(all)-1])
	}
	if last(want) != last(got) {
		v.note(&v.lost, "%s: the last of %v is missing in %v", where, want, got)
	}
}

// stored reads a store: rows by start and key.
func stored(d *streamtest.Driver, i int, o op) map[rowID]entry {
	out := map[rowID]entry{}
	if !o.agg.windowed {
		for _, r := range streamtest.Rows(d, rowStore(i)) {
			out[rowID{0, r.Key}] = entry{when(true, r.Value), int64(r.Time)}
		}
		return out
	}
	for _, r := range streamtest.WindowRows(d, windowRowStore(i, o)) {
		out[rowID{int64(r.Key.Start), r.Key.Key}] = entry{when(true, r.Value), int64(r.Time)}
	}
	return out
}

// store compares rows. Emission on close keeps rows beyond their retention until
// the next window closes.
func (v *verdict) store(m *model, i int, got map[rowID]entry) {
	o := m.ops[i]
	for p := range m.partitions[o.stage] {
		s := m.state(stateID{i, p})
		horizon := int64(math.MinInt64)
		if o.agg.windowed && o.agg.retention > 0 {
			horizon = s.time - o.agg.retention + 1
		}
		for id, want := range s.rows {
			e, ok := got[id]
			delete(got, id)
			switch {
			case id.start < horizon && (!ok || (e == want && o.agg.emission == emitClose)):
			case id.start < horizon:
				v.note(&v.wrong, "%s: row %v has expired and is there: %s", name("rows", i), id, e)
			case !ok:
				v.note(&v.wrong, "%s: row %v is missing, want %s", name("rows", i), id, want)
			case e != want:
				v.note(&v.wrong, "%s: row %v is %s, want %s", name("rows", i), id, e, want)
			}
		}
	}
	for id, e := range got {
		v.note(&v.wrong, "%s: row %v is %s, want none", name("rows", i), id, e)
	}
}
