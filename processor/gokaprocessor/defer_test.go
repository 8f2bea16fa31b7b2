package gokaprocessor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/streamtest"
)

// deferring defers the commit of every record whose value says so, and counts how
// often each key was seen.
type deferring struct {
	open    []func(error)
	seen    []string
	timeout time.Duration
}

func (p *deferring) group() Group {
	return Group{
		Name: "deferring", Persist: new(codec.Int64), DeferTimeout: p.timeout,
		Inputs: []Input{{Topic: "in", Codec: new(codec.String), Callback: func(ctx goka.Context, v any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			ctx.Emit("out", ctx.Key(), v)
			p.seen = append(p.seen, v.(string))
			if strings.HasPrefix(v.(string), "defer") {
				p.open = append(p.open, ctx.DeferCommit())
			}
			if v == "defer twice" {
				p.open = append(p.open, ctx.DeferCommit())
			}
		}}},
		Outputs: []Output{{Topic: "out", Codec: new(codec.String)}},
	}
}

func (p *deferring) start(t *testing.T, c streamtest.Config) (*streamtest.Driver, func(values ...string)) {
	d := c.New(t, p.group().Build, streamtest.Mode{Engine: streamtest.Pebble})
	sent := 0
	return d, func(values ...string) {
		t.Helper()
		for _, v := range values {
			if err := p.send(t, d, sent, v); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
}

func (p *deferring) send(t *testing.T, d *streamtest.Driver, at int, value string) error {
	return send(t, d, p.group(), at, sent{topic: "in", key: "k", value: value})
}

func (p *deferring) visible(t *testing.T, d *streamtest.Driver, want ...string) {
	t.Helper()
	var got []string
	for _, r := range streamtest.Output(d, p.group().Topic("out")).All() {
		got = append(got, r.Value.Value.(string))
	}
	if !slices.Equal(got, want) {
		t.Errorf("visible are %v, want %v", got, want)
	}
}

// Nothing of a record with an open function, or behind it, is visible.
func TestDeferredCommit(t *testing.T) {
	p := &deferring{}
	d, send := p.start(t, streamtest.Config{})
	send("a", "b")
	p.visible(t, d, "a", "b")
	send("defer twice", "c")
	p.visible(t, d, "a", "b")
	p.open[1](nil)
	p.open[1](nil) // a second call counts for nothing
	p.visible(t, d, "a", "b")
	p.open[0](nil)
	p.visible(t, d, "a", "b", "defer twice", "c")
	if got := result(d, p.group()).table["k"]; got != "4" {
		t.Errorf("the count is %s, want 4", got)
	}
}

// Behind a commit that an open function has put off nothing more is processed.
func TestDeferredCommitBoundsWhatRunsAhead(t *testing.T) {
	p := &deferring{}
	d, send := p.start(t, streamtest.Config{})
	send("defer", "runs ahead")
	d.Commit()
	send("waits")
	if want := []string{"defer", "runs ahead"}; !slices.Equal(p.seen, want) {
		t.Errorf("processed are %v, want %v", p.seen, want)
	}
	p.open[0](nil)
	p.visible(t, d, "defer", "runs ahead", "waits")
}

// What was deferred when the process dies is processed again, once, and what the
// old process still calls counts for nothing.
func TestDeferredCommitAndCrash(t *testing.T) {
	p := &deferring{}
	d, send := p.start(t, streamtest.Config{})
	send("a", "defer", "b")
	d.Restart()
	if want := []string{"a", "defer", "b", "a", "defer", "b"}; !slices.Equal(p.seen, want) {
		t.Errorf("processed are %v, want %v", p.seen, want)
	}
	p.open[0](nil)
	p.visible(t, d)
	p.open[1](nil)
	p.visible(t, d, "a", "defer", "b")
	d.Restart()
	if got := result(d, p.group()).table["k"]; got != "3" {
		t.Errorf("the count is %s, want 3", got)
	}
}

// An error in the end stops the application and leaves nothing of the record,
// whatever the policy for poison is.
func TestDeferredCommitFails(t *testing.T) {
	for _, policy := range []runtime.Poison{runtime.PoisonFail, runtime.PoisonSkip} {
		p := &deferring{}
		d, send := p.start(t, streamtest.Config{Poison: policy})
		send("a")
		d.Commit()
		send("defer")
		p.open[0](errors.New("the other side said no"))
		err := p.send(t, d, 2, "b")
		var task *runtime.TaskError
		if !errors.As(err, &task) || task.Origin.Offset != 1 || !strings.Contains(err.Error(), "the other side said no") {
			t.Errorf("policy %d: error %v", policy, err)
		}
	}
}

// A function that nobody calls does not keep the task for ever.
func TestDeferredCommitTimesOut(t *testing.T) {
	p := &deferring{timeout: 10 * time.Millisecond}
	d, send := p.start(t, streamtest.Config{})
	send("defer")
	var err error
	for at := 1; err == nil && at < 2000; at++ {
		time.Sleep(time.Millisecond)
		err = p.send(t, d, at, "b")
	}
	if err == nil || !strings.Contains(err.Error(), "Group.DeferTimeout") || !strings.Contains(err.Error(), "in-0@0") {
		t.Errorf("error %v", err)
	}
}

// The functions are called from goroutines, while the application runs.
func TestDeferredCommitOfARunningApplication(t *testing.T) {
	group := counting()
	count := group.Inputs[0].Callback
	group.Inputs[0].Callback = func(ctx goka.Context, v any) {
		count(ctx, v)
		done := ctx.DeferCommit()
		go func() {
			time.Sleep(time.Millisecond)
			done(nil)
		}()
	}
	const records = 500
	rows := runApp(t, t.TempDir(), group, records)
	if rows["k"] != records {
		t.Errorf("the count is %d, want %d", rows["k"], records)
	}
}
