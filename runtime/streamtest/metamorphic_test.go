package streamtest_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// shortSeeds is the number of seeds of the short form.
const shortSeeds = 250

// What the engine computes follows from the topology and the input alone. So
// random topologies get random input, in a random mode, and what they write and
// store is compared with a model that knows neither commits nor crashes.
//
//   - Operators: one or two sources, with null keys and values, filter, map-values,
//     flat-map-values, select-key, Repartition, merge, branch, Count, Reduce,
//     Aggregate, ReduceOpt, AggregateOpt, plain and in tumbling and hopping windows
//     with and without grace and retention, all emissions, sinks.
//   - Modes: those of this package, caches of several sizes, one to three
//     partitions, and in the straight mode commits and crashes of the test's own.
//   - Compared: every sink, by key, with times and order; every store.
//
// The order between the inputs of a task, and between tasks that write the same
// key, is not defined; the planner and the comparison say what they do about it.
//
// TIDEMILL_LONG=1 runs 20,000 seeds, which takes a quarter of an hour on two cores
// (go test -timeout 30m); TIDEMILL_SEED runs one.
func TestMetamorphic(t *testing.T) {
	first, seeds := uint64(1), uint64(shortSeeds)
	if os.Getenv("TIDEMILL_LONG") != "" {
		seeds = 20_000
	}
	if text := os.Getenv("TIDEMILL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("TIDEMILL_SEED: %v", err)
		}
		first, seeds = seed, 1
	}
	var all verdict
	failures := 0
	for seed := first; seed < first+seeds && failures < 3; seed++ {
		s := newScenario(seed)
		v := s.run(0)
		all.add(v)
		if v.failed() {
			failures++
			t.Error(s.report(0))
		}
		if n := seed - first + 1; n%1000 == 0 {
			t.Logf("%d of %d seeds, %d failures", n, seeds, failures)
		}
	}
	t.Logf("metamorphic seed=%d..%d acked=%d lost=%d dup=%d wrong=%d", first, first+seeds-1, all.acked, all.lost, all.dup, all.wrong)
	if all.acked == 0 {
		t.Error("nothing was compared")
	}
}

// A control: a model whose late test is off by one is found out, and the report
// is small.
func TestMetamorphicControl(t *testing.T) {
	const seeds = 20
	for _, lateBy := range []int64{1, -1} {
		var all verdict
		found := 0
		for seed := uint64(1); seed <= seeds; seed++ {
			s := newScenario(seed)
			v := s.run(lateBy)
			all.add(v)
			if !v.failed() {
				continue
			}
			if found++; found > 1 {
				continue
			}
			if small, v := s.shrink(lateBy); !v.failed() || len(small.sent) > 10 {
				t.Errorf("seed %d: %d records were shrunk to %d, want at most 10 that fail", seed, len(s.sent), len(small.sent))
			}
		}
		t.Logf("late test off by %d: %d of %d seeds differ, lost=%d dup=%d wrong=%d", lateBy, found, seeds, all.lost, all.dup, all.wrong)
		if found == 0 {
			t.Errorf("no seed finds a late test that is off by %d", lateBy)
		}
	}
}

// The seeds of the short form have everything that the planner can draw.
func TestMetamorphicCoverage(t *testing.T) {
	seen := map[string]int{}
	for seed := uint64(1); seed <= shortSeeds; seed++ {
		s := newScenario(seed)
		seen["mode "+s.mode.Schedule.String()+"/"+s.mode.Engine.String()]++
		seen[fmt.Sprintf("cache %d", s.mode.CacheBytes)]++
		seen[fmt.Sprintf("inputs %d", len(s.inputs()))]++
		seen[fmt.Sprintf("stages %d", min(len(s.plan.partitions), 4))]++
		seen[fmt.Sprintf("partitions %d", s.plan.partitions[0])]++
		for _, o := range s.plan.ops {
			seen[fmt.Sprintf("operator %d", o.kind)]++
			if g := o.agg; o.kind == opAggregate {
				seen[fmt.Sprintf("fold %d, emission %d, windows %t, hopping %t", g.fold, g.emission, g.windowed, g.size != g.advance)]++
			}
		}
		for _, in := range s.sent {
			seen[fmt.Sprintf("null key %t, null value %t", in.nullKey, !in.value.OK)]++
			seen[fmt.Sprintf("then %d", in.then)]++
		}
	}
	// Of emission on close there is none without windows: 5 folds, 3*2 + 2 ways.
	const want = 8 + 3 + 2 + 4 + 3 + 11 + 5*8 + 4 + 3
	if len(seen) != want {
		t.Errorf("%d different things were drawn, want %d: %v", len(seen), want, seen)
	}
}
