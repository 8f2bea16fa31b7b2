package main

import (
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Reading is what a meter counted in one interval.
type Reading struct {
	KWh float64
	At  time.Time
}

// Mean is an average that can take in one more reading.
type Mean struct{ Sum, N float64 }

// Add returns the mean with r taken in.
func (m Mean) Add(r Reading) Mean { return Mean{m.Sum + r.KWh, m.N + 1} }

// Value is the average, in kWh per reading.
func (m Mean) Value() float64 { return m.Sum / m.N }

const (
	window = time.Hour
	slide  = 15 * time.Minute
	grace  = 15 * time.Minute   // how late a reading may come and still count
	keep   = 8 * 24 * time.Hour // how long windows can be looked at: a week, and one to spare
)

// The topics. Their number of partitions is set in meterAverages.
var (
	readings = topology.Topic[string, Reading]{Name: "meter-readings", Key: serde.String,
		Value: serde.JSON[Reading](), EventTime: func(r Reading) time.Time { return r.At }}
	hourly = topology.Topic[state.Windowed[string], float64]{Name: "meter-hourly-average",
		Key: serde.TimeWindowed(serde.String, window), Value: serde.Float64}
	lastHour = topology.Topic[state.Windowed[string], float64]{Name: "meter-last-hour-average",
		Key: serde.TimeWindowed(serde.String, window), Value: serde.Float64}
)

// The stores, which can be queried by these names over HTTP.
var (
	hourlyMean   = state.Window("hourly-mean", serde.String, serde.JSON[Mean]()).Retention(keep)
	lastHourMean = state.Window("last-hour-mean", serde.String, serde.JSON[Mean]()).Retention(keep)
)

// meterAverages is the whole computation: the average per meter and hour, and
// the average over the last hour, anew every 15 minutes.
func meterAverages(partitions int32, emit topology.Emission) (*topology.Topology, error) {
	in, out, sliding := readings, hourly, lastHour
	in.Partitions, out.Partitions, sliding.Partitions = partitions, partitions, partitions

	b := topology.New("meter-average")
	valid := topology.Source(b, in).Filter(func(_ string, r Reading) bool { return r.KWh >= 0 })
	byMeter := valid.GroupByKey()

	byHour := byMeter.WindowedBy(topology.Tumbling(window).Grace(grace)).Emit(emit)
	means := topology.Aggregate(byHour, topology.Fold(Mean.Add), hourlyMean)
	topology.MapValues(means.ToStream(), Mean.Value).To(out)

	byLastHour := byMeter.WindowedBy(topology.Hopping(window, slide).Grace(grace)).Emit(emit)
	latest := topology.Aggregate(byLastHour, topology.Fold(Mean.Add), lastHourMean)
	topology.MapValues(latest.ToStream(), Mean.Value).To(sliding)
	return b.Build()
}
