package visits

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"slices"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/topology"
)

// consumer is what a story is told to: goka's tester, or the engine.
type consumer interface {
	consume(topic, key string, value any)
}

// story ends with the hundredth visit of a page.
func story(to consumer) {
	to.consume("user-plans", "ann", "gold")
	for i := range 99 {
		to.consume("clicks", fmt.Sprint("user-", i%7), &Click{Page: "home"})
	}
	to.consume("clicks", "ann", &Click{Page: "home"})
	to.consume("clicks", "ann", &Click{Page: "shop"})
}

const (
	wantMilestone = `page:home {Visits:100 User:ann Plan:gold} milestone`
	wantCounts    = "ann=2 page:home=100 page:shop=1 user-0=15 user-1=14 user-2=14 user-3=14 user-4=14 user-5=14 user-6=14"
)

func counts(rows map[string]*Count) string {
	var out string
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		out += fmt.Sprintf(" %s=%d", key, rows[key].Visits)
	}
	return out[1:]
}

type engine struct {
	d     *streamtest.Driver
	clock processor.Timestamp
}

func (e *engine) consume(topic, key string, value any) {
	e.clock++
	streamtest.Input(e.d, Group(1).Topic(topic)).SendRecord(processor.Record[string, gokaValue]{
		Key: key, Value: processor.Some(value), Time: e.clock})
}

type gokaValue = processor.Opt[any]

// The program as it runs now, whatever happens to it meanwhile.
func TestGroup(t *testing.T) {
	build := func() (*topology.Topology, error) { return Group(1).Build() }
	streamtest.Run(t, build, func(t *testing.T, d *streamtest.Driver) {
		story(&engine{d: d})
		out := streamtest.Output(d, Group(1).Topic("page-milestones")).Records()
		if len(out) != 1 {
			t.Fatalf("%d milestones, want 1", len(out))
		}
		got := fmt.Sprintf("%s %+v %s", out[0].Key, *out[0].Value.Value.(*Visit), out[0].Headers[0].Value)
		if got != wantMilestone {
			t.Errorf("got %s, want %s", got, wantMilestone)
		}
		rows := map[string]*Count{}
		for _, row := range streamtest.Rows(d, Counts) {
			rows[row.Key] = row.Value
		}
		if got := counts(rows); got != wantCounts {
			t.Errorf("got  %s\nwant %s", got, wantCounts)
		}
	})
}

type onGoka struct{ *tester.Tester }

func (g onGoka) consume(topic, key string, value any) { g.Consume(topic, key, value) }

// The program as it ran before: the test that it had.
func TestGraph(t *testing.T) {
	g := onGoka{tester.New(t)}
	p, err := goka.NewProcessor(nil, Graph(), goka.WithTester(g.Tester), goka.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	// The tester loses what it hands to a joined table in the first moments, so the
	// table is set too.
	g.SetTableValue(plans, "ann", "gold")
	out := g.NewQueueTracker(string(milestones))
	story(g)
	headers, key, value, ok := out.NextWithHeaders()
	if !ok {
		t.Fatal("no milestone")
	}
	if got := fmt.Sprintf("%s %+v %s", key, *value.(*Visit), headers["kind"]); got != wantMilestone {
		t.Errorf("got %s, want %s", got, wantMilestone)
	}
	rows := map[string]*Count{}
	for _, key := range g.GetTableKeys(goka.GroupTable(group)) {
		rows[key] = g.TableValue(goka.GroupTable(group), key).(*Count)
	}
	if got := counts(rows); got != wantCounts {
		t.Errorf("got  %s\nwant %s", got, wantCounts)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
