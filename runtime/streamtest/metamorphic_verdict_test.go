package streamtest_test

import (
	"fmt"
	"testing"
)

// Controls of the comparison itself.
func TestVerdict(t *testing.T) {
	entries := func(values ...int64) (out []entry) {
		for _, v := range values {
			out = append(out, entry{when(v != 0, v), 1})
		}
		return out
	}
	for _, c := range []struct {
		name             string
		want, got        []entry
		rekeyed, sampled bool
		verdict          string // lost, dup, wrong
	}{
		{name: "same", want: entries(1, 2), got: entries(1, 2), verdict: "0 0 0"},
		{name: "lost", want: entries(1, 2), got: entries(2), verdict: "1 0 0"},
		{name: "twice", want: entries(1, 2), got: entries(1, 2, 2), verdict: "0 1 0"},
		{name: "other value", want: entries(1, 2), got: entries(1, 3), verdict: "1 0 1"},
		{name: "order", want: entries(1, 2), got: entries(2, 1), verdict: "0 0 1"},
		{name: "order of several tasks", want: entries(1, 2), got: entries(2, 1), rekeyed: true, verdict: "0 0 0"},
		{name: "sample", want: entries(1, 2, 3), got: entries(2, 3), sampled: true, verdict: "0 0 0"},
		{name: "sample without the last", want: entries(1, 2, 3), got: entries(1, 2), sampled: true, verdict: "1 0 0"},
		{name: "sample out of order", want: entries(1, 2, 3), got: entries(2, 1, 3), sampled: true, verdict: "0 0 1"},
		{name: "sample of nothing but deletions", want: entries(0), sampled: true, verdict: "0 0 0"},
	} {
		m := newModel(plan{ops: []op{{kind: opSink, rekeyed: c.rekeyed, sampled: c.sampled}}, partitions: []int32{2}}, 0)
		m.sinks[0]["k"] = c.want
		var v verdict
		v.sink(m, 0, map[string][]entry{"k": c.got})
		if got := fmt.Sprint(v.lost, v.dup, v.wrong); got != c.verdict {
			t.Errorf("%s: lost, dup, wrong %s, want %s: %v", c.name, got, c.verdict, v.notes)
		}
	}
}
