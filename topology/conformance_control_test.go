package topology_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/streamtest"
)

// The tests in this file show that the replay can fail: a comparison that sees
// nothing would pass every golden.

func sample(topic, key string, value, time int64) result {
	return result{Topic: topic, Key: jsonKey{keyOf(key, true)}, Value: jsonValue{processor.Some(intValue(value))}, Time: time}
}

func TestComparisonSeesDifferences(t *testing.T) {
	want := []result{sample("out", "A", 1, 10), sample("out", "B", 2, 20), sample("out", "A", 3, 30), sample("other", "A", 4, 40)}
	change := func(i int, f func(*result)) []result {
		got := slices.Clone(want)
		f(&got[i])
		return got
	}
	for name, got := range map[string][]result{
		"topic":      change(1, func(r *result) { r.Topic = "other" }),
		"key":        change(1, func(r *result) { r.Key.Value.Text = "C" }),
		"null key":   change(1, func(r *result) { r.Key = jsonKey{} }),
		"window":     change(1, func(r *result) { r.Key.Value.Windowed = true }),
		"value":      change(1, func(r *result) { r.Value.Value.Int = 5 }),
		"value type": change(1, func(r *result) { r.Value.Value = doubleValue(2) }),
		"tombstone":  change(1, func(r *result) { r.Value = jsonValue{} }),
		"time":       change(1, func(r *result) { r.Time++ }),
		"header":     change(1, func(r *result) { r.Headers = [][2]string{{"a", "b"}} }),
		"missing":    want[1:],
		"repeated":   append(slices.Clone(want), want[0]),
		"none":       nil,
		"key order":  {want[2], want[1], want[0], want[3]},
	} {
		for _, order := range []string{"", "perKey", "perWindow"} {
			if (&scenario{Order: order}).compareStep(want, got) == "" {
				t.Errorf("order %q: a different %s went unseen", order, name)
			}
		}
		if name != "key order" && compareRows(want, got) == "" {
			t.Errorf("rows: a different %s went unseen", name)
		}
	}
}

func TestComparisonAllowsWhatMayDiffer(t *testing.T) {
	want := []result{sample("out", "A", 1, 10), sample("out", "B", 2, 20), sample("other", "A", 3, 30)}
	topics := []result{want[2], want[0], want[1]}
	keys := []result{want[1], want[0], want[2]}
	for _, order := range []string{"", "perKey", "perWindow"} {
		if diff := (&scenario{Order: order}).compareStep(want, topics); diff != "" {
			t.Errorf("order %q: the order between topics counted: %s", order, diff)
		}
	}
	if (&scenario{}).compareStep(want, keys) == "" {
		t.Error("the order of a topic did not count")
	}
	if diff := (&scenario{Order: "perKey"}).compareStep(want, keys); diff != "" {
		t.Errorf("the order between keys counted: %s", diff)
	}
	early, late := sample("out", "A", 1, 10), sample("out", "A", 2, 20)
	early.Key.Value.Windowed, late.Key.Value.Windowed, late.Key.Value.Start = true, true, 10
	windows, swapped := []result{early, late}, []result{late, early}
	if (&scenario{Order: "perKey"}).compareStep(windows, swapped) == "" {
		t.Error("the order of the windows of a key did not count")
	}
	if diff := (&scenario{Order: "perWindow"}).compareStep(windows, swapped); diff != "" {
		t.Errorf("the order between windows counted: %s", diff)
	}
}

// A rule that is off by one millisecond shows.
func TestReplaySeesAnotherRule(t *testing.T) {
	scenarios, err := loadScenarios("testdata/conformance")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(scenarios, func(s *scenario) bool { return s.Name == "onclose/h1-tumbling" })
	s := scenarios[i]
	for _, n := range s.Nodes {
		if n.Op == "tumbling" {
			n.Params["grace"] = json.RawMessage("6")
		}
	}
	if err := replay(t, s, streamtest.Mode{Schedule: streamtest.EveryCommit}); err == nil {
		t.Error("a grace of 6 ms gave the results of 5 ms")
	}
}
