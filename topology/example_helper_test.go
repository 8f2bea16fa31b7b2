package topology_test

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/topology"
)

// What the examples share. In a test of your own, the *testing.T takes the place
// of exampleT, and streamtest.Run that of inTest.

// exampleT is a streamtest.TB that prints failures.
type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Logf(string, ...any)               {}
func (t *exampleT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }

// inTest runs a topology in memory and drives it with body.
func inTest(build func() (*topology.Topology, error), body func(d *streamtest.Driver)) {
	t := &exampleT{}
	defer func() {
		for i := len(t.cleanups) - 1; i >= 0; i-- {
			t.cleanups[i]()
		}
	}()
	body(streamtest.New(t, build, streamtest.Mode{}))
}

// numberTopic has string keys and whole numbers, wordTopic has strings for both.
// Each has one partition, so that the printed order is the order of sending.
func numberTopic(name string) topology.Topic[string, int64] {
	return topology.Topic[string, int64]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Int64}
}

func wordTopic(name string) topology.Topic[string, string] {
	return topology.Topic[string, string]{Name: name, Partitions: 1, Key: serde.String, Value: serde.String}
}

// second is a moment near the epoch.
func second(n int64) time.Time { return time.Unix(n, 0) }

// printRecords prints the new records of a topic, one a line: key and value.
func printRecords[K, V any](out streamtest.OutputTopic[K, V]) {
	for _, r := range out.Records() {
		fmt.Println(r.Key, r.Value)
	}
}
