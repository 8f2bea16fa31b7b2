package topology

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

func TestOnCloseEmitsEachWindowOnceInOrder(t *testing.T) {
	inModes(t, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(ms(10)).Grace(ms(5))).Emit(OnClose)
		Aggregate(w, Fold(plus), windowStore("sums")).ToStream().To(windowed("out", 10))
	}, func(t *testing.T, d *driver) {
		d.send("in", "b", 1, 12)
		d.send("in", "", 2, 3)
		d.send("in", "a", 4, 9)
		d.send("in", "a", 8, 2)
		d.send("in", "a", 1, 14)
		d.expect()
		d.send("in", "a", 1, 15)
		d.expect("out: [0,10)=2@3", "out: a[0,10)=12@9")
		d.send("in", "c", 1, 24)
		d.expect()
		// A long gap closes all windows at once, the sending one not among them.
		d.send("in", "c", 1, 1_000_000_000)
		d.expect("out: a[10,20)=2@15", "out: b[10,20)=1@12", "out: c[20,30)=1@24")
	})
}

// Results leave before their rows expire, however far stream time jumps.
func TestOnCloseWithMinimalRetentionLosesNothing(t *testing.T) {
	inModes(t, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Hopping(ms(10), ms(5))).Emit(OnClose)
		Count(w, windowStore("counts").Retention(ms(10))).ToStream().To(windowed("out", 10))
	}, func(t *testing.T, d *driver) {
		for i := range int64(20) {
			d.send("in", fmt.Sprint("k", i), 1, 10_000*i)
		}
		var want []string
		for i := range int64(19) {
			if i > 0 {
				want = append(want, fmt.Sprintf("out: k%d[%d,%d)=1@%d", i, 10_000*i-5, 10_000*i+5, 10_000*i))
			}
			want = append(want, fmt.Sprintf("out: k%d[%d,%d)=1@%d", i, 10_000*i, 10_000*i+10, 10_000*i))
		}
		d.expect(want...)
		if rows := d.windowRows("counts"); len(rows) != 2 {
			t.Fatalf("rows %v are kept, want the two open ones", rows)
		}
	})
}

func TestOnCloseSkipsDeletedRows(t *testing.T) {
	inModes(t, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(ms(10))).Emit(OnClose)
		MapValues(Updates(AggregateOpt(w, deleteOnZero, windowStore("sums"))),
			func(v processor.Opt[int64]) int64 { return v.Value }).To(windowed("out", 10))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.send("in", "b", 1, 1)
		d.send("in", "a", 0, 2)
		d.send("in", "c", 1, 10)
		d.expect("out: b[0,10)=1001@1")
	})
}

// The results of one operator close the windows of another below it.
func TestClosingCascades(t *testing.T) {
	inModes(t, func(b *Builder) {
		in := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(ms(10))).Emit(OnClose)
		sums := Aggregate(in, Fold(plus), windowStore("sums")).ToStream()
		inner := SelectKey(sums, func(w processor.Windowed[string], _ int64) string { return w.Key })
		wide := inner.Repartition(numbers("again")).GroupByKey().WindowedBy(Tumbling(ms(30))).Emit(OnClose)
		Aggregate(wide, Fold(plus), windowStore("wide")).ToStream().To(windowed("out", 30))
		direct := sums.GroupByKey().WindowedBy(Tumbling(ms(20))).Emit(OnClose)
		nested := Count(direct, state.Window("nested", windowed("", 10).Key, windowed("", 10).Value))
		Map(nested.ToStream(), func(w processor.Windowed[processor.Windowed[string]], n int64) (string, int64) {
			return fmt.Sprint(w), n
		}).To(numbers("nested-out"))
	}, func(t *testing.T, d *driver) {
		for ts := int64(0); ts <= 70; ts += 5 {
			d.send("in", "a", 1, ts)
		}
		d.expect(
			"nested-out: a@[0,10)@[0,20)=1@5", "nested-out: a@[10,20)@[0,20)=1@15", "out: a[0,30)=6@25",
			"nested-out: a@[20,30)@[20,40)=1@25", "nested-out: a@[30,40)@[20,40)=1@35",
			"nested-out: a@[40,50)@[40,60)=1@45", "nested-out: a@[50,60)@[40,60)=1@55", "out: a[30,60)=6@55")
	})
}

// Stopping in the middle of a window, at every possible place, and going on in a
// new instance emits every row once.
func TestClosingGoesOnWhereItStopped(t *testing.T) {
	const keys = 7
	for stop := range 2*keys + 1 {
		m := straight
		m.budget = max(stop, 1)
		d := newDriver(t, m, func(b *Builder) {
			w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(ms(10)).Grace(ms(20))).Emit(OnClose)
			Count(w, windowStore("counts")).ToStream().To(windowed("out", 10))
		})
		var want []string
		for _, start := range []int64{0, 10} {
			for i := range keys {
				key := fmt.Sprint("k", i)
				if i == 0 {
					key = "" // an empty key is a place in the order like any other
				}
				d.send("in", key, 1, start+3)
				want = append(want, fmt.Sprintf("out: %s[%d,%d)=1@%d", key, start, start+10, start+3))
			}
		}
		task := d.tasks[0]
		inst := task.inst
		source := inst.Sources()[0]
		raw := Raw{Key: []byte("z"), Value: make([]byte, 8), Time: 45}
		ts, _, err := source.Decode(&raw)
		d.must(err)
		d.must(inst.Process(source, ts))
		d.must(inst.Close(stop))
		if !inst.Closing() && stop <= 2*keys {
			t.Fatalf("stop %d: closing is over after %d of %d rows", stop, len(d.out), 2*keys)
		}
		if len(d.out) != stop {
			t.Fatalf("%d rows left with a budget of %d", len(d.out), stop)
		}
		d.recreate()
		if !task.inst.Closing() {
			t.Fatalf("stop %d: the new instance does not know that it is closing", stop)
		}
		d.must(task.settle())
		d.expect(want...)
		d.recreate()
		if task.inst.Closing() {
			t.Fatalf("stop %d: closing begins again", stop)
		}
	}
}

// An error while a row is emitted consumes that row, and closing goes on.
func TestAnErrorWhileClosingConsumesItsRow(t *testing.T) {
	d := newDriver(t, straight, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(ms(10))).Emit(OnClose)
		MapValues(Count(w, windowStore("counts")).ToStream().Filter(func(k processor.Windowed[string], _ int64) bool {
			if k.Key == "bad" {
				panic("bad key")
			}
			return true
		}).Named("strict"), func(v int64) int64 { return v }).To(windowed("out", 10))
	})
	for _, k := range []string{"a", "bad", "c"} {
		d.send("in", k, 1, 1)
	}
	var failed *NodeError
	if err := d.feed("in", Raw{Key: []byte("z"), Value: make([]byte, 8), Time: 10}); !errors.As(err, &failed) || failed.Node != "strict" {
		t.Fatalf("error is %v", err)
	}
	if !d.tasks[0].inst.Closing() {
		t.Fatal("closing ended with the error")
	}
	d.recreate()
	d.must(d.tasks[0].settle())
	d.expect("out: a[0,10)=1@1", "out: c[0,10)=1@1")
}

func TestRowsExpireByStreamTime(t *testing.T) {
	inModes(t, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(ms(10)))
		Count(w, windowStore("counts").Retention(ms(25)))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 5)
		d.send("in", "b", 1, 15)
		d.send("in", "c", 1, 24) // 0 > 24 - 25
		if rows := d.windowRows("counts"); fmt.Sprint(rows) != "[a@0=1@5 b@10=1@15 c@20=1@24]" {
			t.Fatal(rows)
		}
		d.send("in", "c", 1, 25) // 0 = 25 - 25
		if rows := d.windowRows("counts"); fmt.Sprint(rows) != "[b@10=1@15 c@20=2@25]" {
			t.Fatal(rows)
		}
		d.send("in", "c", 1, 500)
		if rows := d.windowRows("counts"); fmt.Sprint(rows) != "[c@500=1@500]" {
			t.Fatal(rows)
		}
	})
}
