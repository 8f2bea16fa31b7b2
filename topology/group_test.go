package topology

import (
	"testing"

	"github.com/tidemill/tidemill/processor"
)

func TestGroupByGoesThroughItsTopic(t *testing.T) {
	inModes(t, func(b *Builder) {
		byValue := GroupBy(Source(b, numbers("in")), func(_ string, v int64) string { return string(rune('a' + v%3)) }, numbers("by-value"))
		Count(byValue, rowsStore("counts")).ToStream().To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		for i := range int64(5) {
			d.send("in", "x", i, 10-i)
		}
		d.expect("out: a=1@10", "out: b=1@9", "out: c=1@8", "out: a=2@10", "out: b=2@9")
	})
}

func TestRepartitionDropsAndCountsNullKeys(t *testing.T) {
	inModes(t, func(b *Builder) {
		WithKey(Source(b, nullable("in")).Repartition(nullable("internal"))).To(deletable("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "-", 1, 1)
		d.send("in", "a", 2, 2)
		d.sendNull("in", "a", 3)
		d.expect("out: a=2@2", "out: a=null@3")
		if n := d.dropped("internal", DropNullKey); n != 1 {
			t.Fatalf("%d dropped, want 1", n)
		}
	})
}

func TestUnwindowedAggregationDropsNullValues(t *testing.T) {
	inModes(t, func(b *Builder) {
		in := WithKey(Source(b, nullable("in"))).GroupByKey()
		Count(in, rowsStore("counts")).ToStream().To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.sendNull("in", "a", 2)
		d.send("in", "-", 1, 2)
		d.send("in", "a", 1, 3)
		d.expect("out: a=1@1", "out: a=2@3")
		if n := d.dropped("counts", DropNullValue); n != 1 {
			t.Fatalf("%d dropped, want 1", n)
		}
	})
}

// A null value reaches a windowed aggregator, and moves its stream time; a null
// key does neither.
func TestWindowedAggregationKeepsNullValues(t *testing.T) {
	inModes(t, func(b *Builder) {
		in := WithKey(Source(b, nullable("in"))).GroupByKey().WindowedBy(Tumbling(ms(10)))
		Count(in, windowStore("counts")).ToStream().To(windowed("out", 10))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.send("in", "-", 1, 30)
		d.sendNull("in", "a", 2)
		d.sendNull("in", "a", 10)
		d.send("in", "a", 1, 3)
		d.expect("out: a[0,10)=1@1", "out: a[0,10)=2@2", "out: a[10,20)=1@10")
		if late, null := d.dropped("counts", DropLate), d.dropped("counts", DropNullValue); late != 1 || null != 0 {
			t.Fatalf("late %d, null %d; want 1 and 0", late, null)
		}
	})
}

// Emit and WindowedBy return new groupings and leave the old ones as they are.
func TestGroupingsAreValues(t *testing.T) {
	inModes(t, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey()
		w := g.WindowedBy(Tumbling(ms(10)))
		onClose := w.Emit(OnClose)
		Count(w, windowStore("updates")).ToStream().To(windowed("update", 10))
		Count(onClose, windowStore("results")).ToStream().To(windowed("close", 10))
		Count(g, rowsStore("plain")).ToStream().To(numbers("plain"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.expect("update: a[0,10)=1@1", "plain: a=1@1")
		d.send("in", "a", 1, 10)
		d.expect("update: a[10,20)=1@10", "plain: a=2@10", "close: a[0,10)=1@1")
	})
}

func TestRepartitionKeepsTimeAndHeaders(t *testing.T) {
	inModes(t, func(b *Builder) {
		Source(b, numbers("in")).Repartition(numbers("internal")).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.must(d.feed("in", Raw{Key: []byte("a"), Value: make([]byte, 8), Time: 4, Headers: []processor.Header{{Key: "h", Value: []byte("v")}}}))
		d.expect("out: a=0@4 h:v")
	})
}
