// Package interoptest holds what must fit together with programs that others have
// written: Kafka's own tools, kcat and Kafka Streams, on one real broker. It has
// tests only.
//
// They are skipped without TIDEMILL_KAFKA, and start a broker of their own. kcat
// and a JDK have to be installed; what is missing is said.
package interoptest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/topology"
)

// patience bounds each wait of a test. It is for machines that do other things too.
const patience = 2 * time.Minute

// TestInterop has one broker for all: its start is the dearest part of most tests.
func TestInterop(t *testing.T) {
	broker := kafkatest.Own(t, kafkatest.Options{Security: &kafkatest.Security{Users: users, Authorize: true}})
	b := &bench{broker}
	t.Run("tools", b.tools)
	t.Run("streams", b.streams)
	t.Run("secured", b.secured)
	t.Run("restricted", b.restricted)
}

// bench is a broker with what the tests do with it.
type bench struct{ *kafkatest.Broker }

// open opens the broker as a log, over the listener that asks for nothing.
func (b *bench) open(t *testing.T) *kafka.Log {
	t.Helper()
	l, err := kafka.Open(t.Context(), *b.plain())
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

func (b *bench) plain() *kafka.Config {
	return &kafka.Config{Brokers: []string{b.Addr()}, TransactionTimeout: 5 * time.Second, GiveUp: patience, Logger: slog.New(slog.DiscardHandler)}
}

// createTopics creates user topics, as a cluster's operator does. Records of years
// past are as old to Kafka as they say: with its default retention it would remove
// them at once.
func (b *bench) createTopics(t *testing.T, partitions int32, names ...string) {
	t.Helper()
	for _, name := range names {
		must(t, kafkatest.CreateTopic(t.Context(), b.Addr(), name, partitions, map[string]string{"retention.ms": "-1"}))
	}
}

// config is an App on the broker. The directory outlives the App, so that a second
// run of it goes on where the first has stopped.
func config(dir string, cluster *kafka.Config) runtime.Config {
	return runtime.Config{Dir: dir, Kafka: cluster, SessionTimeout: 10 * time.Second, GiveUp: 20 * time.Second,
		CommitInterval: 50 * time.Millisecond, Logger: cluster.Logger}
}

// start runs an App until stop is called or the test ends.
func start(t *testing.T, build func() (*topology.Topology, error), cfg runtime.Config) (app *runtime.App, stop func()) {
	t.Helper()
	top, err := build()
	must(t, err)
	app, err = runtime.New(t.Context(), top, cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run %s: %v", top.App(), err)
		}
	}
	t.Cleanup(stop)
	return app, stop
}

// processed waits until an App has processed everything that its inputs hold.
func processed(t *testing.T, app *runtime.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, app.WaitReady(ctx))
	must(t, app.WaitProcessed(ctx))
}

// within repeats a check until it is nil or patience is over.
func within(t *testing.T, check func() error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("still, after %v: %v", patience, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// differences compares two sequences and shows the first few places that differ.
func differences[T comparable](ours, theirs []T) (found []string) {
	if len(ours) != len(theirs) {
		found = append(found, fmt.Sprintf("%d of ours, %d of theirs", len(ours), len(theirs)))
	}
	for i := range min(len(ours), len(theirs)) {
		if ours[i] != theirs[i] {
			found = append(found, fmt.Sprintf("at %d: ours %v, theirs %v", i, ours[i], theirs[i]))
		}
		if len(found) > 4 {
			return append(found, "...")
		}
	}
	return found
}

// The comparison is worth nothing if it would not see a fault.
func TestDifferencesAreSeen(t *testing.T) {
	rows := []row{{0, "a", "1", 1}, {0, "b", "2", 2}, {1, "c", "3", 3}}
	if found := differences(rows, rows); found != nil {
		t.Errorf("equal rows differ: %q", found)
	}
	for name, other := range map[string][]row{
		"missing":    rows[:2],
		"additional": append(rows[:3:3], rows[0]),
		"order":      {rows[1], rows[0], rows[2]},
		"key":        {rows[0], {0, "B", "2", 2}, rows[2]},
		"value":      {rows[0], {0, "b", "2.0", 2}, rows[2]},
		"time":       {rows[0], {0, "b", "2", 3}, rows[2]},
		"partition":  {rows[0], {1, "b", "2", 2}, rows[2]},
	} {
		if differences(rows, other) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}
