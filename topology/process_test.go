package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

type (
	numberContext   = processor.Context[string, int64]
	numberRecord    = processor.Record[string, int64]
	numberProcessor = processor.Processor[string, int64, string, int64]
)

// each makes processors of a function.
func each(f func(ctx numberContext, r numberRecord) error) func() numberProcessor {
	return func() numberProcessor { return processor.Func[string, int64, string, int64](f) }
}

// custom is a processor of functions, all optional.
type custom struct {
	init    func(ctx numberContext) error
	process func(ctx numberContext, r numberRecord) error
	close   func() error
}

func (c custom) Init(ctx numberContext) error {
	if c.init == nil {
		return nil
	}
	return c.init(ctx)
}

func (c custom) Process(ctx numberContext, r numberRecord) error {
	if c.process == nil {
		return ctx.Forward(r)
	}
	return c.process(ctx, r)
}

func (c custom) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// Two processors share a store: what one writes the other reads at once.
func TestProcessorsShareAStore(t *testing.T) {
	last := rowsStore("last")
	inModes(t, func(b *Builder) {
		in := Source(b, numbers("in"))
		written := Process(in, "write", each(func(ctx numberContext, r numberRecord) error {
			kv, err := state.Of(ctx, last)
			if err != nil {
				return err
			}
			old, _, err := kv.Get(r.Key)
			if err != nil {
				return err
			}
			if err := ctx.Forward(processor.WithKey(r, r.Key, old)); err != nil {
				return err
			}
			if r.Value == 0 {
				return kv.Delete(r.Key)
			}
			return kv.Put(r.Key, r.Value)
		}), last)
		written.To(numbers("old"))
		Process(in, "read", each(func(ctx numberContext, r numberRecord) error {
			kv, err := state.Of(ctx, last)
			if err != nil {
				return err
			}
			return kv.All(func(k string, v int64) bool {
				err = ctx.Forward(processor.WithKey(r, k, v))
				return err == nil
			})
		}), last).To(numbers("all"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "b", 1, 1)
		d.expect("old: b=0@1", "all: b=1@1")
		d.send("in", "a", 2, 2)
		d.expect("old: a=0@2", "all: a=2@2", "all: b=1@2")
		d.send("in", "b", 0, 3)
		d.expect("old: b=1@3", "all: a=2@3")
		d.send("in", "b", 9, 1)
		d.take()
		if rows := d.rows("last"); fmt.Sprint(rows) != "[a=2@2 b=9@1]" {
			t.Fatalf("rows %v", rows)
		}
	})
}

// A store joins its processors into one sub-topology, also without a connection
// between their streams.
func TestASharedStoreConnects(t *testing.T) {
	b := New("app")
	Process(Source(b, numbers("x")), "one", each(nil), rowsStore("s"))
	Process(Source(b, numbers("y")), "two", each(nil), rowsStore("s"))
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if subs := topo.Subs(); len(subs) != 1 || len(subs[0].Sources) != 2 || len(subs[0].Stores) != 1 {
		t.Fatalf("%d sub-topologies", len(subs))
	}
}

func TestProcessorWindowsExpireAcrossRestarts(t *testing.T) {
	windows := windowStore("windows").Retention(ms(20))
	inModes(t, func(b *Builder) {
		Process(Source(b, numbers("in")), "p", each(func(ctx numberContext, r numberRecord) error {
			w, err := state.WindowsOf(ctx, windows)
			if err != nil {
				return err
			}
			written, err := w.Put(r.Key, r.Time, r.Value)
			if err != nil || !written {
				return err
			}
			return w.Fetch(r.Key, 0, 1000, func(start processor.Timestamp, v int64) bool {
				err = ctx.Forward(numberRecord{Key: fmt.Sprintf("%s%d", r.Key, start), Value: v, Time: r.Time})
				return err == nil
			})
		}), windows).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 0)
		d.send("in", "a", 2, 10)
		d.expect("out: a0=1@0", "out: a0=1@10", "out: a10=2@10")
		d.send("in", "b", 3, 20)
		d.send("in", "a", 4, 0) // expired: 0 <= 20 - 20
		d.expect("out: b20=3@20")
		d.send("in", "a", 5, 1)
		d.expect("out: a1=5@1", "out: a10=2@1")
	})
}

func TestProcessContext(t *testing.T) {
	requested, seen := false, []string{}
	d := newDriver(t, straight, func(b *Builder) {
		Process(Source(b, numbers("in")), "p", each(func(ctx numberContext, r numberRecord) error {
			seen = append(seen, fmt.Sprint(ctx.Partition(), int64(ctx.StreamTime())))
			if requested {
				ctx.RequestCommit()
			}
			return ctx.Forward(r)
		}))
	})
	inst := d.tasks[0].inst
	if inst.StreamTime() != processor.NoTime {
		t.Fatalf("stream time of a new task is %v", inst.StreamTime())
	}
	d.send("in", "a", 1, 30)
	d.send("in", "a", 1, 10)
	if asked := inst.CommitRequested(); asked {
		t.Fatal("nobody asked for a commit")
	}
	requested = true
	d.send("in", "a", 1, 40)
	if first, second := inst.CommitRequested(), inst.CommitRequested(); !first || second {
		t.Fatalf("requested %v, then %v; want true, then false", first, second)
	}
	if want := []string{"0 30", "0 30", "0 40"}; !slices.Equal(seen, want) {
		t.Fatalf("%v, want %v", seen, want)
	}
}

func TestProcessErrorsNameTheirNode(t *testing.T) {
	cause := errors.New("cause")
	undeclared := func(ctx numberContext, _ numberRecord) error {
		_, err := state.Of(ctx, rowsStore("elsewhere"))
		return err
	}
	otherTypes := func(ctx numberContext, _ numberRecord) error {
		_, err := state.Of(ctx, state.KeyValue("s", serde.String, serde.String))
		return err
	}
	for want, f := range map[string]func(numberContext, numberRecord) error{
		"node upper: cause": func(numberContext, numberRecord) error { return cause },
		"node lower: below": func(ctx numberContext, r numberRecord) error { return ctx.Forward(r) },
		"node upper: it forwarded a record with the negative time -1": func(ctx numberContext, r numberRecord) error {
			r.Time = processor.NoTime
			return ctx.Forward(r)
		},
		"node upper: processor upper has no store elsewhere; pass its handle to Process": undeclared,
		"node upper: store s is declared with other types than the handle's":             otherTypes,
		"node upper: Schedule \"late\": it may only be called from Init": func(ctx numberContext, _ numberRecord) error {
			return ctx.Schedule("late", ms(1), processor.StreamTime, nil)
		},
	} {
		d := newDriver(t, straight, func(b *Builder) {
			upper := Process(Source(b, numbers("in")), "upper", each(f), rowsStore("s"))
			Process(upper, "lower", each(func(numberContext, numberRecord) error { return errors.New("below") }))
		})
		err := d.feed("in", Raw{Key: []byte("a"), Value: make([]byte, 8)})
		var failed *NodeError
		if !errors.As(err, &failed) || err.Error() != want || failed.Class != "" {
			t.Errorf("error %v, want %s", err, want)
		}
		if strings.HasSuffix(want, "cause") && !errors.Is(err, cause) {
			t.Error("the cause is lost")
		}
	}
}

func TestProcessorsAreInitialisedUpstreamFirstAndClosed(t *testing.T) {
	var calls []string
	note := func(name string) func() numberProcessor {
		return func() numberProcessor {
			return custom{
				init:  func(numberContext) error { calls = append(calls, "init "+name); return nil },
				close: func() error { calls = append(calls, "close "+name); return errors.New(name) },
			}
		}
	}
	b := New("app")
	Process(Process(Source(b, numbers("in")), "first", note("first")), "second", note("second"))
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	inst, err := topo.Subs()[0].Instantiate(Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := inst.Init(); err != nil {
		t.Fatal(err)
	}
	err = inst.Shutdown()
	if err == nil || !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "second") {
		t.Fatalf("Shutdown lost an error: %v", err)
	}
	if want := []string{"init first", "init second"}; !slices.Equal(calls[:2], want) || len(calls) != 4 {
		t.Fatalf("calls %v", calls)
	}
}

func TestANilProcessorIsAnErrorOfInstantiate(t *testing.T) {
	b := New("app")
	Process(Source(b, numbers("in")), "p", func() numberProcessor { return nil })
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, err = topo.Subs()[0].Instantiate(Env{})
	if want := "node p: its function returned a nil processor"; err == nil || err.Error() != want {
		t.Fatalf("error %v, want %s", err, want)
	}
}
