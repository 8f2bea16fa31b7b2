package topology

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// ticking forwards every record, and "tick" on each punctuation.
func ticking(name string, interval time.Duration, clock processor.Clock) func() numberProcessor {
	return func() numberProcessor {
		return custom{init: func(ctx numberContext) error {
			return ctx.Schedule(name, interval, clock, func(ctx numberContext, at processor.Timestamp) error {
				return ctx.Forward(numberRecord{Key: name, Value: int64(at), Time: at})
			})
		}}
	}
}

func TestStreamTimePunctuation(t *testing.T) {
	inModes(t, func(b *Builder) {
		Process(Source(b, numbers("in")), "p", ticking("tick", ms(10), processor.StreamTime)).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 3) // at once with the first record, behind it
		d.expect("out: a=1@3", "out: tick=3@3")
		d.send("in", "a", 2, 9)
		d.expect("out: a=2@9")
		d.send("in", "a", 3, 10) // aligned to the epoch
		d.expect("out: a=3@10", "out: tick=10@10")
		d.send("in", "a", 4, 57) // several missed intervals are one call
		d.expect("out: a=4@57", "out: tick=57@57")
		d.send("in", "a", 5, 12) // an old record does not move stream time
		d.send("in", "a", 6, 59)
		d.expect("out: a=5@12", "out: a=6@59")
		d.send("in", "a", 7, 60)
		d.expect("out: a=7@60", "out: tick=60@60")
	})
}

func TestWallClockPunctuation(t *testing.T) {
	inModes(t, func(b *Builder) {
		Process(Source(b, numbers("in")), "p", ticking("tick", 10*time.Second, processor.WallClock)).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 5_000_000) // only the wall clock counts
		d.expect("out: a=1@5000000")
		d.advance(9 * time.Second)
		d.expect()
		if due, ok := d.tasks[0].inst.NextWall(); !ok || due.UnixMilli() != 1_010_000 {
			t.Fatalf("next is due at %v, %v", due.UnixMilli(), ok)
		}
		d.advance(1 * time.Second)
		d.expect("out: tick=1010000@1010000")
		d.advance(35 * time.Second) // three missed intervals are one call, and the phase stays
		d.expect("out: tick=1045000@1045000")
		d.advance(4 * time.Second)
		d.expect()
		d.advance(1 * time.Second)
		d.expect("out: tick=1050000@1050000")
	})
}

func TestSchedulesOfOneProcessorRunInOrder(t *testing.T) {
	inModes(t, func(b *Builder) {
		Process(Source(b, numbers("in")), "p", func() numberProcessor {
			return custom{init: func(ctx numberContext) error {
				for _, name := range []string{"z", "a"} {
					if err := ctx.Schedule(name, ms(5), processor.StreamTime, func(ctx numberContext, at processor.Timestamp) error {
						return ctx.Forward(numberRecord{Key: name, Time: at})
					}); err != nil {
						return err
					}
				}
				return nil
			}}
		}).To(numbers("out"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "r", 1, 7)
		d.expect("out: r=1@7", "out: z=0@7", "out: a=0@7")
		if due, ok := d.tasks[0].inst.NextWall(); ok {
			t.Fatalf("a stream-time schedule is due at %v of the wall clock", due)
		}
	})
}

// Punctuation follows the results of the windows that its record closed.
func TestPunctuationRunsBehindClosing(t *testing.T) {
	inModes(t, func(b *Builder) {
		in := Source(b, numbers("in"))
		w := in.GroupByKey().WindowedBy(Tumbling(ms(10))).Emit(OnClose)
		Count(w, windowStore("counts")).ToStream().To(windowed("closed", 10))
		Process(in, "p", ticking("tick", ms(10), processor.StreamTime)).To(numbers("ticks"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.send("in", "b", 1, 2)
		d.take()
		d.send("in", "a", 1, 10)
		d.expect("ticks: a=1@10", "closed: a[0,10)=1@1", "closed: b[0,10)=1@2", "ticks: tick=10@10")
	})
}

// What a punctuation forwards may itself close windows.
func TestPunctuationMayCloseWindows(t *testing.T) {
	inModes(t, func(b *Builder) {
		ticks := Process(Source(b, numbers("in")), "p", ticking("tick", ms(10), processor.StreamTime))
		again := ticks.Filter(func(k string, _ int64) bool { return k == "tick" }).Repartition(numbers("re"))
		Count(again.GroupByKey().WindowedBy(Tumbling(ms(10))).Emit(OnClose), windowStore("counts")).ToStream().To(windowed("out", 10))
	}, func(t *testing.T, d *driver) {
		for _, ts := range []int64{1, 10, 20} {
			d.send("in", "a", 1, ts)
		}
		d.expect("out: tick[0,10)=1@1", "out: tick[10,20)=1@10")
	})
}

func TestAWrittenRowHasTheTimeOfThePunctuation(t *testing.T) {
	inModes(t, func(b *Builder) {
		Process(Source(b, numbers("in")), "p", func() numberProcessor {
			return custom{init: func(ctx numberContext) error {
				return ctx.Schedule("tick", ms(10), processor.StreamTime, func(ctx numberContext, at processor.Timestamp) error {
					kv, err := state.Of(ctx, rowsStore("s"))
					if err != nil {
						return err
					}
					return kv.Put("at", int64(at))
				})
			}}
		}, rowsStore("s"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 25)
		if rows := d.rows("s"); fmt.Sprint(rows) != "[at=25@25]" {
			t.Fatalf("rows %v", rows)
		}
	})
}

// A failed punctuation is not repeated with the next record.
func TestAFailedPunctuationIsConsumed(t *testing.T) {
	calls := 0
	d := newDriver(t, straight, func(b *Builder) {
		Process(Source(b, numbers("in")), "p", func() numberProcessor {
			return custom{init: func(ctx numberContext) error {
				return ctx.Schedule("tick", ms(10), processor.StreamTime, func(numberContext, processor.Timestamp) error {
					calls++
					return errors.New("refused")
				})
			}}
		})
	})
	raw := Raw{Key: []byte("a"), Value: make([]byte, 8), Time: 3}
	if err := d.feed("in", raw); err == nil || err.Error() != "node p: refused" {
		t.Fatalf("error %v", err)
	}
	if err := d.feed("in", raw); err != nil || calls != 1 {
		t.Fatalf("error %v after %d calls", err, calls)
	}
}

func TestSchedulesAreChecked(t *testing.T) {
	for want, declare := range map[string]func(ctx numberContext) error{
		`interval 0s must be a positive number of whole milliseconds`:       func(ctx numberContext) error { return ctx.Schedule("s", 0, 0, nil) },
		`interval -1ms must be a positive number of whole milliseconds`:     func(ctx numberContext) error { return ctx.Schedule("s", ms(-1), 0, nil) },
		`interval 1.0001ms must be a positive number of whole milliseconds`: func(ctx numberContext) error { return ctx.Schedule("s", 1000100, 0, nil) },
		`the processor has a schedule of this name already`: func(ctx numberContext) error {
			return errors.Join(ctx.Schedule("s", ms(1), 0, nil), ctx.Schedule("s", ms(2), processor.WallClock, nil))
		},
	} {
		b := New("app")
		Process(Source(b, numbers("in")), "p", func() numberProcessor { return custom{init: declare} })
		topo, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		inst, err := topo.Subs()[0].Instantiate(Env{Now: func() time.Time { return time.UnixMilli(0) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := inst.Init(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "node p: ") {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// Named changes what people see, not the durable id of a schedule.
func TestNamedDoesNotMoveAPunctuation(t *testing.T) {
	d := newDriver(t, straight, func(b *Builder) {
		Process(Source(b, numbers("in")), "durable", ticking("tick", ms(10), processor.StreamTime)).Named("for people")
	})
	if _, ok := d.tasks[0].inst.Clocks().Punctuations["durable/tick"]; !ok {
		t.Fatalf("schedules are kept as %v", d.tasks[0].inst.Clocks().Punctuations)
	}
}
