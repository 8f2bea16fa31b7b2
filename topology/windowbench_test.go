package topology

import (
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// benchLap takes the records of a loop again and again, each time later by lap,
// with a commit, which is part of the time, every 100,000 records.
func benchLap(b *testing.B, declare func(b *Builder), keys int, lap time.Duration) {
	l := newLoop(b, declare, keys)
	l.commit(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		l.raws[l.next].Time += lap.Milliseconds()
		l.step(b)
		if l.inst.Closing() {
			if err := l.inst.Close(16 << 10); err != nil {
				b.Fatal(err)
			}
		}
		if n++; n%100_000 == 0 {
			l.commit(b)
		}
	}
	b.ReportMetric(float64(l.out.n)/float64(b.N), "outputs/op")
}

func sessionCount(e Emission) func(b *Builder) {
	return func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Session(30 * time.Second).Grace(10 * time.Second)).Emit(e)
		counts := Count(w, state.Session("sessions", serde.String, serde.Int64).Retention(time.Minute))
		Updates(counts).To(Topic[state.Windowed[string], processor.Opt[int64]]{Name: "out", Partitions: 1, Key: serde.SessionWindowed(serde.String),
			Value: serde.Nullable(serde.Int64)})
	}
}

// BenchmarkSession is a record into the sessions of 10,000 keys: one that extends
// the session of its key, and one of which every second begins a new one.
func BenchmarkSession(b *testing.B) {
	for name, lap := range map[string]time.Duration{"extend": 10 * time.Second, "begin": 31 * time.Second} {
		for _, e := range []Emission{OnUpdate, OnCommit, OnClose} {
			b.Run(name+"/"+e.String(), func(b *testing.B) { benchLap(b, sessionCount(e), 10_000, lap) })
		}
	}
}

// BenchmarkSliding is a record that shares its windows with three to four others.
func BenchmarkSliding(b *testing.B) {
	benchLap(b, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Sliding(30 * time.Second).Grace(10 * time.Second))
		counts := Count(w, windowStore("sliding").Retention(2*time.Minute))
		counts.ToStream().To(windowed("out", (30 * time.Second).Milliseconds()))
	}, 10_000, 10*time.Second)
}

// BenchmarkSuppress is a record into a tumbling window whose final result is held
// back, six records a window.
func BenchmarkSuppress(b *testing.B) {
	benchLap(b, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(time.Minute).Grace(10 * time.Second))
		counts := Count(w, windowStore("counts").Retention(2*time.Minute))
		counts.SuppressUntilClose(Buffer{Name: "final"}).ToStream().To(windowed("out", time.Minute.Milliseconds()))
	}, 10_000, 10*time.Second)
}

// BenchmarkCogroup is a record into one of two inputs of an aggregate.
func BenchmarkCogroup(b *testing.B) {
	benchLap(b, func(b *Builder) {
		in := Source(b, numbers("in")).GroupByKey()
		c := AddTo(Cogroup(in, plus), Source(b, numbers("other")).GroupByKey(), plus)
		AggregateCogroup(c, rowsStore("sums")).ToStream().To(numbers("out"))
	}, 10_000, time.Second)
}
