package topology

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/processor"
)

// The operators that the tests of tablemodel_test.go compare, with their rules.

func modelGroup(v int64) string { return "g" + strconv.FormatInt(v%3, 10) }

func modelForeign(_ string, v int64) processor.Opt[string] {
	if v%5 == 4 {
		return processor.None[string]()
	}
	return processor.Some(string(rune('a' + v%5)))
}

func leftTable(b *Builder) *Table[string, int64] {
	return SourceTable(b, deletable("l"), rowsStore("left"))
}

func rightTable(b *Builder) *Table[string, int64] {
	return SourceTable(b, deletable("r"), rowsStore("right"))
}

func tables(b *Builder) (left, right *Table[string, int64]) { return leftTable(b), rightTable(b) }

func mixed(l, r int64) int64 { return 100*l + r }

func mixedOpt(l, r processor.Opt[int64]) int64 { return mixed(l.Or(77), r.Or(88)) }

func even(_ string, v int64) bool { return v%2 == 0 }

// kept writes the rows of a table, and keeps them.
func kept(t *Table[string, int64]) { Updates(t.Materialize(rowsStore("out"))).To(deletable("out")) }

func joined(w *modelWorld, left, right bool) map[string]modelRow {
	out := map[string]modelRow{}
	for k, l := range w.left {
		if r, ok := w.right[k]; ok {
			out[k] = modelRow{mixed(l.value, r.value), max(l.time, r.time)}
		} else if left {
			out[k] = modelRow{mixed(l.value, 88), anyTime}
		}
	}
	for k, r := range w.right {
		if _, ok := w.left[k]; !ok && right {
			out[k] = modelRow{mixed(77, r.value), anyTime}
		}
	}
	return out
}

func foreignRows(w *modelWorld, outer bool) map[string]modelRow {
	out := map[string]modelRow{}
	for k, l := range w.left {
		r, ok := w.right[modelForeign(k, l.value).Or("?")]
		if ok {
			out[k] = modelRow{mixed(l.value, r.value), anyTime}
		} else if outer {
			out[k] = modelRow{mixed(l.value, 88), anyTime}
		}
	}
	return out
}

var foreignVia = ForeignJoin[string, string, int64]{Subscriptions: texts("subscriptions"), Answers: numbers("answers"), Store: "subs"}

func tableModels() []tableModel {
	return []tableModel{
		{name: "filter, map", stored: true, declare: func(b *Builder) {
			left := leftTable(b)
			some := MapTableOpt(left.Filter(even), func(v int64) processor.Opt[int64] { return processor.Opt[int64]{Value: v + 1, OK: v%3 != 0} })
			kept(some)
		}, rows: func(w *modelWorld) map[string]modelRow {
			out := map[string]modelRow{}
			for k, r := range w.left {
				if r.value%2 == 0 && r.value%3 != 0 {
					out[k] = modelRow{r.value + 1, r.time}
				}
			}
			return out
		}},
		{name: "inner join", stored: true, declare: func(b *Builder) {
			left, right := tables(b)
			kept(JoinTables(left, right, mixed))
		}, rows: func(w *modelWorld) map[string]modelRow { return joined(w, false, false) }},
		{name: "left join", stored: true, declare: func(b *Builder) {
			left, right := tables(b)
			kept(LeftJoinTables(left, right, func(l int64, r processor.Opt[int64]) int64 { return mixedOpt(processor.Some(l), r) }))
		}, rows: func(w *modelWorld) map[string]modelRow { return joined(w, true, false) }},
		{name: "outer join of views", stored: true, declare: func(b *Builder) {
			left, right := tables(b)
			same := func(v int64) int64 { return v }
			kept(OuterJoinTables(MapTable(left, same), right.FilterNot(func(string, int64) bool { return false }), mixedOpt))
		}, rows: func(w *modelWorld) map[string]modelRow { return joined(w, true, true) }},
		{name: "join with a view of itself", stored: true, declare: func(b *Builder) {
			left := leftTable(b)
			kept(JoinTables(left, left.Filter(even), mixed))
		}, rows: func(w *modelWorld) map[string]modelRow {
			out := map[string]modelRow{}
			for k, r := range w.left {
				if r.value%2 == 0 {
					out[k] = modelRow{mixed(r.value, r.value), r.time}
				}
			}
			return out
		}},
		{name: "count of groups of a join", stored: true, declare: func(b *Builder) {
			left, right := tables(b)
			g := GroupTable(JoinTables(left, right, mixed), func(_ string, v int64) (string, int64) { return modelGroup(v), v }, numbers("by-group"))
			CountTable(g, rowsStore("out")).ToStream().To(numbers("out"))
		}, rows: func(w *modelWorld) map[string]modelRow {
			out := map[string]modelRow{}
			for g := range w.ever {
				out[g] = modelRow{0, anyTime}
			}
			for _, r := range joined(w, false, false) {
				g := modelGroup(r.value)
				w.ever[g] = true
				out[g] = modelRow{out[g].value + 1, anyTime}
			}
			return out
		}},
		{name: "groups that come and go", stored: true, declare: func(b *Builder) {
			left := leftTable(b)
			g := GroupTableOpt(left, func(_ string, v int64) (processor.Opt[string], processor.Opt[int64]) {
				return processor.Opt[string]{Value: modelGroup(v), OK: v%7 != 0}, processor.Some(v)
			}, numbers("by-group"))
			change := func(sign int64) func(processor.Opt[int64], int64) processor.Opt[int64] {
				return func(agg processor.Opt[int64], v int64) processor.Opt[int64] {
					n := agg.Value + sign*(1000+v)
					return processor.Opt[int64]{Value: n, OK: n != 0}
				}
			}
			t := AggregateTableOpt(g, TableAggregatorOpt[int64, int64]{Add: change(1), Subtract: change(-1)}, rowsStore("out"))
			Updates(t).To(deletable("out"))
		}, rows: func(w *modelWorld) map[string]modelRow {
			out := map[string]modelRow{}
			for _, r := range w.left {
				if g := modelGroup(r.value); r.value%7 != 0 {
					out[g] = modelRow{out[g].value + 1000 + r.value, anyTime}
				}
			}
			return out
		}},
		{name: "foreign-key join", stored: true, declare: func(b *Builder) {
			left, right := leftTable(b.Sub("left")), rightTable(b.Sub("right"))
			join := func(l, r int64) processor.Opt[int64] { return processor.Some(mixed(l, r)) }
			kept(JoinForeignOpt(left, right, modelForeign, join, foreignVia))
		}, rows: func(w *modelWorld) map[string]modelRow { return foreignRows(w, false) }},
		{name: "foreign-key left join", stored: true, declare: func(b *Builder) {
			left, right := leftTable(b.Sub("left")), rightTable(b.Sub("right"))
			join := func(l int64, r processor.Opt[int64]) processor.Opt[int64] {
				return processor.Some(mixedOpt(processor.Some(l), r))
			}
			kept(LeftJoinForeignOpt(left, right, modelForeign, join, foreignVia))
		}, rows: func(w *modelWorld) map[string]modelRow { return foreignRows(w, true) }},
		{name: "stream-table join", declare: func(b *Builder) {
			right := rightTable(b)
			s := Source(b, nullable("s"))
			LeftJoinTableOpt(s, right, func(l, r processor.Opt[int64]) processor.Opt[int64] { return processor.Some(mixedOpt(l, r)) }).To(nullable("out"))
		}, out: func(w *modelWorld, s modelStep) []string {
			if s.null {
				return nil
			}
			r, ok := w.right[s.key]
			return []string{fmt.Sprintf("out: %s=%d@%d", strings.ReplaceAll(s.key, "-", "null"), mixedOpt(processor.Some(s.value),
				processor.Opt[int64]{Value: r.value, OK: ok}), s.time)}
		}},
		{name: "stream-global join", declare: func(b *Builder) {
			g := GlobalTable(b, deletable("r"), rowsStore("global"))
			s := WithKey(Source(b, nullable("s")))
			value := func(_ string, v processor.Opt[int64]) processor.Opt[string] { return modelForeign("", v.Value) }
			JoinGlobalOpt(s, g, value, func(l processor.Opt[int64], r int64) processor.Opt[int64] {
				return processor.Some(mixed(l.Value, r))
			}).To(deletable("out"))
		}, out: func(w *modelWorld, s modelStep) []string {
			if r, ok := w.right[modelForeign("", s.value).Or("?")]; ok && !s.null && s.key != "-" {
				return []string{fmt.Sprintf("out: %s=%d@%d", s.key, mixed(s.value, r.value), s.time)}
			}
			return nil
		}},
	}
}
