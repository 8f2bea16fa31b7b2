package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/examples/meters/metering"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

var noon = time.Date(2018, 10, 29, 12, 0, 0, 0, time.UTC)

// story is a day at one meter; minutes count from noon.
var story = []struct {
	minute int
	kwh    float64
}{
	{0, 1}, {15, 2}, {45, 3},
	{60, 10},
	{30, 6},  // an interval late, taken in
	{74, -5}, // dropped before it counts for anything
	{75, 20}, // closes the hour from noon
	{50, 99}, // too late for that hour, not for the window from 12:15
	{135, 0}, // closes the hour from one
}

func play(d *streamtest.Driver) {
	in := streamtest.Input(d, metering.Readings)
	for _, s := range story {
		at := noon.Add(time.Duration(s.minute) * time.Minute)
		in.SendAt("m1", metering.Reading{KWh: s.kwh, At: at}, at)
	}
}

func build(emit topology.Emission) func() (*topology.Topology, error) {
	return func() (*topology.Topology, error) { return metering.Averages(1, emit) }
}

// show formats results of m1 as start=mean.
func show(rows []processor.Record[state.Windowed[string], float64]) (out []string) {
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s=%g", r.Key.Start.Time().Format("15:04"), r.Value))
	}
	return out
}

func TestEveryUpdate(t *testing.T) {
	want := []string{"12:00=1", "12:00=1.5", "12:00=2", "13:00=10", "12:00=3", "13:00=15", "14:00=0"}
	streamtest.Run(t, build(topology.OnUpdate), func(t *testing.T, d *streamtest.Driver) {
		play(d)
		if got := show(streamtest.Output(d, metering.Hourly).Records()); !slices.Equal(got, want) {
			t.Errorf("hourly: %v, want %v", got, want)
		}
		last := map[string]float64{}
		for _, r := range streamtest.Output(d, metering.LastHour).Records() {
			last[r.Key.Start.Time().Format("15:04")] = r.Value
		}
		// From 12:15: 2, 3, 10, 6 and the 99 that the hour from noon refuses.
		if last["12:15"] != 24 || last["12:00"] != 3 || last["11:15"] != 1 || last["14:15"] != 0 {
			t.Errorf("last hour: %v", last)
		}
	})
}

func TestOnClose(t *testing.T) {
	want := []string{"12:00=3", "13:00=15"}
	streamtest.Run(t, build(topology.OnClose), func(t *testing.T, d *streamtest.Driver) {
		play(d)
		if got := show(streamtest.Output(d, metering.Hourly).Records()); !slices.Equal(got, want) {
			t.Errorf("hourly: %v, want %v", got, want)
		}
	})
}

func TestOncePerCommit(t *testing.T) {
	want := map[string]string{"12:00": "12:00=3", "13:00": "13:00=15", "14:00": "14:00=0"}
	streamtest.Run(t, build(topology.OnCommit), func(t *testing.T, d *streamtest.Driver) {
		play(d)
		last := map[string]string{}
		for _, row := range show(streamtest.Output(d, metering.Hourly).Records()) {
			last[row[:5]] = row
		}
		if fmt.Sprint(last) != fmt.Sprint(want) {
			t.Errorf("hourly: %v, want %v", last, want)
		}
	})
}
