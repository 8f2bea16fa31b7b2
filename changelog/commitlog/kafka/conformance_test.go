package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/commitlogtest"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/faultproxy"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
)

// fakeCluster is an emulated cluster of its own.
func fakeCluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// quiet is a configuration for tests, whose faults are meant.
func quiet(brokers ...string) Config {
	return Config{Brokers: brokers, Logger: slog.New(slog.DiscardHandler), TransactionTimeout: 5 * time.Second}
}

func openLog(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// fakeHarness gives every case an emulated cluster of its own, because cases use
// fixed names of topics.
type fakeHarness struct {
	t        testing.TB
	mu       sync.Mutex
	clusters map[commitlog.Log]*kfake.Cluster
	proxies  map[*kfake.Cluster]*faultproxy.Proxy
	opts     []kfake.Opt
	wrap     func(*Log) commitlog.Log // a control's fault
}

func (h *fakeHarness) open(c *kfake.Cluster) (commitlog.Log, error) {
	l, err := Open(context.Background(), quiet(h.address(c)))
	if err != nil {
		return nil, err
	}
	var log commitlog.Log = l
	if h.wrap != nil {
		log = h.wrap(l)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clusters[log] = c
	return log, nil
}

// address is that of a proxy before the cluster, which adds the fencing that the
// emulator lacks.
func (h *fakeHarness) address(c *kfake.Cluster) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proxies[c] == nil {
		proxy, err := faultproxy.New(faultproxy.Config{Upstream: c.ListenAddrs()[0], Fencing: true})
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() {
			if err := proxy.Close(); err != nil {
				h.t.Error(err)
			}
		})
		h.proxies[c] = proxy
	}
	return h.proxies[c].Addr()
}

func (h *fakeHarness) cluster(l commitlog.Log) *kfake.Cluster {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clusters[l]
}

func kfakeHarness(t testing.TB, wrap func(*Log) commitlog.Log, opts ...kfake.Opt) commitlogtest.Harness {
	h := &fakeHarness{t: t, clusters: map[commitlog.Log]*kfake.Cluster{}, proxies: map[*kfake.Cluster]*faultproxy.Proxy{}, wrap: wrap, opts: opts}
	return commitlogtest.Harness{
		Open:   func() (commitlog.Log, error) { return h.open(fakeCluster(t, h.opts...)) },
		Again:  func(l commitlog.Log) (commitlog.Log, error) { return h.open(h.cluster(l)) },
		Reopen: h.reopen,
		Compact: func(ctx context.Context, l commitlog.Log, topic string) error {
			h.cluster(l).Compact()
			return nil
		},
		Expire: func(ctx context.Context, l commitlog.Log, topic string) error {
			h.cluster(l).ApplyRetention()
			return nil
		},
		MinSession: 100 * time.Millisecond,
		Missing: []commitlogtest.Feature{
			commitlogtest.FeatureSnapshot,       // each partition is fetched for itself
			commitlogtest.FeatureHolder,         // Kafka lets anybody append
			commitlogtest.FeaturePromptFencing,  // local calls need no broker
			commitlogtest.FeatureStaticMetadata, // the emulator rebalances; Kafka does not
			commitlogtest.FeatureServerRestart,  // it lives in the test's process
		},
	}
}

// reopen leaves the old handle to its fate in a crash: it is closed after the new
// one is open, without having ended anything.
func (h *fakeHarness) reopen(l commitlog.Log, crash bool) (commitlog.Log, error) {
	if !crash {
		if err := l.Close(); err != nil {
			return nil, err
		}
		return h.open(h.cluster(l))
	}
	next, err := h.open(h.cluster(l))
	return next, errors.Join(err, l.Close())
}

func TestConformanceEmulated(t *testing.T) {
	h := kfakeHarness(t, nil, kfake.GroupMinSessionTimeout(50*time.Millisecond))
	commitlogtest.Run(t, h)
}

// TestConformanceControls takes a guard out of the driver; the kit must say so.
func TestConformanceControls(t *testing.T) {
	for name, control := range map[string]struct {
		decode decoder
		report []string // cases that must fail
	}{
		"delivers aborted records": {func(tp commitlog.TopicPartition, raw []byte, from int64, _ []kmsg.FetchResponseTopicPartitionAbortedTransaction) decoded {
			return decode(tp, raw, from, nil)
		}, []string{"transactions/old generation, then abort", "transactions/not a member"}},
		"stays at what it delivered": {func(tp commitlog.TopicPartition, raw []byte, from int64, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) decoded {
			d := decode(tp, raw, from, aborted)
			d.next = from
			if n := len(d.batches); n > 0 {
				d.next = d.batches[n-1].NextOffset()
			}
			return d
		}, []string{"restored/from every offset", "restored/aborted tail", "compaction/from every offset", "trim/moves the start"}},
	} {
		h := kfakeHarness(t, func(l *Log) commitlog.Log { l.decode = control.decode; return l }, kfake.GroupMinSessionTimeout(50*time.Millisecond))
		h.Timeout = 5 * time.Second
		for _, c := range commitlogtest.Cases() {
			if slices.Contains(control.report, c.Name) && commitlogtest.Check(h, c) == nil {
				t.Errorf("a log that %s passes %q", name, c.Name)
			}
		}
	}
}

// TestConformanceKafka runs the kit on the broker that TIDEMILL_KAFKA names. Cases
// that restart the broker have one of their own, see the server tests.
func TestConformanceKafka(t *testing.T) {
	brokers := strings.Split(kafkatest.Address(t), ",")
	h := &realHarness{brokers: brokers, run: fmt.Sprintf("kit-%d-%d", os.Getpid(), time.Now().UnixMilli())}
	t.Cleanup(func() { h.removeTopics(t) })
	kit := h.harness()
	if !h.checksRetention(t) {
		kit.Missing = append(kit.Missing, commitlogtest.FeatureRetention)
	}
	commitlogtest.Run(t, kit)
}
