package topology

import (
	"errors"
	"strings"
	"testing"
)

func TestMergeInterleavesAndReachesEveryChildOnce(t *testing.T) {
	inModes(t, func(b *Builder) {
		x, y, z := Source(b, numbers("x")), Source(b, numbers("y")), Source(b, numbers("z"))
		m := x.Merge(y, z)
		m.To(numbers("one"))
		m.To(numbers("two"))
		y.To(numbers("y-alone"))
	}, func(t *testing.T, d *driver) {
		d.send("x", "a", 1, 1)
		d.send("y", "b", 2, 2)
		d.send("z", "c", 3, 1)
		d.expect("one: a=1@1", "two: a=1@1", "one: b=2@2", "two: b=2@2", "y-alone: b=2@2", "one: c=3@1", "two: c=3@1")
	})
}

func TestSourceOfSeveralTopicsIsTheirMerge(t *testing.T) {
	inModes(t, func(b *Builder) { Source(b, numbers("x"), numbers("y")).To(numbers("out")) }, func(t *testing.T, d *driver) {
		d.send("y", "b", 2, 2)
		d.send("x", "a", 1, 1)
		d.expect("out: b=2@2", "out: a=1@1")
	})
}

func TestMergeOfAStreamWithItselfDoublesIt(t *testing.T) {
	inModes(t, func(b *Builder) { s := Source(b, numbers("in")); s.Merge(s).To(numbers("out")) }, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.expect("out: a=1@1", "out: a=1@1")
	})
}

func TestMergeAcrossBuildersIsABuildError(t *testing.T) {
	b := New("app")
	Source(b, numbers("in")).Merge(Source(New("other"), numbers("foreign"))).To(numbers("out"))
	_, err := b.Build()
	var declared *DeclarationError
	if !errors.As(err, &declared) || declared.Node != "merge" || !strings.Contains(declared.Problem, "different topologies") {
		t.Fatalf("error is %v", err)
	}
}

func TestBranchTakesTheFirstMatch(t *testing.T) {
	inModes(t, func(b *Builder) {
		ports := Source(b, numbers("in")).Branch(
			func(_ string, v int64) bool { return v > 10 },
			func(_ string, v int64) bool { return v > 5 })
		ports[2].To(numbers("rest"))
		ports[0].To(numbers("big"))
		ports[1].To(numbers("middle"))
		ports[1].To(numbers("middle-again"))
	}, func(t *testing.T, d *driver) {
		for i, v := range []int64{20, 7, 1} {
			d.send("in", "a", v, int64(i))
		}
		d.expect("big: a=20@0", "middle: a=7@1", "middle-again: a=7@1", "rest: a=1@2")
	})
}

func TestBranchWithoutPredicatesPassesEverything(t *testing.T) {
	inModes(t, func(b *Builder) { Source(b, numbers("in")).Branch()[0].To(numbers("out")) }, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.expect("out: a=1@1")
	})
}

func TestBranchWithAnUnusedPort(t *testing.T) {
	inModes(t, func(b *Builder) {
		Source(b, numbers("in")).Branch(func(_ string, v int64) bool { return v > 5 })[1].To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 9, 1)
		d.send("in", "a", 1, 2)
		d.expect("out: a=1@2")
	})
}
