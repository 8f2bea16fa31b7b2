package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func TestTopicMismatchSaysHowToMend(t *testing.T) {
	cluster := fakeCluster(t)
	cfg := quiet(cluster.ListenAddrs()...)
	cfg.MinInSyncReplicas, cfg.ReplicationFactor = 2, 3
	l := openLog(t, cfg)
	if err := cluster.CreateTopic("app-store-changelog", 2, map[string]string{"cleanup.policy": "compact", "retention.ms": "1000", "min.insync.replicas": "1"}); err != nil {
		t.Fatal(err)
	}
	err := l.CreateTopic(t.Context(), commitlog.TopicConfig{Name: "app-store-changelog", Partitions: 4, Cleanup: commitlog.CleanupCompactDelete, Internal: true})
	var mismatch *commitlog.TopicMismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"partitions: have 2, want 4", "cleanup.policy: have compact, want compact,delete", "retention.ms: have 1000, want -1",
		"min.insync.replicas: have 1, want 2", "--alter --add-config 'retention.ms=[-1]'"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	for range 2 {
		if err := l.CreateTopic(t.Context(), commitlog.TopicConfig{Name: "app-positions", Partitions: 1, Cleanup: commitlog.CleanupCompact, Internal: true, KeepLatest: true}); err != nil {
			t.Fatal(err)
		}
	}
	other := openLog(t, cfg) // knows the topic by its name only
	got, err := other.Topic(t.Context(), "app-positions")
	if err != nil || !got.Internal || !got.KeepLatest || got.Cleanup != commitlog.CleanupCompact || got.RetentionTime != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := other.Topic(t.Context(), "none"); !errors.Is(err, commitlog.ErrUnknownTopic) || !strings.Contains(err.Error(), "kafka-topics") {
		t.Errorf("a missing topic gave %v", err)
	}
}

func TestCreateTopicRefusals(t *testing.T) {
	l := openLog(t, quiet(fakeCluster(t, kfake.NumBrokers(1)).ListenAddrs()...))
	for name, cfg := range map[string]commitlog.TopicConfig{
		"no name": {Partitions: 1}, "no partitions": {Name: "a"}, "negative retention": {Name: "a", Partitions: 1, RetentionBytes: -1},
	} {
		if err := l.CreateTopic(t.Context(), cfg); err == nil {
			t.Errorf("%s: created", name)
		}
	}
	cfg := quiet("127.0.0.1:1")
	cfg.ReplicationFactor, cfg.MinInSyncReplicas = 2, 3
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in-sync") {
		t.Errorf("more in-sync replicas than replicas: %v", err)
	}
}

func TestPasswordIsNeverShown(t *testing.T) {
	cfg := Config{SASL: SASL{Mechanism: "PLAIN", Username: "user", Password: "hunter2"}}
	encoded, err := json.Marshal(cfg.SASL)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), fmt.Sprint(&cfg.SASL), string(encoded), cfg.SASL.LogValue().String()} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("shown: %s", shown)
		}
	}
	if _, err := (SASL{Mechanism: "GSSAPI"}).mechanism(); err == nil || !strings.Contains(err.Error(), "GSSAPI") {
		t.Errorf("an unknown mechanism: %v", err)
	}
}
