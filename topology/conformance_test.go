package topology_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
)

// TestConformance replays recorded behaviour of Kafka Streams, each scenario in
// every mode of the test driver. testdata/conformance holds the scenarios of the
// operators that exist; TIDEMILL_CONFORMANCE=DIR replays DIR/<group>/*.json
// instead. The scenarios made by hand (h*) take all modes; the random ones (r*)
// take those of the short form and one more each, or all with TIDEMILL_LONG=1. The
// short form takes two.
func TestConformance(t *testing.T) {
	dir := os.Getenv("TIDEMILL_CONFORMANCE")
	if dir == "" {
		dir = "testdata/conformance"
	}
	scenarios, err := loadScenarios(dir)
	if err != nil {
		t.Fatal(err)
	}
	deviations, err := loadDeviations("deviations.txt")
	if err != nil {
		t.Fatal(err)
	}
	var run summary
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			defer func() { run.count(s, t.Failed()) }()
			if quirk, ok := s.deviates(deviations); ok {
				run.leftOut("deviating", s, quirk)
				t.Skipf("deviates on purpose: %s", quirk)
			}
			_, err := newGraph(s)
			if op := (*unsupportedError)(nil); errors.As(err, &op) {
				run.leftOut("unsupported", s, op.op)
				t.Skip(op)
			}
			if err != nil {
				t.Fatal(err)
			}
			replayInEveryMode(t, s)
		})
	}
	run.print()
}

// summary counts scenarios. One that is left out is named, with the reason.
type summary struct {
	passed, failed int
	left           map[string][]string // scenario names by kind and reason
	kinds          []string
	skipped        map[*scenario]bool
}

func (r *summary) leftOut(kind string, s *scenario, reason string) {
	if r.left == nil {
		r.left, r.skipped = map[string][]string{}, map[*scenario]bool{}
	}
	kind = kind + " (" + reason + ")"
	if r.left[kind] == nil {
		r.kinds = append(r.kinds, kind)
	}
	r.left[kind] = append(r.left[kind], s.Name)
	r.skipped[s] = true
}

func (r *summary) count(s *scenario, failed bool) {
	switch {
	case failed:
		r.failed++
	case !r.skipped[s]:
		r.passed++
	}
}

func (r *summary) print() {
	for _, kind := range r.kinds {
		fmt.Printf("conformance: %d %s: %s\n", len(r.left[kind]), kind, strings.Join(r.left[kind], " "))
	}
	fmt.Printf("conformance: %d passed, %d failed\n", r.passed, r.failed)
}

// shortModes are the only ones that the short form takes: results step by step,
// rows read back from the store, and state restored for every record.
var shortModes = []streamtest.Mode{
	{Schedule: streamtest.EveryCommit, Engine: streamtest.Pebble, CacheBytes: 1},
	{Schedule: streamtest.EveryRestart, Engine: streamtest.Memory},
}

func replayInEveryMode(t *testing.T, s *scenario) {
	modes := streamtest.Modes()
	switch {
	case testing.Short():
		modes = shortModes
	case os.Getenv("TIDEMILL_LONG") == "" && !strings.Contains(s.Name, "/h"):
		another := modes[crc32.ChecksumIEEE([]byte(s.Name))%uint32(len(modes))]
		modes = append(slices.Clone(shortModes), another)
	}
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			if err := replay(t, s, mode); err != nil {
				t.Fatalf("%s\n%v", s.About, err)
			}
		})
	}
}

// replay sends the steps and says where the results differ. Reading results
// commits, so in modes that leave commits to the reader they are read once, at
// the end.
func replay(t *testing.T, s *scenario, mode streamtest.Mode) error {
	g, err := newGraph(s)
	if err != nil {
		return err
	}
	d := streamtest.New(t, g.b.Build, mode)
	lazy := mode.Schedule == streamtest.Straight || mode.Schedule == streamtest.Random
	var expected []result
	for i, step := range s.Steps {
		step.perform(d)
		expected = append(expected, s.Expect.PerStep[i]...)
		if lazy && i < len(s.Steps)-1 {
			continue
		}
		if diff := s.compareStep(expected, g.results(d)); diff != "" {
			return fmt.Errorf("step %d: %s", i, diff)
		}
		expected = nil
	}
	for name, handle := range g.stores {
		if diff := compareRows(s.Expect.Stores[name], storeRows(d, handle)); diff != "" {
			return fmt.Errorf("store %s: %s", name, diff)
		}
	}
	return nil
}

func (s scenarioStep) perform(d *streamtest.Driver) {
	if s.Send == "" {
		d.Advance(time.Duration(s.Advance) * time.Millisecond)
		return
	}
	streamtest.Input(d, conformanceTopic(s.Send)).SendRecord(processor.Record[optKey, optValue]{
		Key: s.Key.optKey, Value: s.Value.optValue, Time: processor.Timestamp(s.Time), Headers: recordHeaders(s.Headers)})
}

// results returns what was committed to the sinks since the last call.
func (g *graph) results(d *streamtest.Driver) (out []result) {
	for topic := range g.topics {
		for _, r := range streamtest.Output(d, conformanceTopic(topic)).Records() {
			out = append(out, result{Topic: topic, Key: jsonKey{r.Key}, Value: jsonValue{r.Value},
				Time: int64(r.Time), Headers: resultHeaders(r.Headers)})
		}
	}
	return out
}

func storeRows(d *streamtest.Driver, handle state.Handle) []result {
	switch h := handle.(type) {
	case state.KeyValueStore[Key, Value]:
		return rowResults(streamtest.Rows(d, h), plainKey, sameValue)
	case state.KeyValueStore[Key, int64]:
		return rowResults(streamtest.Rows(d, h), plainKey, intValue)
	case state.WindowStore[Key, Value]:
		return rowResults(streamtest.WindowRows(d, h), windowKey, sameValue)
	case state.WindowStore[Key, int64]:
		return rowResults(streamtest.WindowRows(d, h), windowKey, intValue)
	case state.SessionStore[Key, Value]:
		return withoutTime(rowResults(streamtest.SessionRows(d, h), windowKey, sameValue))
	case state.SessionStore[Key, int64]:
		return withoutTime(rowResults(streamtest.SessionRows(d, h), windowKey, intValue))
	}
	panic(fmt.Sprintf("store handle of type %T", handle))
}

// withoutTime leaves out the time of sessions, as the goldens do: it is their end.
func withoutTime(rows []result) []result {
	for i := range rows {
		rows[i].Time = 0
	}
	return rows
}

func rowResults[K, V any](rows []streamtest.Row[K, V], key func(K) Key, value func(V) Value) (out []result) {
	for _, r := range rows {
		out = append(out, result{Key: jsonKey{processor.Some(key(r.Key))}, Value: jsonValue{processor.Some(value(r.Value))},
			Time: int64(r.Time)})
	}
	return out
}
