package runtime_test

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/runtime"
)

// onKafka is a configuration for an emulated broker, which ends with the test.
func onKafka(t *testing.T) runtime.Config {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(1))
	must(t, err)
	t.Cleanup(broker.Close)
	return runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: 10 * time.Millisecond, CreateTopics: true,
		SessionTimeout: 6 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Kafka: &kafka.Config{Brokers: broker.ListenAddrs(), TransactionTimeout: 5 * time.Second}}
}

// The same program on Kafka, over restarts in good order: nothing is lost or
// repeated, and the committed offsets reach the end of the topic, markers included.
func TestOnKafka(t *testing.T) {
	cfg := onKafka(t)
	for run := range 3 {
		app, stop := start(t, countInto(orderCount), cfg)
		importOrders(t, app, 9)
		wantCounts(t, app, 9*(run+1))
		tp := commitlog.TopicPartition{Topic: orders.Name}
		end, err := app.Log().Bounds(t.Context(), tp)
		must(t, err)
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			offsets, err := app.Log().GroupOffsets(t.Context(), "counting")
			must(t, err)
			if offsets[tp].Offset == end.StableEnd {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("run %d: the group stands at %d, the topic ends at %d", run, offsets[tp].Offset, end.StableEnd)
			}
		}
		stop()
	}
}

// Several processes on Kafka: they share the tasks, and whoever stops or crashes
// loses and repeats nothing.
func TestGroupOnKafka(t *testing.T) {
	cfg := onKafka(t)
	log, err := kafka.Open(t.Context(), *cfg.Kafka)
	must(t, err)
	c := newClusterOn(t, log)
	c.cfg.SessionTimeout, c.cfg.RebalanceTimeout = 6*time.Second, 10*time.Second
	c.start("a")
	l := c.load(20 * time.Millisecond)
	c.settle()
	c.start("b")
	before := c.settle()
	c.nodes["b"].kill()
	c.start("b") // within the session timeout
	if after := c.settle(); !maps.Equal(before, after) {
		t.Errorf("tasks before the restart %v, after it %v", before, after)
	}
	c.nodes["a"].stop()
	c.settle()
	if err := c.wrong(l, l.end()); err != nil {
		t.Error(err)
	}
}

// A process that comes back with its directory is the same instance.
func TestInstanceIsKept(t *testing.T) {
	cfg := onKafka(t)
	ids := map[string]bool{}
	for range 2 {
		app := newApp(t, countInto(orderCount), cfg)
		f, err := cfg.FS.Open("data/instance")
		must(t, err)
		raw, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close(), app.Close()))
		ids[string(raw)] = true
	}
	if len(ids) != 1 {
		t.Errorf("instance ids %v, want one", ids)
	}
}

// A missing topic of the user's is named, with the command that creates it.
func TestMissingTopicOnKafka(t *testing.T) {
	cfg := onKafka(t)
	cfg.CreateTopics = false
	_, err := tryApp(t, countInto(orderCount), cfg)
	if !errors.Is(err, commitlog.ErrUnknownTopic) || !strings.Contains(err.Error(), "--create --topic orders --partitions 1") {
		t.Errorf("New without the topic: %v", err)
	}
}
