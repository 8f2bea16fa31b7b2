package topology

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

var errExploded = errors.New("exploded")

// explodeHere is found in the stack of every error of this file.
func explodeHere() { panic(errExploded) }

// explosive is a string serde that panics when it sees "boom".
// explosive has a name of its own, so that nobody takes its bytes for a string's.
type explosive struct{ serde.Serde[string] }

func (explosive) Name() string { return "explosive" }

func (e explosive) Append(dst []byte, s string) ([]byte, error) {
	if s == "boom" {
		explodeHere()
	}
	return e.Serde.Append(dst, s)
}

func (e explosive) Decode(src []byte) (string, error) {
	if string(src) == "boom" {
		explodeHere()
	}
	return e.Serde.Decode(src)
}

// TestPanics lets the function of a node panic, below other nodes and with nodes
// below it, and wants the error to name the node.
func TestPanics(t *testing.T) {
	type stream = *Stream[string, int64]
	explodingValues := func(int64) int64 { explodeHere(); return 0 }
	for name, declare := range map[string]func(in stream) (out stream, node string){
		"Filter": func(in stream) (stream, string) {
			return in.Filter(func(string, int64) bool { explodeHere(); return true }).Named("f"), "f"
		},
		"FilterNot": func(in stream) (stream, string) {
			return in.FilterNot(func(string, int64) bool { explodeHere(); return true }).Named("f"), "f"
		},
		"Peek":      func(in stream) (stream, string) { return in.Peek(func(numberRecord) { explodeHere() }).Named("p"), "p" },
		"MapValues": func(in stream) (stream, string) { return MapValues(in, explodingValues).Named("m"), "m" },
		"Map": func(in stream) (stream, string) {
			return Map(in, func(k string, v int64) (string, int64) { explodeHere(); return k, v }).Named("m"), "m"
		},
		"SelectKey": func(in stream) (stream, string) {
			return SelectKey(in, func(string, int64) string { explodeHere(); return "" }).Named("s"), "s"
		},
		"FlatMap behind an emit": func(in stream) (stream, string) {
			return FlatMap(in, func(k string, v int64, emit func(string, int64)) { emit(k, v); explodeHere() }).Named("flat"), "flat"
		},
		"FlatMapValues": func(in stream) (stream, string) {
			return FlatMapValues(in, func(int64) []int64 { explodeHere(); return nil }).Named("flat"), "flat"
		},
		"Branch": func(in stream) (stream, string) {
			out := in.Branch(func(string, int64) bool { explodeHere(); return true })
			return out[0], "branch-2"
		},
		"aggregator": func(in stream) (stream, string) {
			add := func(int64, int64) int64 { explodeHere(); return 0 }
			return Aggregate(in.GroupByKey(), Fold(add), rowsStore("agg")).ToStream(), "agg"
		},
		"initializer": func(in stream) (stream, string) {
			init := Aggregator[int64, int64]{Init: func() int64 { explodeHere(); return 0 }, Add: plus}
			return Aggregate(in.GroupByKey(), init, rowsStore("agg")).ToStream(), "agg"
		},
		"Process": func(in stream) (stream, string) {
			return Process(in, "p", each(func(numberContext, numberRecord) error { explodeHere(); return nil })), "p"
		},
		"Process behind a Forward": func(in stream) (stream, string) {
			return Process(in, "p", each(func(ctx numberContext, r numberRecord) error {
				if err := ctx.Forward(r); err != nil {
					return err
				}
				explodeHere()
				return nil
			})), "p"
		},
		"key of a store": func(in stream) (stream, string) {
			boom := Map(in, func(string, int64) (string, int64) { return "boom", 1 }).Repartition(numbers("re"))
			return Count(boom.GroupByKey(), state.KeyValue("agg", explosive{serde.String}, serde.Int64)).ToStream(), "agg"
		},
		"punctuation": func(in stream) (stream, string) {
			return Process(in, "p", func() numberProcessor {
				return custom{init: func(ctx numberContext) error {
					return ctx.Schedule("s", ms(1), processor.StreamTime, func(numberContext, processor.Timestamp) error { explodeHere(); return nil })
				}}
			}), "p"
		},
		"sink": func(in stream) (stream, string) {
			text := Map(in, func(string, int64) (string, int64) { return "boom", 1 })
			text.To(Topic[string, int64]{Name: "explosive-out", Partitions: 1, Key: explosive{serde.String}, Value: serde.Int64})
			return in, "explosive-out"
		},
	} {
		t.Run(name, func(t *testing.T) {
			var node string
			d := newDriver(t, straight, func(b *Builder) {
				var out stream
				out, node = declare(MapValues(Source(b, numbers("in")), func(v int64) int64 { return v }))
				MapValues(out, func(v int64) int64 { return v }).To(numbers("out"))
			})
			checkPanic(t, d.feed("in", Raw{Key: []byte("a"), Value: make([]byte, 8)}), node)
		})
	}
}

func checkPanic(t *testing.T, err error, node string) {
	t.Helper()
	var failed *NodeError
	if !errors.As(err, &failed) || failed.Class != ClassPanic || !errors.Is(err, errExploded) {
		t.Fatalf("error is %v", err)
	}
	if failed.Node != node {
		t.Errorf("node is %s, want %s", failed.Node, node)
	}
	if !strings.Contains(string(failed.Stack), "explodeHere") {
		t.Errorf("the stack does not show the place:\n%s", failed.Stack)
	}
}

func TestPanicsWhileDecoding(t *testing.T) {
	for name, topic := range map[string]Topic[string, string]{
		"key":   {Name: "in", Partitions: 1, Key: explosive{serde.String}, Value: serde.String},
		"value": {Name: "in", Partitions: 1, Key: serde.String, Value: explosive{serde.String}},
		"time": {Name: "in", Partitions: 1, Key: serde.String, Value: serde.String,
			EventTime: func(string) time.Time { explodeHere(); return time.Time{} }},
	} {
		d := newDriver(t, straight, func(b *Builder) { Source(b, topic) })
		err := d.feed("in", Raw{Key: []byte("boom"), Value: []byte("boom")})
		t.Run(name, func(t *testing.T) { checkPanic(t, err, "in") })
	}
}

func TestPanicsInTheLifeCycle(t *testing.T) {
	explode := func() error { explodeHere(); return nil }
	life := func(create func() numberProcessor) (*Instance, error) {
		b := New("app")
		Process(MapValues(Source(b, numbers("in")), func(v int64) int64 { return v }), "p", create)
		topo, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return topo.Subs()[0].Instantiate(Env{Now: func() time.Time { return time.UnixMilli(0) }})
	}
	t.Run("create", func(t *testing.T) {
		_, err := life(func() numberProcessor { explodeHere(); return nil })
		checkPanic(t, err, "p")
	})
	t.Run("Init", func(t *testing.T) {
		inst, err := life(func() numberProcessor { return custom{init: func(numberContext) error { return explode() }} })
		if err != nil {
			t.Fatal(err)
		}
		checkPanic(t, inst.Init(), "p")
	})
	t.Run("Close", func(t *testing.T) {
		inst, err := life(func() numberProcessor { return custom{close: explode} })
		if err != nil {
			t.Fatal(err)
		}
		checkPanic(t, inst.Shutdown(), "p")
	})
	t.Run("wall clock", func(t *testing.T) {
		inst, err := life(func() numberProcessor {
			return custom{init: func(ctx numberContext) error {
				return ctx.Schedule("s", time.Second, processor.WallClock, func(numberContext, processor.Timestamp) error { return explode() })
			}}
		})
		if err == nil {
			err = inst.Init()
		}
		if err != nil {
			t.Fatal(err)
		}
		ran, err := inst.PunctuateWall(time.UnixMilli(1000))
		if !ran {
			t.Error("it does not count as run")
		}
		checkPanic(t, err, "p")
	})
	t.Run("commit", func(t *testing.T) {
		d := newDriver(t, straight, func(b *Builder) {
			MapValues(Count(Source(b, numbers("in")).GroupByKey().Emit(OnCommit), rowsStore("c")).ToStream(),
				func(int64) int64 { explodeHere(); return 0 }).Named("m")
		})
		d.send("in", "a", 1, 1)
		checkPanic(t, d.tasks[0].inst.EmitPerCommit(), "m")
	})
}

func TestAPanicWithoutAnErrorIsShown(t *testing.T) {
	d := newDriver(t, straight, func(b *Builder) {
		Source(b, numbers("in")).Filter(func(string, int64) bool { panic("forty-two") }).Named("f")
	})
	err := d.feed("in", Raw{Key: []byte("a"), Value: make([]byte, 8)})
	if want := "node f: panic: forty-two"; err == nil || err.Error() != want {
		t.Fatalf("error %v, want %s", err, want)
	}
}

// brokenReader is a store that cannot be read.
type brokenReader struct{}

func (brokenReader) Get(dst, _ []byte) ([]byte, bool, error) { return dst, false, errExploded }
func (brokenReader) Iter(_, _ []byte, _ bool) (state.Iterator, error) {
	return nil, errExploded
}

func TestAStoreThatDoesNotOpenIsAnErrorOfInstantiate(t *testing.T) {
	for node, declare := range map[string]func(in *Stream[string, int64]){
		"plain": func(in *Stream[string, int64]) { Count(in.GroupByKey(), rowsStore("plain")) },
		"windows": func(in *Stream[string, int64]) {
			Count(in.GroupByKey().WindowedBy(Tumbling(ms(1))), windowStore("windows"))
		},
		"p": func(in *Stream[string, int64]) { Process(in, "p", each(nil), rowsStore("s")) },
	} {
		b := New("app")
		declare(Source(b, numbers("in")))
		topo, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		_, err = topo.Subs()[0].Instantiate(Env{View: brokenReader{}, StoreID: func(string) uint16 { return 1 }})
		var failed *NodeError
		if !errors.As(err, &failed) || failed.Node != node || failed.Class == ClassPanic || !errors.Is(err, errExploded) {
			t.Errorf("%s: error is %v", node, err)
		}
	}
}
