package topology_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/topology"
)

var (
	loopIn   = topology.Topic[string, int64]{Name: "numbers", Partitions: 2, Key: serde.String, Value: serde.Int64}
	loopBack = topology.Topic[string, int64]{Name: "countdown-loop", Partitions: 2, Key: serde.String, Value: serde.Int64}
	loopOut  = topology.Topic[string, int64]{Name: "seen", Partitions: 1, Key: serde.String, Value: serde.Int64}
)

// countdown sends every number back, less one and under another key, until it is
// zero.
func countdown() (*topology.Topology, error) {
	b := topology.New("countdown")
	again, feed := topology.Loop(b, loopBack)
	all := topology.Source(b, loopIn).Merge(again)
	all.To(loopOut)
	less := topology.Process(all, "less", func() processor.Processor[string, int64, string, int64] {
		return processor.Func[string, int64, string, int64](func(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
			if r.Value == 0 {
				return nil
			}
			return ctx.Forward(processor.WithKey(r, fmt.Sprint(r.Key, r.Value), r.Value-1))
		})
	})
	feed(less)
	return b.Build()
}

func TestLoopComesRound(t *testing.T) {
	streamtest.Run(t, countdown, func(t *testing.T, d *streamtest.Driver) {
		streamtest.Input(d, loopIn).Send("k", 3)
		var got []string
		for _, r := range streamtest.Output(d, loopOut).Records() {
			got = append(got, fmt.Sprint(r.Key, "=", r.Value))
		}
		if want := "k=3 k3=2 k32=1 k321=0"; strings.Join(got, " ") != want {
			t.Errorf("seen %s, want %s", strings.Join(got, " "), want)
		}
	})
}

func TestLoopIsPartOfTheShape(t *testing.T) {
	top, err := countdown()
	if err != nil {
		t.Fatal(err)
	}
	shape := top.Shape()
	if len(shape.Repartition) != 1 || shape.Repartition[0].Topic != "countdown-loop" || len(shape.Subs) != 1 {
		t.Errorf("shape %+v, want one repartition topic in one sub-topology", shape)
	}
}

func TestLoopMistakes(t *testing.T) {
	b := topology.New("app")
	records, _ := topology.Loop(b, loopBack)
	records.To(loopOut)
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), "nothing feeds this loop") {
		t.Errorf("a loop that nothing feeds: %v", err)
	}
	b = topology.New("app")
	_, feed := topology.Loop(b, loopBack)
	feed(topology.Source(topology.New("other"), loopIn))
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), "another topology") {
		t.Errorf("a loop fed by another topology: %v", err)
	}
}
