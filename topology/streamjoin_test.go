package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

func pairStore(name string) state.JoinStore[string, int64, int64] {
	return state.Join(name, serde.String, serde.Int64, serde.Int64)
}

func TestStreamJoinBuildErrors(t *testing.T) {
	join := func(l, r int64) int64 { return l + r }
	held := state.Held("held", serde.String, serde.Int64)
	versions := state.Versioned("rows", serde.String, serde.Int64, time.Minute)
	for want, declare := range map[string]func(left, right in){
		"p: its function is nil; pass one": func(l, r in) { JoinStreams[string, int64, int64, int64](l, r, Within(0), nil, pairStore("p")) },
		"p: the grace -1ms is negative; use 0 for none": func(l, r in) {
			JoinStreams(l, r, Within(time.Second).Grace(ms(-1)), join, pairStore("p"))
		},
		"p: no time lies between 1s before and -2s after; make their sum 0 or more": func(l, r in) {
			JoinStreams(l, r, Between(time.Second, -2*time.Second), join, pairStore("p"))
		},
		"p: the duration 1µs is not a whole number of milliseconds; round it": func(l, r in) {
			JoinStreams(l, r, Within(time.Microsecond), join, pairStore("p"))
		},
		"p: the key of its right side may have changed at by-city, so records that belong together may lie in different partitions; insert Repartition(topic) before the join": func(l, r in) {
			JoinStreams(l, SelectKey(r, func(k string, _ int64) string { return k }).Named("by-city"), Within(time.Second), join, pairStore("p"))
		},
		"join-streams-4: store: the name is empty; give state.Join a valid name": func(l, r in) {
			JoinStreams(l, r, Within(time.Second), join, pairStore(""))
		},
		"p: its left side has the updates of store c, which emits per commit": func(l, r in) {
			JoinStreams(Count(l.GroupByKey().Emit(OnCommit), rowsStore("c")).ToStream(), r, Within(time.Second), join, pairStore("p"))
		},
		"right: topics left and right are processed together but have 1 and 3 partitions; give them the same number, or insert": func(l, _ in) {
			wide := numbers("right")
			wide.Partitions = 3
			JoinStreams(l, Source(&Builder{declarations: l.b.declarations}, wide), Within(time.Second), join, pairStore("p"))
		},
		"held: table right does not remember what its rows were; give it a store made with state.Versioned": func(l, _ in) {
			JoinTableAfter(l, SourceTable(l.b, deletable("right"), nil), time.Second, join, held)
		},
		"held: the grace 2m0s is longer than the history of table rows, 1m0s; raise the history": func(l, _ in) {
			JoinTableAfter(l, SourceTable(l.b, deletable("right"), versions), 2*time.Minute, join, held)
		},
		"held: the grace -1s must be a number of whole milliseconds, 0 or more": func(l, _ in) {
			JoinTableAfter(l, SourceTable(l.b, deletable("right"), versions), -time.Second, join, held)
		},
		"rows: the history 0s of its store must be a positive number of whole milliseconds": func(l, _ in) {
			JoinTable(l, SourceTable(l.b, deletable("right"), state.Versioned("rows", serde.String, serde.Int64, 0)), join)
		},
	} {
		b := New("app")
		left := Source(b, numbers("left"))
		if strings.HasPrefix(want, "right:") || strings.HasPrefix(want, "held:") || strings.HasPrefix(want, "rows:") {
			declare(left, nil)
		} else {
			declare(left, Source(b, numbers("other")))
		}
		_, err := b.Build()
		if got := buildErrors(err); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got:  %s\nwant: %s", strings.Join(got, "\n      "), want)
		}
	}
}

// More rows leave than fit into one record: the others follow in portions, commits
// and restarts between them, none lost and none twice.
func TestUnmatchedRowsLeaveInPortions(t *testing.T) {
	const rows = leaveBudget + 500
	declare := func(b *Builder) {
		left, right := Source(b, numbers("left")), Source(b, numbers("right"))
		OuterJoinStreams(left, right, Within(ms(10)), func(l, r processor.Opt[int64]) string { return pair(l, r) }, pairStore("p")).To(texts("out"))
	}
	for _, m := range []mode{
		{name: "one portion", budget: 10_000, cacheBytes: 1 << 30},
		{name: "commit and recreate", commit: 0.3, recreate: true, budget: 37, cacheBytes: 1 << 30},
		{name: "tiny cache", commit: 0.3, budget: 37, cacheBytes: 1},
	} {
		t.Run(m.name, func(t *testing.T) {
			often := m.commit
			m.commit = 0
			d := newDriver(t, m, declare)
			var want []string
			for i := range rows {
				topic, value := "left", fmt.Sprintf("%d+null", i)
				if i%2 == 1 {
					topic, value = "right", fmt.Sprintf("null+%d", i)
				}
				key := fmt.Sprintf("k%05d", i)
				d.send(topic, key, int64(i), int64(i/1000))
				want = append(want, fmt.Sprintf("out: %s=%s@%d", key, value, i/1000))
			}
			d.commit()
			d.expect()
			d.mode.commit = often
			d.send("left", "k00000", 7, 100)
			slices.SortStableFunc(want, byTimeThenSide)
			// The record's own results come behind the rows that left inside it.
			d.expect(want...)
			d.send("right", "k00000", 8, 101)
			d.expect("out: k00000=7+8@101")
			d.close()
		})
	}
}

// byTimeThenSide orders lines like those of unmatched results: right before left.
func byTimeThenSide(a, b string) int {
	ta, tb := a[strings.LastIndexByte(a, '@'):], b[strings.LastIndexByte(b, '@'):]
	if ta != tb {
		return strings.Compare(ta, tb)
	}
	right := func(s string) int {
		if strings.Contains(s, "null+") {
			return 0
		}
		return 1
	}
	return right(a) - right(b)
}

// What a join remembers is bounded: slices of both sides go when nothing can meet
// them any more, also those of a side whose other side is silent.
func TestStreamJoinForgets(t *testing.T) {
	declare := func(b *Builder) {
		left, right := Source(b, numbers("left")), Source(b, numbers("right"))
		LeftJoinStreams(left, right, Within(time.Second), func(l int64, r processor.Opt[int64]) string {
			return pair(processor.Some(l), r)
		}, pairStore("p")).To(texts("out"))
	}
	for _, m := range modes {
		d := newDriver(t, m, declare)
		for i := range int64(200) {
			d.send("left", fmt.Sprint("k", i%7), i, i*100)
		}
		d.commit()
		task, kept := d.tasks[0], 0
		lower, upper := state.StoreRange(task.env().StoreID("p-left"))
		it, err := task.db.Iter(lower, upper, false)
		d.must(err)
		for it.Next() {
			kept++
		}
		d.must(it.Close())
		if kept > 100 {
			t.Errorf("%s: %d rows and entries are left of 200; some 40 can still be met", m.name, kept)
		}
		d.close()
	}
}
