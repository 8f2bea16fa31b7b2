package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

var _ commitlog.Log = (*Log)(nil)

// Log is a Kafka cluster as a log.
type Log struct {
	cfg    Config
	client *wire.Client
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	decode decoder // decode, unless a test takes its filter out

	mu struct {
		sync.Mutex
		closed  bool
		noted   map[string]noted // what this process declared of topics
		readers map[*Reader]struct{}
		latest  map[commitlog.TopicPartition]*latest
	}
}

// Open connects to a cluster. It goes on trying for Config.GiveUp, with a line in
// the log each second, and then fails with commitlog.ErrUnreachable; a refused
// password or certificate fails at once.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	mechanism, err := cfg.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	client, err := wire.Open(ctx, wire.Config{
		Brokers: cfg.Brokers, TLS: cfg.TLS, SASL: mechanism, ClientID: cfg.ClientID,
		GiveUp: cfg.GiveUp, Recycle: cfg.Recycle, Logger: cfg.Logger, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, client: client, decode: decode}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.mu.noted = map[string]noted{}
	l.mu.readers = map[*Reader]struct{}{}
	l.mu.latest = map[commitlog.TopicPartition]*latest{}
	return l, nil
}

// ID implements commitlog.Log: the id of the cluster.
func (l *Log) ID() string { return l.client.ClusterID() }

// closed reports whether Close was called.
func (l *Log) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.closed
}

// Close implements commitlog.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	l.mu.closed = true
	readers := slices.Collect(maps.Keys(l.mu.readers))
	l.mu.Unlock()
	l.cancel()
	for _, r := range readers {
		if err := r.Close(); err != nil {
			return fmt.Errorf("close a reader: %w", err)
		}
	}
	return l.client.Close()
}
