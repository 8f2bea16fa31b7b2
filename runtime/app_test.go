package runtime_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

type reading struct {
	KWh float64
	At  time.Time
}

type mean struct{ Sum, N float64 }

func (m mean) Add(r reading) mean { return mean{m.Sum + r.KWh, m.N + 1} }
func (m mean) Value() float64     { return m.Sum / m.N }

var (
	readings = topology.Topic[string, reading]{Name: "meter-readings", Partitions: 4, Key: serde.String,
		Value: serde.JSON[reading](), EventTime: func(r reading) time.Time { return r.At }}
	averages = topology.Topic[state.Windowed[string], float64]{Name: "meter-hourly-average", Partitions: 4,
		Key: serde.TimeWindowed(serde.String, time.Hour), Value: serde.Float64}
	hourlyMean = state.Window("hourly-mean", serde.String, serde.JSON[mean]())
)

func hourlyAverage() (*topology.Topology, error) {
	b := topology.New("meter-average")
	valid := topology.Source(b, readings).Filter(func(_ string, r reading) bool { return r.KWh >= 0 })
	byHour := valid.GroupByKey().WindowedBy(topology.Tumbling(time.Hour).Grace(15 * time.Minute))
	means := topology.Aggregate(byHour, topology.Fold(mean.Add), hourlyMean)
	topology.MapValues(means.ToStream(), mean.Value).To(averages)
	return b.Build()
}

// start runs an App until the test ends or stop is called.
func start(t *testing.T, build func() (*topology.Topology, error), cfg runtime.Config) (*runtime.App, func()) {
	t.Helper()
	top, err := build()
	if err != nil {
		t.Fatal(err)
	}
	app, err := runtime.New(t.Context(), top, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return app, stop
}

func TestHourlyAverageAcrossRestarts(t *testing.T) {
	fs := vfs.NewMem()
	cfg := runtime.Config{Dir: "data", FS: fs, CommitInterval: time.Millisecond}
	begin := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	for run := range 3 {
		app, stop := start(t, hourlyAverage, cfg)
		p, err := runtime.NewProducer(t.Context(), app, readings, "test")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.Position().Offset, int64(run*40); got != want {
			t.Fatalf("run %d: position %d, want %d", run, got, want)
		}
		for i := range 40 {
			at := begin.Add(time.Duration(run*10+i/4) * 15 * time.Minute)
			if err := p.Send(fmt.Sprintf("m%d", i%4), reading{KWh: float64(i), At: at}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Commit(t.Context(), runtime.SourcePosition{Offset: int64(run*40 + 40)}); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := app.WaitProcessed(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
	}
	app, _ := start(t, hourlyAverage, cfg)
	sub, err := runtime.Subscribe(t.Context(), app, averages, "")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	last := map[string]float64{}
	for range 120 {
		r, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last[r.Key.String()] = r.Value
	}
	if len(last) != 32 {
		t.Fatalf("%d results, want 32: %v", len(last), last)
	}
}
