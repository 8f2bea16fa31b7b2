package topology

import (
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// Mistakes with sessions, sliding and unlimited windows, suppression and cogroups
// name their node and the fix.
func TestSpanBuildErrors(t *testing.T) {
	type in = *GroupedStream[string, int64]
	sessions := func() state.SessionStore[string, int64] { return state.Session("c", serde.String, serde.Int64) }
	count := func(w Windows, store state.Materialized[state.Windowed[string], int64], e Emission) func(in) {
		return func(g in) { Count(g.WindowedBy(w).Emit(e), store) }
	}
	counts := func(g in) *Table[state.Windowed[string], int64] {
		return Count(g.WindowedBy(Tumbling(time.Second)), windowStore("c"))
	}
	for want, declare := range map[string]func(in){
		"c: a window store does not fit its grouping; make the handle of store c with state.Session":   count(Session(1e6), windowStore("c"), OnUpdate),
		"c: a session store does not fit its grouping; make the handle of store c with state.Window":   count(Sliding(1e6), sessions(), OnUpdate),
		"c: retention 4ms is shorter than gap plus grace, 5ms; raise it":                               count(Session(3e6).Grace(2e6), sessions().Retention(4e6), OnUpdate),
		"c: retention 7ms is shorter than twice the difference plus grace, 8ms; raise it":              count(Sliding(3e6).Grace(2e6), windowStore("c").Retention(7e6), OnUpdate),
		"c: unlimited windows never close; use OnUpdate or OnCommit":                                   count(Unlimited(), windowStore("c"), OnClose),
		"windowed-by: unlimited windows never close; remove Grace":                                     count(Unlimited().Grace(1e6), windowStore("c"), OnUpdate),
		"windowed-by: unlimited windows cannot begin at":                                               count(Unlimited().From(time.Unix(-1, 0)), windowStore("c"), OnUpdate),
		"windowed-by: From does not apply to sliding windows; use it with Unlimited":                   count(Sliding(1e6).From(time.Unix(1, 0)), windowStore("c"), OnUpdate),
		"windowed-by: session gap -1ms is negative; use 0 or more":                                     count(Session(-1e6), sessions(), OnUpdate),
		"windowed-by: window size 0s is too short; use at least 1ms":                                   count(Sliding(0), windowStore("c").Retention(1e9), OnUpdate),
		"c: sessions are joined when a record lies between them, and its aggregator cannot; set Aggre": func(g in) { Aggregate(g.WindowedBy(Session(1e6)), Fold(plus), sessions()) },
		"to-stream: rows of table c can be deleted; use topology.Updates(table)":                       func(g in) { Count(g.WindowedBy(Session(1e6)), sessions()).ToStream() },

		"final: only the rows of windows have an end to wait for; suppress a windowed table, or use S": func(g in) { Count(g, rowsStore("c")).SuppressUntilClose(Buffer{Name: "final"}) },
		"final: unlimited windows never close; use SuppressFor": func(g in) {
			Count(g.WindowedBy(Unlimited()), windowStore("c")).SuppressUntilClose(Buffer{Name: "final"})
		},
		"final: results that leave a full buffer early are not final; set Buffer.WhenFull to Stop": func(g in) { counts(g).SuppressUntilClose(Buffer{Name: "final", MaxRecords: 1}) },
		"store: the name is empty":                                   func(g in) { counts(g).SuppressUntilClose(Buffer{}) },
		"b: the duration 1ns must be a number of whole milliseconds": func(g in) { counts(g).SuppressFor(1, Buffer{Name: "b"}) },
		"b: the bounds of its buffer are negative; use 0 for none":   func(g in) { counts(g).SuppressFor(1e6, Buffer{Name: "b", MaxBytes: -1}) },
		"b: no store says how the rows of map-table": func(g in) {
			MapTable(counts(g), func(v int64) string { return "" }).SuppressFor(1e6, Buffer{Name: "b"})
		},
		"b: it would time the updates of store c, which emits per commit, so the results would depend": func(g in) { Count(g.Emit(OnCommit), rowsStore("c")).SuppressFor(1e6, Buffer{Name: "b"}) },

		"c: each input of a cogroup has a stream time of its own, so that no record closes a window": func(g in) {
			AggregateCogroup(Cogroup(g, plus).WindowedBy(Tumbling(1e6)).Emit(OnClose), windowStore("c"))
		},
		"c: sessions are joined when a record lies between them, and its aggregate cannot; insert Me": func(g in) {
			AggregateCogroup(Cogroup(g, plus).WindowedBy(Session(1e6)), sessions())
		},
		"cogroup-2: its function is nil; pass one":                                 func(g in) { AggregateCogroup(Cogroup[string, int64, int64](g, nil), rowsStore("c")) },
		"cogroup: the emission of an input means nothing; use Emit of the cogroup": func(g in) { AggregateCogroup(Cogroup(g.Emit(OnCommit), plus), rowsStore("c")) },
		"cogroup: its streams belong to different topologies; declare them on one Builder": func(g in) {
			other := New("other")
			AggregateCogroup(AddTo(Cogroup(g, plus), Source(other, numbers("in")).GroupByKey(), plus), rowsStore("c"))
		},
		"d: its cogroup is aggregated twice; build one for each": func(g in) {
			c := Cogroup(g, plus)
			AggregateCogroup(c, rowsStore("c"))
			AggregateCogroup(c, rowsStore("d"))
		},
		"c: a key-value store does not fit its grouping; make the handle of store c with state.Window": func(g in) {
			AggregateCogroup(Cogroup(g, plus).WindowedBy(Tumbling(1e6)), state.KeyValue("c", serde.TimeWindowed(serde.String, 1e6), serde.Int64))
		},
	} {
		b := New("app")
		declare(WithKey(Source(b, Topic[processor.Opt[string], int64]{Name: "in", Partitions: 1, Key: serde.Nullable(serde.String), Value: serde.Int64})).GroupByKey())
		_, err := b.Build()
		got := buildErrors(err)
		if len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("got:  %s\nwant: %s", strings.Join(got, "\n      "), want)
		}
	}
}

func TestSpanWindowsString(t *testing.T) {
	for want, w := range map[string]Windows{
		"sliding 1s, grace 2s":                Sliding(time.Second).Grace(2 * time.Second),
		"session gap 1s, grace 0s":            Session(time.Second),
		"unlimited":                           Unlimited(),
		"unlimited from 1970-01-01T00:00:05Z": Unlimited().From(time.Unix(5, 0)),
	} {
		if got := w.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestUnlimitedWindows(t *testing.T) {
	inModes(t, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Unlimited().From(time.UnixMilli(10)))
		c := Count(w, windowStore("all"))
		c.ToStream().To(Topic[state.Windowed[string], int64]{Name: "out", Partitions: 1, Key: serde.SessionWindowed(serde.String), Value: serde.Int64})
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 10)
		d.send("in", "a", 1, 9)
		d.send("in", "a", 1, 1<<50)
		d.send("in", "b", 1, 12)
		d.expect("out: a[10,9223372036854775807)=1@10", "out: a[10,9223372036854775807)=2@1125899906842624",
			"out: b[10,9223372036854775807)=1@12")
		if n := d.dropped("all", DropLate); n != 1 {
			t.Errorf("%d records were dropped, want 1", n)
		}
		if rows := d.windowRows("all"); len(rows) != 2 {
			t.Errorf("rows %v", rows)
		}
	})
}

// A buffer that must not emit early stops the task, whatever lies between, and
// counts again what waits after a restart.
func TestFullBufferStops(t *testing.T) {
	inModes(t, func(b *Builder) {
		counts := Count(Source(b, numbers("in")).GroupByKey(), rowsStore("c"))
		held := counts.SuppressFor(time.Hour, Buffer{Name: "held", MaxRecords: 2, WhenFull: Stop})
		held.ToStream().To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.send("in", "b", 1, 2)
		d.send("in", "a", 1, 3)
		err := d.feed("in", Raw{Key: []byte("c"), Value: make([]byte, 8), Time: 4})
		full, ok := err.(*BufferFullError)
		if !ok || full.Node != "held" || full.Records != 3 || !strings.Contains(err.Error(), "raise Buffer.MaxRecords") {
			t.Errorf("got %v", err)
		}
	})
}

// Bytes bound a buffer too, and old values are those of the first update that
// waits.
func TestBufferBounds(t *testing.T) {
	inModes(t, func(b *Builder) {
		counts := Count(Source(b, numbers("in")).GroupByKey(), rowsStore("c"))
		held := counts.SuppressFor(time.Hour, Buffer{Name: "held", MaxBytes: 1})
		held.ToStream().To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.send("in", "a", 1, 3)
		d.expect("out: a=1@1", "out: a=2@3")
	})
}

// A clock that jumps over more windows than leave inside one record releases all of
// them before the next one, also over commits.
func TestSuppressReleasesInPortions(t *testing.T) {
	d := newDriver(t, mode{budget: 100, cacheBytes: 1, commit: 1, recreate: true}, func(b *Builder) {
		in := Source(b, numbers("in"))
		counts := Count(in.GroupByKey().WindowedBy(Hopping(ms(evictBudget+500), ms(1))), windowStore("c"))
		counts.SuppressUntilClose(Buffer{Name: "final"}).ToStream().To(windowed("out", evictBudget+500))
	})
	d.send("in", "a", 1, 2*evictBudget)
	d.expect()
	d.send("in", "b", 1, 4*evictBudget)
	got := d.take()
	for i, line := range got {
		if !strings.HasPrefix(line, "out: a[") || i > 0 && got[i-1] >= line {
			t.Fatalf("result %d is %s, behind %s", i, line, got[max(0, i-1)])
		}
	}
	if len(got) != evictBudget+500 {
		t.Errorf("%d results came out, want %d", len(got), evictBudget+500)
	}
}
