package kafka

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/faultproxy"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// bench is a log on a broker behind a proxy.
type bench struct {
	*testing.T
	ctx     context.Context
	cluster *kfake.Cluster // nil on a real broker
	proxy   *faultproxy.Proxy
	log     *Log
	name    string // prefix of topics, groups and ids, so that tests can share a broker
}

// fake starts the emulator.
func fake(t *testing.T, decide func(kmsg.Request) faultproxy.Verdict, opts ...kfake.Opt) *bench {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := onBroker(t, cluster.ListenAddrs()[0], decide, true)
	b.cluster = cluster
	return b
}

// realKafka uses the broker for tests, or skips.
func realKafka(t *testing.T, decide func(kmsg.Request) faultproxy.Verdict) *bench {
	t.Helper()
	return onBroker(t, strings.Split(kafkatest.Address(t), ",")[0], decide, false)
}

func onBroker(t *testing.T, addr string, decide func(kmsg.Request) faultproxy.Verdict, fencing bool) *bench {
	t.Helper()
	proxy, err := faultproxy.New(faultproxy.Config{Upstream: addr, Decide: decide, Fencing: fencing})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	b := &bench{T: t, ctx: ctx, proxy: proxy, name: fmt.Sprintf("h-%d-", time.Now().UnixNano())}
	b.log = b.open()
	return b
}

func (b *bench) open() *Log {
	b.Helper()
	l, err := Open(b.ctx, Config{Brokers: []string{b.proxy.Addr()}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

func (b *bench) topic(name string, partitions int32) string {
	b.Helper()
	name = b.name + name
	if err := b.log.CreateTopic(b.ctx, commitlog.TopicConfig{Name: name, Partitions: partitions}); err != nil {
		b.Fatal(err)
	}
	return name
}

func (b *bench) writer(id string) *Writer {
	b.Helper()
	w, err := b.log.OpenWriter(b.ctx, b.name+id)
	if err != nil {
		b.Fatal(err)
	}
	return w.(*Writer)
}

func records(values ...string) *recordbatch.Builder {
	b := &recordbatch.Builder{}
	for i, v := range values {
		b.Append(int64(1000+i), []byte("k"), []byte(v), nil)
	}
	return b
}

func at(topic string, partition int32) commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: topic, Partition: partition}
}

// values reads what is committed in a partition, once everything is decided.
func (b *bench) values(tp commitlog.TopicPartition) []string {
	b.Helper()
	settled, err := b.log.Settled(b.ctx, []commitlog.TopicPartition{tp})
	if err != nil {
		b.Fatal(err)
	}
	r, err := b.log.NewReader(commitlog.ReaderOptions{MaxWait: 10 * time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	if err := r.Assign(tp, settled[tp].Start); err != nil {
		b.Fatal(err)
	}
	var values []string
	for next := settled[tp].Start; next < settled[tp].StableEnd; {
		fetched, err := r.Poll(b.ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range fetched {
			for _, batch := range f.Batches {
				for it := batch.Records(); it.Next(); {
					values = append(values, string(it.Value))
				}
			}
			next = f.Next
		}
	}
	return values
}

func (b *bench) expect(tp commitlog.TopicPartition, want ...string) {
	b.Helper()
	if got := b.values(tp); !slices.Equal(got, want) {
		b.Errorf("%s holds %q, want %q", tp, got, want)
	}
}

// transaction commits values to a partition.
func (b *bench) transaction(w *Writer, tp commitlog.TopicPartition, values ...string) (map[commitlog.TopicPartition]commitlog.Range, error) {
	if err := w.Begin(); err != nil {
		return nil, err
	}
	if err := w.Append(tp, records(values...)); err != nil {
		return nil, err
	}
	return w.Commit(b.ctx)
}

// oldProtocol makes the emulator one that has only the older transactions.
func oldProtocol() kfake.Opt { return kfake.MaxVersions(oldVersions()) }
