package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// openTransaction is a foreign producer with a transaction open on a-0.
func openTransaction(t *testing.T, cluster *kfake.Cluster) *kgo.Client {
	t.Helper()
	foreign, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.TransactionalID("foreign"), kgo.DefaultProduceTopic("a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(foreign.Close)
	if err := foreign.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := foreign.ProduceSync(t.Context(), kgo.StringRecord("open")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return foreign
}

// settledCovers has a writer commit behind an open transaction of another, as the
// positions topic sees it, and asks what is settled while that is ended a moment
// later. What was committed must be covered.
func settledCovers(t *testing.T, settled func(*Log) (commitlog.Bounds, error)) error {
	cluster := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a"))
	foreign := openTransaction(t, cluster)
	l := openLog(t, quiet(cluster.ListenAddrs()...))
	write(t, l, a0, 0, 1)
	ended := make(chan error, 1)
	go func() {
		time.Sleep(100 * time.Millisecond)
		ended <- foreign.EndTransaction(context.Background(), kgo.TryAbort)
	}()
	bounds, err := settled(l)
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	if bounds.StableEnd < 2 { // the open record, then ours
		return errors.New("the commit behind an open transaction is not covered")
	}
	if record, ok, err := l.Latest(t.Context(), a0, []byte("k")); err != nil || !ok || string(record.Value) != "0" {
		t.Errorf("the latest record is %+v, %v, %v", record, ok, err)
	}
	return nil
}

func TestSettledWaits(t *testing.T) {
	if err := settledCovers(t, func(l *Log) (commitlog.Bounds, error) {
		all, err := l.Settled(t.Context(), []commitlog.TopicPartition{a0})
		return all[a0], err
	}); err != nil {
		t.Error(err)
	}
	if settledCovers(t, func(l *Log) (commitlog.Bounds, error) { return l.Bounds(t.Context(), a0) }) == nil {
		t.Error("control: taking the stable end of the moment passes")
	}
}

// TestSettledGivesUp: the wait for a transaction that goes on is bounded, and the
// error names it.
func TestSettledGivesUp(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a"))
	openTransaction(t, cluster)
	cfg := quiet(cluster.ListenAddrs()...)
	cfg.HangWait = 200 * time.Millisecond
	l := openLog(t, cfg)
	_, err := l.Settled(t.Context(), []commitlog.TopicPartition{a0})
	var hanging *commitlog.HangingTransactionError
	if err == nil || errors.As(err, &hanging) || !strings.Contains(err.Error(), "a-0") || !strings.Contains(err.Error(), "offset 0") {
		t.Errorf("got %v, want a time-out that names partition and offset", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Settled(ctx, []commitlog.TopicPartition{a0}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a shorter context: %v", err)
	}
	// Committed data behind it is not readable yet, and a point read waits for it.
	write(t, l, a0, 0, 1)
	if _, err := l.ReadAt(t.Context(), []commitlog.RecordID{{TopicPartition: a0, Offset: 1}}); err == nil {
		t.Error("a point read above the stable end said that nothing is there")
	}
}

func TestGroupPartition(t *testing.T) {
	// Java: "abc".hashCode() is 96354, "polygenelubricants".hashCode() the smallest int.
	for group, want := range map[string]int32{"": 0, "abc": 96354 % 50, "polygenelubricants": 0} {
		if got := groupPartition(group, 50); got != want {
			t.Errorf("group %q is in partition %d, want %d", group, got, want)
		}
	}
}
