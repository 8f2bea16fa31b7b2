package bench

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Names of the topics. They are durable only as long as a run.
const (
	inputTopic  = "readings"
	outputTopic = "results"
)

const (
	windowSize  = time.Duration(hour) * time.Millisecond
	windowGrace = time.Duration(grace) * time.Millisecond
)

// mean is the accumulator of W1.
type mean struct {
	Sum float64
	N   int64
}

func (m mean) add(kwh float64) mean { return mean{m.Sum + kwh, m.N + 1} }
func (m mean) value() float64       { return m.Sum / float64(m.N) }

// meanSerde is 16 bytes: sum and number, big-endian.
type meanSerde struct{}

// Name implements serde.Serde.
func (meanSerde) Name() string { return "bench-mean" }

// Append implements serde.Serde.
func (meanSerde) Append(dst []byte, m mean) ([]byte, error) {
	return binary.BigEndian.AppendUint64(appendFloat(dst, m.Sum), uint64(m.N)), nil
}

// Decode implements serde.Serde.
func (s meanSerde) Decode(src []byte) (mean, error) {
	if src == nil {
		return mean{}, fmt.Errorf("%s: %w", s.Name(), serde.ErrNull)
	}
	if len(src) != 16 {
		return mean{}, fmt.Errorf("%s: %d bytes, want 16", s.Name(), len(src))
	}
	sum := math.Float64frombits(binary.BigEndian.Uint64(src))
	return mean{sum, int64(binary.BigEndian.Uint64(src[8:]))}, nil
}

// windowedKey is what the result topic of W1 is keyed by.
var windowedKey = serde.TimeWindowed(serde.String, windowSize)

// hourlyMean keeps rows no longer than lateness requires, unless the job says
// otherwise: the workload asks for closed windows only by their results. A row
// that expires before the commit after its last update is never logged.
var hourlyMean = state.Window("hourly-mean", serde.String, meanSerde{})

func (j Job) hourlyStore() state.WindowStore[string, mean] {
	return hourlyMean.Retention(max(j.Retention, windowSize+windowGrace))
}

var counts = state.KeyValue("counts", serde.String, serde.Int64)

// build declares the topology of the job.
func (j Job) build() (*topology.Topology, error) {
	readings := topology.Topic[string, float64]{Name: inputTopic, Partitions: int32(j.Partitions), Key: serde.String, Value: serde.Float64}
	b := topology.New("bench")
	grouped := topology.Source(b, readings).GroupByKey()
	if j.Workload != Hourly {
		results := topology.Topic[string, int64]{Name: outputTopic, Partitions: int32(j.Partitions), Key: serde.String, Value: serde.Int64}
		topology.Count(grouped.Emit(j.emission()), counts).ToStream().To(results)
		return b.Build()
	}
	results := topology.Topic[state.Windowed[string], float64]{Name: outputTopic, Partitions: int32(j.Partitions), Key: windowedKey, Value: serde.Float64}
	byHour := grouped.WindowedBy(topology.Tumbling(windowSize).Grace(windowGrace)).Emit(j.emission())
	means := topology.Aggregate(byHour, topology.Fold(mean.add), j.hourlyStore())
	topology.MapValues(means.ToStream(), mean.value).To(results)
	return b.Build()
}

func (j Job) emission() topology.Emission {
	switch j.Emit {
	case EmitCommit:
		return topology.OnCommit
	case EmitClose:
		return topology.OnClose
	}
	return topology.OnUpdate
}

// Topology is what the benchmark of a workload runs, for describing it.
func Topology(workload string) (*topology.Topology, error) {
	return Job{Workload: workload, Partitions: 2, Emit: EmitCommit}.build()
}
