package topology

import (
	"testing"

	"github.com/tidemill/tidemill/processor"
)

func TestAggregateBeginsWithInitAndKeepsTheHighestTime(t *testing.T) {
	inModes(t, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey()
		from100 := Aggregator[int64, int64]{Init: func() int64 { return 100 }, Add: plus}
		Aggregate(g, from100, rowsStore("sums")).ToStream().To(numbers("out"))
		Aggregate(g, Fold(plus), rowsStore("folds")).ToStream().To(numbers("fold"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 50)
		d.send("in", "a", 2, 20)
		d.send("in", "b", 3, 10)
		d.send("in", "a", 4, 60)
		d.expect("out: a=101@50", "fold: a=1@50", "out: a=103@50", "fold: a=3@50",
			"out: b=103@10", "fold: b=3@10", "out: a=107@60", "fold: a=7@60")
	})
}

func TestReduceTakesTheFirstValueAsItIs(t *testing.T) {
	inModes(t, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey()
		Reduce(g, func(a, v int64) int64 { return a*10 + v }, rowsStore("reduced")).ToStream().To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 0, 1)
		d.send("in", "a", 7, 2)
		d.send("in", "a", 8, 1)
		d.expect("out: a=0@1", "out: a=7@2", "out: a=78@2")
	})
}

// deleteOnZero adds values, deletes the row on 0, and begins with 1000.
var deleteOnZero = AggregatorOpt[int64, int64]{
	Init: func() processor.Opt[int64] { return processor.Some[int64](1000) },
	Add: func(a processor.Opt[int64], v int64) processor.Opt[int64] {
		if v == 0 {
			return processor.None[int64]()
		}
		return processor.Some(a.Value + v)
	},
}

func TestAnAggregatorMayDelete(t *testing.T) {
	inModes(t, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey()
		Updates(AggregateOpt(g, deleteOnZero, rowsStore("sums"))).To(deletable("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 0, 5) // deletes what is not there: forwarded all the same
		d.send("in", "a", 1, 30)
		d.send("in", "a", 0, 20)
		d.send("in", "a", 2, 10) // begins again, its time too
		d.expect("out: a=null@5", "out: a=1001@30", "out: a=null@30", "out: a=1002@10")
		d.send("in", "b", 1, 1)
		d.send("in", "b", 0, 2)
		d.take()
		if rows := d.rows("sums"); len(rows) != 1 || rows[0] != "a=1002@10" {
			t.Fatalf("rows %v", rows)
		}
		if n := len(d.tasks[0].logged); n != 1 {
			t.Fatalf("the changelog holds %d rows, want 1: %v", n, d.tasks[0].logged)
		}
	})
}

func TestAggregateOptWithoutInitBeginsAbsent(t *testing.T) {
	inModes(t, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey()
		first := AggregatorOpt[int64, int64]{Add: func(a processor.Opt[int64], v int64) processor.Opt[int64] {
			if a.OK {
				return a
			}
			return processor.Some(v)
		}}
		Updates(AggregateOpt(g, first, rowsStore("first"))).To(deletable("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 3, 1)
		d.send("in", "a", 4, 2)
		d.expect("out: a=3@1", "out: a=3@2")
	})
}

func TestReduceOptMayDeleteAndSeesNullsInWindows(t *testing.T) {
	keep := func(a int64, v processor.Opt[int64]) processor.Opt[int64] {
		if !v.OK {
			return processor.None[int64]()
		}
		return processor.Some(a + v.Value)
	}
	inModes(t, func(b *Builder) {
		g := WithKey(Source(b, nullable("in"))).GroupByKey().WindowedBy(Tumbling(ms(10)))
		out := windowed("out", 10)
		Updates(ReduceOpt(g, keep, windowStore("reduced"))).
			Filter(func(_ processor.Windowed[string], v processor.Opt[int64]) bool { return v.OK }).
			Peek(func(processor.Record[processor.Windowed[string], processor.Opt[int64]]) {})
		MapValues(Updates(ReduceOpt(g, keep, windowStore("again"))), func(v processor.Opt[int64]) int64 { return v.Or(-1) }).To(out)
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.send("in", "a", 2, 2)
		d.sendNull("in", "a", 3)
		d.sendNull("in", "a", 4) // the first value of a new reduction is a null
		d.send("in", "a", 5, 5)
		d.expect("out: a[0,10)=1@1", "out: a[0,10)=3@2", "out: a[0,10)=-1@3", "out: a[0,10)=-1@4", "out: a[0,10)=5@5")
	})
}

// An aggregation of the results of another, by windowed key.
func TestAggregationsChain(t *testing.T) {
	inModes(t, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey()
		sums := Aggregate(g, Fold(plus), rowsStore("sums"))
		Count(sums.ToStream().GroupByKey(), rowsStore("updates")).ToStream().To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 10)
		d.send("in", "b", 1, 11)
		d.send("in", "a", 1, 3)
		d.expect("out: a=1@10", "out: b=1@11", "out: a=2@10")
	})
}

func TestAggregateStateIsTheSameInEveryMode(t *testing.T) {
	inModes(t, func(b *Builder) {
		Count(Source(b, numbers("in")).GroupByKey(), rowsStore("counts"))
	}, func(t *testing.T, d *driver) {
		for i := range int64(30) {
			d.send("in", string(rune('a'+i%4)), 1, i)
		}
		want := []string{"a=8@28", "b=8@29", "c=7@26", "d=7@27"}
		if got := d.rows("counts"); len(got) != 4 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
			t.Fatalf("rows %v, want %v", got, want)
		}
	})
}
