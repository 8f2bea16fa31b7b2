package topology_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

func changelogs(stores ...state.Handle) (*topology.Topology, error) {
	b := topology.New("app")
	in := topology.Source(b, topology.Topic[string, int64]{Name: "in", Key: serde.String, Value: serde.Int64})
	for i, store := range stores {
		topology.Process(in, fmt.Sprint("p", i), func() processor.Processor[string, int64, string, int64] {
			return processor.Func[string, int64, string, int64](func(processor.Context[string, int64], processor.Record[string, int64]) error { return nil })
		}, store)
	}
	return b.Build()
}

func TestChangelogTopicIsPartOfTheShape(t *testing.T) {
	store := state.KeyValue("s", serde.String, serde.Int64)
	plain, err := changelogs(store)
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := changelogs(store.ChangelogTopic("foreign-table"))
	if err != nil {
		t.Fatal(err)
	}
	diff := chosen.Shape().Diff(plain.Shape())
	if len(diff) != 1 || !strings.Contains(diff[0], "changelog topic from the default to foreign-table") {
		t.Errorf("differences %q", diff)
	}
	if !strings.Contains(chosen.Describe(), "changelog foreign-table") {
		t.Errorf("the description does not tell:\n%s", chosen.Describe())
	}
}

func TestChangelogTopicMistakes(t *testing.T) {
	one, two := state.KeyValue("one", serde.String, serde.Int64), state.KeyValue("two", serde.String, serde.Int64)
	for want, stores := range map[string][]state.Handle{
		"is also used as a topic":   {one.ChangelogTopic("in")},
		"that of store one too":     {one.ChangelogTopic("x"), two.ChangelogTopic("x")},
		"allowed are":               {one.ChangelogTopic("a topic")},
		"different changelog topic": {one.ChangelogTopic("x"), one},
	} {
		if _, err := changelogs(stores...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
