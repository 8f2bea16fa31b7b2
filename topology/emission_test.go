package topology

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// cutLine takes "topic: key=rest" apart.
func cutLine(line string) (topic, key, rest string) {
	topic, line, _ = strings.Cut(line, ": ")
	key, rest, _ = strings.Cut(line, "=")
	return topic, key, rest
}

// checkSample checks that per key the results per commit are a subsequence of
// the updates and end with the same value, and returns what is wrong.
func checkSample(updates, commits []string) string {
	byKey := func(lines []string) map[string][]string {
		out := map[string][]string{}
		for _, line := range lines {
			_, key, rest := cutLine(line)
			out[key] = append(out[key], rest)
		}
		return out
	}
	all, sample := byKey(updates), byKey(commits)
	for key, rest := range all {
		got := sample[key]
		if len(got) == 0 || got[len(got)-1] != rest[len(rest)-1] {
			return fmt.Sprintf("the last value of key %q differs", key)
		}
		for _, r := range rest {
			if len(got) > 0 && got[0] == r {
				got = got[1:]
			}
		}
		if len(got) > 0 {
			return fmt.Sprintf("%v of key %q is not a subsequence", got, key)
		}
	}
	if len(sample) != len(all) {
		return "there are keys that were never updated"
	}
	return ""
}

func TestCheckSampleFindsProblems(t *testing.T) {
	updates := []string{"u: a=1@1", "u: b=1@2", "u: a=2@3"}
	for problem, commits := range map[string][]string{
		"lost":     {"c: b=1@2", "c: a=1@1"},
		"reorder":  {"c: b=1@2", "c: a=2@3", "c: a=1@1", "c: a=2@3"},
		"foreign":  {"c: b=1@2", "c: a=2@3", "c: x=1@1"},
		"no key b": {"c: a=2@3"},
	} {
		if checkSample(updates, commits) == "" {
			t.Errorf("%s is not noticed", problem)
		}
	}
	if p := checkSample(updates, []string{"c: a=2@3", "c: b=1@2"}); p != "" {
		t.Error(p)
	}
}

func TestEmissionPerCommitIsASampleOfTheUpdates(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		m := mode{name: "random", commit: rng.Float64(), recreate: rng.IntN(2) == 0, budget: 1, cacheBytes: rng.IntN(2000)}
		d := newDriver(t, m, func(b *Builder) {
			g := Source(b, numbers("in")).GroupByKey()
			Aggregate(g, Fold(plus), rowsStore("u")).ToStream().To(numbers("update"))
			Aggregate(g.Emit(OnCommit), Fold(plus), rowsStore("c")).ToStream().To(numbers("commit"))
		})
		for range 50 {
			d.send("in", string(rune('a'+rng.IntN(4))), rng.Int64N(9), rng.Int64N(99))
		}
		d.commit()
		var updates, commits []string
		for _, line := range d.take() {
			if strings.HasPrefix(line, "update") {
				updates = append(updates, line)
			} else {
				commits = append(commits, line)
			}
		}
		if problem := checkSample(updates, commits); problem != "" {
			t.Fatalf("seed %d: %s\n%v\n%v", seed, problem, updates, commits)
		}
	}
}

func TestEmissionPerCommitIsInKeyOrderOnceAndWithTombstones(t *testing.T) {
	d := newDriver(t, straight, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey().Emit(OnCommit)
		Updates(AggregateOpt(g, deleteOnZero, rowsStore("sums"))).To(deletable("out"))
	})
	d.send("in", "b", 1, 10)
	d.send("in", "a", 1, 20)
	d.send("in", "b", 2, 5)
	d.send("in", "never", 0, 6)
	d.expect()
	d.commit()
	d.expect("out: a=1001@20", "out: b=1003@10")
	d.commit()
	d.expect()
	d.send("in", "a", 0, 30)
	d.send("in", "c", 5, 31)
	d.send("in", "c", 0, 32)
	d.commit()
	d.expect("out: a=null@32", "out: c=null@32")
}

// A chain of operators that emit per commit empties itself in one commit.
func TestEmissionPerCommitChains(t *testing.T) {
	d := newDriver(t, straight, func(b *Builder) {
		b.AcceptSampledUpdates("first")
		first := Aggregate(Source(b, numbers("in")).GroupByKey().Emit(OnCommit), Fold(plus), rowsStore("first"))
		second := Count(first.ToStream().GroupByKey().Emit(OnCommit), rowsStore("second"))
		second.ToStream().To(numbers("out"))
	})
	for range 3 {
		d.send("in", "a", 1, 1)
	}
	d.commit()
	d.expect("out: a=1@1")
	d.send("in", "a", 1, 1)
	d.commit()
	d.expect("out: a=2@1")
}

func TestSampledUpdatesMustBeAccepted(t *testing.T) {
	sampled := func(b *Builder) *Table[string, int64] {
		return Count(Source(b, numbers("in")).GroupByKey().Emit(OnCommit), rowsStore("counts"))
	}
	for name, below := range map[string]func(*Table[string, int64]) *GroupedStream[string, int64]{
		"direct": func(c *Table[string, int64]) *GroupedStream[string, int64] { return c.ToStream().GroupByKey() },
		"through Filter": func(c *Table[string, int64]) *GroupedStream[string, int64] {
			return c.ToStream().Filter(always).GroupByKey()
		},
		"through Repartition": func(c *Table[string, int64]) *GroupedStream[string, int64] {
			return c.ToStream().Repartition(numbers("re")).GroupByKey()
		},
		"through Merge": func(c *Table[string, int64]) *GroupedStream[string, int64] {
			return Source(c.b, numbers("other")).Merge(c.ToStream()).GroupByKey()
		},
		"through Branch": func(c *Table[string, int64]) *GroupedStream[string, int64] {
			return c.ToStream().Branch()[0].GroupByKey()
		},
		"through Map": func(c *Table[string, int64]) *GroupedStream[string, int64] {
			return GroupBy(c.ToStream(), func(k string, _ int64) string { return k }, numbers("re"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused, accepted := New("app"), New("app")
			Count(below(sampled(refused)), rowsStore("again"))
			_, err := refused.Build()
			want := []string{`again: it would aggregate the updates of store counts, which emits per commit`}
			if got := buildErrors(err); len(got) != 1 || !strings.HasPrefix(got[0], want[0]) {
				t.Fatalf("errors %v, want %v", got, want)
			}
			accepted.AcceptSampledUpdates("counts")
			Count(below(sampled(accepted)), rowsStore("again"))
			if _, err := accepted.Build(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func always(string, int64) bool { return true }

func TestEmissionString(t *testing.T) {
	got := []string{OnUpdate.String(), OnCommit.String(), OnClose.String()}
	if want := []string{"on update", "per commit", "on close"}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}
