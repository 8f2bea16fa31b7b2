package runtime_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// hostile is a processor with a panic at one of its places.
type hostile struct{ at string }

func (h hostile) Init(ctx processor.Context[string, int64]) error {
	h.panicAt("init")
	clock := processor.StreamTime
	if h.at == "wall clock" {
		clock = processor.WallClock
	}
	return ctx.Schedule("tick", time.Millisecond, clock, func(processor.Context[string, int64], processor.Timestamp) error {
		h.panicAt("punctuation")
		h.panicAt("wall clock")
		return nil
	})
}

func (h hostile) Process(processor.Context[string, int64], processor.Record[string, int64]) error {
	h.panicAt("process")
	return nil
}

func (h hostile) panicAt(place string) {
	if h.at == place {
		panic("hostile")
	}
}

// hostileSerde panics when it encodes or decodes.
type hostileSerde struct {
	serde.Serde[int64]
	encode, decode bool
}

func (s hostileSerde) Append(dst []byte, v int64) ([]byte, error) {
	if s.encode {
		panic("hostile")
	}
	return s.Serde.Append(dst, v)
}

func (s hostileSerde) Decode(src []byte) (int64, error) {
	if s.decode {
		panic("hostile")
	}
	return s.Serde.Decode(src)
}

type stream = *topology.Stream[string, int64]

func processHostile(at string) func(stream) {
	return func(s stream) {
		topology.Process(s, "hostile", func() processor.Processor[string, int64, string, int64] {
			if at == "create" {
				panic("hostile")
			}
			return hostile{at}
		})
	}
}

// A panic of user code, wherever it runs, ends Run with a TaskError that names
// the node, and not the process.
func TestPanicsInUserCode(t *testing.T) {
	source := orders
	panics := func(string, int64) bool { panic("hostile") }
	fold := topology.Fold(func(int64, int64) int64 { panic("hostile") })
	sum := topology.Fold(func(a, v int64) int64 { return a + v })
	at := orders
	at.EventTime = func(int64) time.Time { panic("hostile") }
	undecoded := orders
	undecoded.Value = hostileSerde{Serde: serde.Int64, decode: true}
	unencoded := orderCounts
	unencoded.Value = hostileSerde{Serde: serde.Int64, encode: true}
	placed := orderCounts
	placed.Partitioner = &topology.Partitioner{Name: "hostile", Place: func([]byte, int32) int32 { panic("hostile") }}
	brittle := state.KeyValue("brittle", serde.String, serde.Serde[int64](hostileSerde{Serde: serde.Int64, encode: true}))
	perCommit := func(s stream) {
		rows := topology.Aggregate(s.GroupByKey().Emit(topology.OnCommit), sum, orderCount).ToStream()
		rows.Filter(panics).Named("late-filter")
	}
	for _, c := range []struct {
		name, node string
		source     topology.Topic[string, int64]
		build      func(stream)
	}{
		{"filter", "picky", source, func(s stream) { s.Filter(panics).Named("picky").To(orderCounts) }},
		{"EventTime", "orders", at, func(s stream) { s.To(orderCounts) }},
		{"decode", "orders", undecoded, func(s stream) { s.To(orderCounts) }},
		{"encode", "order-counts", source, func(s stream) { s.To(unencoded) }},
		{"partitioner", "order-counts", source, func(s stream) { s.To(placed) }},
		{"aggregator", "order-count", source, func(s stream) { topology.Aggregate(s.GroupByKey(), fold, orderCount) }},
		{"store serde", "store brittle", source, func(s stream) { topology.Aggregate(s.GroupByKey(), sum, brittle) }},
		{"emission per commit", "late-filter", source, perCommit},
		{"create", "hostile", source, processHostile("create")},
		{"Init", "hostile", source, processHostile("init")},
		{"Process", "hostile", source, processHostile("process")},
		{"punctuation", "hostile", source, processHostile("punctuation")},
		{"wall-clock punctuation", "hostile", source, processHostile("wall clock")},
	} {
		t.Run(c.name, func(t *testing.T) {
			build := func() (*topology.Topology, error) {
				b := topology.New("hostile-app")
				c.build(topology.Source(b, c.source))
				return b.Build()
			}
			app := newApp(t, build, runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: time.Millisecond})
			importOrders(t, app, 1)
			err := app.Run(t.Context())
			var task *runtime.TaskError
			if !errors.As(err, &task) || !strings.Contains(err.Error(), "hostile") {
				t.Fatalf("Run: %v; want a TaskError with the panic", err)
			}
			if !strings.Contains(task.Node, c.node) || task.Task != "hostile-app_0" {
				t.Errorf("the error names task %q and node %q, want node %q: %v", task.Task, task.Node, c.node, err)
			}
		})
	}
}
