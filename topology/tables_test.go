package topology

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// TestTableBuildErrors lists the mistakes that Build finds around tables. Each is
// the only error.
func TestTableBuildErrors(t *testing.T) {
	group := func(k string, v int64) (string, int64) { return k, v }
	windows := func(b *Builder) *Table[state.Windowed[string], int64] {
		g := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(time.Second)).Emit(OnCommit)
		return Count(g, windowStore("windows"))
	}
	for want, declare := range map[string]func(b *Builder){
		"join-tables-7: it reads rows of evens, which keeps none; give that table a store, or insert Materialize": func(b *Builder) {
			JoinTables(SourceTable(b, deletable("l"), nil).Filter(even).Named("evens"), rightTable(b), mixed)
		},
		"group-table-2: it needs the old value of each update, which table-1 does not know; give that table a store": func(b *Builder) {
			GroupTable(SourceTable(b, deletable("l"), nil), group, numbers("g"))
		},
		"group-table-2: it needs the old value of each update, which windows does not know": func(b *Builder) {
			GroupTable(windows(b), func(w state.Windowed[string], v int64) (string, int64) { return w.Key, v }, numbers("g"))
		},
		"group-table-2: topic g carries the times of the updates; remove EventTime": func(b *Builder) {
			timed := numbers("g")
			timed.EventTime = func(int64) time.Time { return time.Time{} }
			GroupTable(leftTable(b), group, timed)
		},
		"left: a window store does not fit the rows of a table; make the handle of store left with state.KeyValue": func(b *Builder) {
			SourceTable(b, Topic[state.Windowed[string], processor.Opt[int64]]{Name: "w", Key: serde.TimeWindowed(serde.String, time.Second),
				Value: serde.Nullable(serde.Int64)}, windowStore("left"))
		},
		"left: store left already belongs to left; a table needs a store of its own": func(b *Builder) {
			leftTable(b).Materialize(rowsStore("left"))
		},
		"to-table: the key may have changed at select-key-1, so equal keys may lie in different partitions; insert": func(b *Builder) {
			s := SelectKey(Source(b, deletable("in")), func(k string, _ processor.Opt[int64]) string { return k })
			ToTable(s, rowsStore("rows"))
		},
		"to-table: the key of in may be null; insert topology.WithKey": func(b *Builder) {
			ToTable(Source(b, nullable("in")), state.KeyValue("rows", serde.Nullable(serde.String), serde.Int64))
		},
		"join-table-4: the key may have changed at select-key-3, so a record and its row may lie in different": func(b *Builder) {
			right := rightTable(b)
			JoinTable(SelectKey(Source(b, numbers("in")), func(k string, _ int64) string { return k }), right, mixed)
		},
		"r: topics in and r are processed together but have 2 and 1 partitions": func(b *Builder) {
			wide := numbers("in")
			wide.Partitions = 2
			s := Source(b, wide)
			JoinTable(s, rightTable(b), mixed)
		},
		"to-stream: rows of table left can be deleted; use topology.Updates": func(b *Builder) { leftTable(b).ToStream() },
		"materialize-2: its store is nil; pass a handle":                     func(b *Builder) { leftTable(b).Materialize(nil) },
		"filter-2: its function is nil; pass one":                            func(b *Builder) { leftTable(b).Filter(nil) },
		"map-table-2: its function is nil; pass one":                         func(b *Builder) { MapTable[string, int64, int64](leftTable(b), nil) },
		"sums: one of its functions is nil; pass both an adder and a subtractor": func(b *Builder) {
			ReduceTable(GroupTable(leftTable(b), group, numbers("g")), plus, nil, rowsStore("sums"))
		},
		"global: topic r is read by a source too; a record would then meet its own update or not": func(b *Builder) {
			rightTable(b)
			GlobalTable(b, deletable("r"), rowsStore("global"))
		},
		"global: topic r has serdes string and int64, store global has string and string; the rows are kept as they": func(b *Builder) {
			Source(b, numbers("in")).To(numbers("out"))
			GlobalTable(b, Topic[string, processor.Opt[string]]{Name: "r", Key: serde.String, Value: textOfNumber{}}, state.KeyValue("global", serde.String, serde.String))
		},
		"left: store left already belongs to a global table; use another name": func(b *Builder) {
			GlobalTable(b, deletable("r"), rowsStore("left"))
			leftTable(b)
		},
		"join-foreign-ask-4: store: the name is empty; set ForeignJoin.Store": func(b *Builder) {
			via := foreignVia
			via.Store = ""
			l, r := leftTable(b.Sub("l")), rightTable(b.Sub("r"))
			JoinForeign(l, r, func(k string, _ int64) string { return k }, mixed, via)
		},
	} {
		b := New("app")
		declare(b)
		_, err := b.Build()
		if got := buildErrors(err); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got:  %s\nwant: %s", strings.Join(got, "\n      "), want)
		}
	}
}

// textOfNumber has the name of another serde.
type textOfNumber struct {
	serde.Serde[processor.Opt[string]]
}

func (textOfNumber) Name() string                                       { return "int64" }
func (textOfNumber) Check() error                                       { return nil }
func (textOfNumber) Decode([]byte) (v processor.Opt[string], err error) { return v, nil }

func TestSourceTableDropsAndCountsNullKeys(t *testing.T) {
	inModes(t, func(b *Builder) { Updates(leftTable(b)).To(deletable("out")) }, func(t *testing.T, d *driver) {
		d.send("l", "a", 1, 5)
		d.send("l", "-", 2, 9)
		d.send("l", "a", 3, 4)
		d.sendNull("l", "b", 6)
		d.expect("out: a=1@5", "out: a=3@4", "out: b=null@6")
		if n := d.dropped("l", DropNullKey); n != 1 {
			t.Errorf("%d dropped, want 1", n)
		}
		if got := fmt.Sprint(d.rows("left")); got != "[a=3@4]" {
			t.Error(got)
		}
	})
}

// A processor reads the store of a table, as it is behind the update at hand, and
// may not write it.
func TestProcessorsReadTables(t *testing.T) {
	left := rowsStore("left")
	inModes(t, func(b *Builder) {
		s := Updates(leftTable(b))
		Process(MapValues(s, func(v processor.Opt[int64]) int64 { return v.Value }), "p", each(func(ctx numberContext, r numberRecord) error {
			kv, err := state.Of(ctx, left)
			if err != nil {
				return err
			}
			if err := kv.Put("x", 1); !errors.Is(err, state.ErrReadOnly) {
				return fmt.Errorf("Put: %w", err)
			}
			if err := kv.Delete("x"); !errors.Is(err, state.ErrReadOnly) {
				return fmt.Errorf("Delete: %w", err)
			}
			sum := int64(0)
			if err := kv.All(func(_ string, v int64) bool { sum += v; return true }); err != nil {
				return err
			}
			return ctx.Forward(processor.WithKey(r, r.Key, sum))
		}), left).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("l", "a", 1, 1)
		d.send("l", "b", 2, 2)
		d.send("l", "a", 5, 3)
		d.sendNull("l", "b", 4)
		d.expect("out: a=1@1", "out: b=3@2", "out: a=7@3", "out: b=5@4")
	})
}

// A processor reads a global table, each time as it is then.
func TestProcessorsReadGlobalTables(t *testing.T) {
	global := rowsStore("global")
	inModes(t, func(b *Builder) {
		GlobalTable(b, deletable("r"), global)
		Process(Source(b, numbers("in")), "p", each(func(ctx numberContext, r numberRecord) error {
			kv, err := state.Of(ctx, global)
			if err != nil {
				return err
			}
			if err := kv.Put("x", 1); !errors.Is(err, state.ErrReadOnly) {
				return fmt.Errorf("Put: %w", err)
			}
			v, _, err := kv.Get("a")
			if err != nil {
				return err
			}
			n := int64(0)
			err = kv.All(func(string, int64) bool { n++; return true })
			return errors.Join(err, ctx.Forward(processor.WithKey(r, r.Key, 100*n+v)))
		}), global).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "k", 0, 1)
		d.globals.apply(t, modelStep{key: "a", value: 7})
		d.send("in", "k", 0, 2)
		d.globals.apply(t, modelStep{key: "b", value: 1})
		d.globals.apply(t, modelStep{key: "a", value: 8})
		d.send("in", "k", 0, 3)
		d.globals.apply(t, modelStep{key: "a", null: true})
		d.send("in", "k", 0, 4)
		d.expect("out: k=0@1", "out: k=107@2", "out: k=208@3", "out: k=100@4")
	})
}

func TestGlobalTableMustBeLoaded(t *testing.T) {
	b := New("app")
	g := GlobalTable(b, deletable("r"), rowsStore("global"))
	JoinGlobal(Source(b, numbers("in")), g, func(k string, _ int64) string { return k }, plus).To(numbers("out"))
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topo.Subs()[0].Instantiate(Env{Output: func(string) Output { return &discard{} },
		Placement: func(*TopicDecl) (func([]byte, int32) int32, int32) { return nil, 1 }}); err == nil {
		t.Error("a task started without the rows of its global table")
	}
}

func described(b *Builder) {
	left, right := leftTable(b), rightTable(b)
	prices := GlobalTable(b, deletable("prices"), rowsStore("prices"))
	s := JoinGlobal(Source(b, numbers("in")), prices, func(k string, _ int64) string { return k }, plus)
	JoinTable(s, JoinTables(left, right.Filter(even), mixed).Materialize(rowsStore("both")), plus).To(numbers("out"))
	g := GroupTable(left, func(_ string, v int64) (string, int64) { return modelGroup(v), v }, numbers("by-group"))
	CountTable(g, rowsStore("groups"))
}

func TestDescribeTables(t *testing.T) {
	b := New("tables")
	described(b)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/describe/tables.txt", topo.Describe())
}
