// Package metering is the computation of the meters example, apart from the
// command line around it.
package metering

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

// The windows.
const (
	Window = time.Hour
	Slide  = 15 * time.Minute
	Grace  = 15 * time.Minute   // how late a reading may come and still count
	Keep   = 8 * 24 * time.Hour // how long windows can be looked at: a week, and one to spare
)

// The topics as they are without a Job's prefix and partitions.
var (
	Readings = topology.Topic[string, Reading]{Name: "meter-readings", Key: serde.String,
		Value: serde.JSON[Reading](), EventTime: func(r Reading) time.Time { return r.At }}
	Hourly = topology.Topic[state.Windowed[string], float64]{Name: "meter-hourly-average",
		Key: serde.TimeWindowed(serde.String, Window), Value: serde.Float64}
	LastHour = topology.Topic[state.Windowed[string], float64]{Name: "meter-last-hour-average",
		Key: serde.TimeWindowed(serde.String, Window), Value: serde.Float64}
)

// The stores, which can be queried by these names over HTTP.
var (
	HourlyMean   = state.Window("hourly-mean", serde.String, serde.JSON[Mean]()).Retention(Keep)
	LastHourMean = state.Window("last-hour-mean", serde.String, serde.JSON[Mean]()).Retention(Keep)
)

// Job is the computation with what can be chosen about it.
type Job struct {
	// Prefix begins the names of the application and its topics, so that several
	// jobs can share a cluster.
	Prefix string
	// Partitions of the topics; 0 means what the input has.
	Partitions int32
	Emit       topology.Emission
}

// App is the name of the application.
func (j Job) App() string { return j.Prefix + "meter-average" }

// Readings, Hourly and LastHour are the topics of the job.
func (j Job) Readings() topology.Topic[string, Reading] { return own(j, Readings) }

// Hourly is described at Readings.
func (j Job) Hourly() topology.Topic[state.Windowed[string], float64] { return own(j, Hourly) }

// LastHour is described at Readings.
func (j Job) LastHour() topology.Topic[state.Windowed[string], float64] { return own(j, LastHour) }

func own[K, V any](j Job, t topology.Topic[K, V]) topology.Topic[K, V] {
	t.Name, t.Partitions = j.Prefix+t.Name, j.Partitions
	return t
}

// Topology is the whole computation: the average per meter and hour, and the average
// over the last hour, anew every 15 minutes.
func (j Job) Topology() (*topology.Topology, error) {
	b := topology.New(j.App())
	valid := topology.Source(b, j.Readings()).Filter(func(_ string, r Reading) bool { return r.KWh >= 0 })
	byMeter := valid.GroupByKey()

	byHour := byMeter.WindowedBy(topology.Tumbling(Window).Grace(Grace)).Emit(j.Emit)
	means := topology.Aggregate(byHour, topology.Fold(Mean.Add), HourlyMean)
	topology.MapValues(means.ToStream(), Mean.Value).To(j.Hourly())

	byLastHour := byMeter.WindowedBy(topology.Hopping(Window, Slide).Grace(Grace)).Emit(j.Emit)
	latest := topology.Aggregate(byLastHour, topology.Fold(Mean.Add), LastHourMean)
	topology.MapValues(latest.ToStream(), Mean.Value).To(j.LastHour())
	return b.Build()
}

// Averages is the topology of a job without a prefix.
func Averages(partitions int32, emit topology.Emission) (*topology.Topology, error) {
	return Job{Partitions: partitions, Emit: emit}.Topology()
}
