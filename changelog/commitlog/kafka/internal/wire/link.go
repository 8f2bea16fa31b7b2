package wire

import (
	"context"
	"net"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// link is one broker address: its connections and what its broker can do. Each
// has a Transport of its own, so that the failure of one broker costs the others
// no connection.
type link struct {
	node      Node
	transport *kafka.Transport
	born      time.Time // of the oldest connection that may be idle
	versions  map[int16][2]int16
	stale     bool // versions were learnt before the last failure: ask again
}

// link returns the link to a node, made at the first use.
func (c *Client) link(to Node) (*link, error) {
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, commitlog.ErrClosed
	}
	l := c.mu.links[to.Addr]
	if l == nil {
		l = &link{node: to, born: now, transport: &kafka.Transport{
			Dial:        c.dial,
			DialTimeout: c.cfg.DialTimeout,
			// The transport's own metadata are not used. It insists on fetching some,
			// once for a pool, so ask for no topics and seldom.
			MetadataTopics: []string{},
			MetadataTTL:    10 * time.Minute,
			ClientID:       c.cfg.ClientID,
			TLS:            c.cfg.TLS,
			SASL:           c.cfg.SASL,
			Context:        c.ctx,
		}}
		c.mu.links[to.Addr] = l
	}
	if c.cfg.Recycle > 0 && now.Sub(l.born) > c.cfg.Recycle {
		l.transport.CloseIdleConnections()
		l.born = now
	}
	return l, nil
}

// failed drops what the link has pooled. After a broker's restart every idle
// connection is dead, and each would cost one more failed request, which is one
// more aborted transaction.
func (c *Client) failed(l *link) {
	c.failures.Add(1)
	l.transport.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	l.stale = true
	l.born = c.cfg.Now()
}

func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: c.cfg.DialTimeout, KeepAlive: 30 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, client: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		_ = conn.Close()
		return nil, commitlog.ErrClosed
	}
	c.mu.sockets[s] = struct{}{}
	return s, s.SetDeadline(time.Time{})
}

// socket is a connection that always has a deadline. kafka-go clears it before
// SASL, where a silent peer would then hold goroutine and socket for ever. While
// a connection is idle the deadline does nothing, and a request sets its own.
type socket struct {
	net.Conn
	client *Client
}

// SetDeadline sets the deadline; clearing it means the time to connect from now.
func (s *socket) SetDeadline(t time.Time) error {
	if t.IsZero() {
		// Socket deadlines are the system's time, whatever clock the client has.
		t = time.Now().Add(s.client.cfg.DialTimeout)
	}
	return s.Conn.SetDeadline(t)
}

// Close closes the connection and forgets it.
func (s *socket) Close() error {
	s.client.mu.Lock()
	delete(s.client.mu.sockets, s)
	s.client.mu.Unlock()
	return s.Conn.Close()
}
