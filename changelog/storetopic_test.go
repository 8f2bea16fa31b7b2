package changelog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

func TestCreateStoreTopic(t *testing.T) {
	log, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "/log"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	store := state.KeyValue("visits", serde.String, serde.Int64)
	chosen := store.ChangelogTopic("visits-table").Spec()

	if got := changelog.TopicOf("app", store.Spec()); got != "app-visits-changelog" {
		t.Errorf("the changelog is %s", got)
	}
	if got := changelog.TopicOf("app", chosen); got != "visits-table" {
		t.Errorf("the chosen changelog is %s", got)
	}
	for range 2 { // a second time it is there already
		for _, s := range []state.Spec{store.Spec(), chosen} {
			if err := changelog.CreateStoreTopic(t.Context(), log, "app", s, 3); err != nil {
				t.Fatal(err)
			}
		}
	}
	have, err := log.Topic(t.Context(), "visits-table")
	if err != nil || have.Partitions != 3 || have.Cleanup != commitlog.CleanupCompact {
		t.Errorf("created %+v, %v", have, err)
	}
}

func TestForeignStoreTopic(t *testing.T) {
	for want, foreign := range map[string]commitlog.TopicConfig{
		"":                          {Partitions: 3, Cleanup: commitlog.CleanupCompact, SegmentBytes: 1 << 20},
		"has 4 partitions":          {Partitions: 4, Cleanup: commitlog.CleanupCompact},
		"the cleanup policy delete": {Partitions: 3},
		"also has a retention":      {Partitions: 3, Cleanup: commitlog.CleanupCompactDelete, RetentionTime: time.Hour},
	} {
		log, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "/log"})
		if err != nil {
			t.Fatal(err)
		}
		foreign.Name = "visits-table"
		if err := log.CreateTopic(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		spec := state.KeyValue("visits", serde.String, serde.Int64).ChangelogTopic("visits-table").Spec()
		err = changelog.CreateStoreTopic(t.Context(), log, "app", spec, 3)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v", want, err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}
