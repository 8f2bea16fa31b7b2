package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Config says how to reach a cluster. Only Brokers is needed.
type Config struct {
	Brokers  []string       // host:port of some brokers; the others are learnt
	TLS      *tls.Config    // nil: plaintext
	SASL     sasl.Mechanism // nil: none
	ClientID string         // shown in the broker's logs and quotas
	// DialTimeout bounds connecting, TLS and SASL together. Default 10 s.
	DialTimeout time.Duration
	// RequestTimeout bounds a request, on top of what it asks the broker to wait.
	// Default 30 s.
	RequestTimeout time.Duration
	// GiveUp is how long retries go on while no broker answers. Default 60 s.
	GiveUp time.Duration
	// Recycle replaces connections of this age, before their SASL session ends:
	// kafka-go does not authenticate anew. 0 or less: never.
	Recycle time.Duration
	Logger  *slog.Logger // default slog.Default()
	Now     func() time.Time
}

func (c *Config) setDefaults() error {
	if len(c.Brokers) == 0 {
		return errors.New("kafka: no broker is configured; give at least one as host:port")
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = 10 * time.Second
	}
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = 30 * time.Second
	}
	if c.GiveUp <= 0 {
		c.GiveUp = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// Node is a broker. Brokers that were configured but not yet asked have ID -1.
type Node struct {
	ID   int32
	Addr string
}

// String formats as "broker 1 (host:port)".
func (n Node) String() string {
	if n.ID < 0 {
		return "broker " + n.Addr
	}
	return fmt.Sprintf("broker %d (%s)", n.ID, n.Addr)
}

// Client talks to one cluster. All methods may be called from any goroutine.
type Client struct {
	cfg         Config
	formatter   *kmsg.RequestFormatter
	ctx         context.Context
	cancel      context.CancelFunc
	correlation atomic.Int32
	failures    atomic.Int64

	mu struct {
		sync.Mutex
		closed    bool
		links     map[string]*link // by address
		sockets   map[*socket]struct{}
		versions  map[int16]int16 // key -> highest version that all brokers asked so far have
		features  map[string]int16
		clusterID string
		nodes     map[int32]Node
		control   int32 // the controller's id
		topics    map[string]TopicInfo
		names     map[[16]byte]string
		coords    map[coordinatorKey]Node
	}
}

// Open connects to the cluster: it asks for versions and metadata, and goes on
// asking until a broker answers or the time to give up is over. What more time
// does not mend (a wrong password, an unknown certificate authority) fails at
// once.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(cfg.ClientID))}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.links = map[string]*link{}
	c.mu.sockets = map[*socket]struct{}{}
	c.mu.features = map[string]int16{}
	c.mu.nodes = map[int32]Node{}
	c.mu.topics = map[string]TopicInfo{}
	c.mu.names = map[[16]byte]string{}
	c.mu.coords = map[coordinatorKey]Node{}
	if err := c.Refresh(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("kafka: connect: %w", err), c.Close())
	}
	return c, nil
}

// Close ends all connections and with them the calls under way.
func (c *Client) Close() error {
	c.mu.Lock()
	c.mu.closed = true
	links, sockets := c.mu.links, c.mu.sockets
	c.mu.links, c.mu.sockets = map[string]*link{}, nil
	c.mu.Unlock()
	c.cancel()
	for _, l := range links {
		l.transport.CloseIdleConnections()
	}
	for s := range sockets {
		_ = s.Conn.Close() // it may be closed already, and nothing is left to be lost
	}
	return nil
}

// ClusterID is the id that the cluster was formatted with.
func (c *Client) ClusterID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.clusterID
}

// Failures counts the requests without a sound answer so far. Who relies on
// something that a broker does after its answer looks whether the count has grown:
// the broker may have died in between, and others may have noticed first.
func (c *Client) Failures() int64 { return c.failures.Load() }

// Now is the configured clock.
func (c *Client) Now() time.Time { return c.cfg.Now() }

// Any returns a broker, a known one before a configured one.
func (c *Client) Any(context.Context) (Node, error) {
	candidates, err := c.candidates()
	if err != nil {
		return Node{}, err
	}
	return candidates[0], nil
}

// candidates lists whom to ask what every broker knows: the known brokers in
// random order, then the configured ones, which find a cluster that has moved.
func (c *Client) candidates() ([]Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, commitlog.ErrClosed
	}
	var nodes []Node
	known := map[string]bool{}
	for _, n := range c.mu.nodes {
		nodes = append(nodes, n)
		known[n.Addr] = true
	}
	shuffle(nodes)
	learnt := len(nodes)
	for _, addr := range c.cfg.Brokers {
		if !known[addr] {
			nodes = append(nodes, Node{ID: -1, Addr: addr})
		}
	}
	shuffle(nodes[learnt:])
	return nodes, nil
}

func shuffle(nodes []Node) {
	rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
}
