// Package faultproxy stands between a Kafka client and its brokers and does to
// chosen requests what networks do: it loses them, or their answers, delays them,
// delivers them twice or long after the connection is gone. It is for tests.
//
// The proxy reads every frame, and puts itself into the addresses that brokers
// answer with, so that a client that starts at Addr never gets past it.
package faultproxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Action is what happens to a request.
type Action int

// The actions.
const (
	// Pass delivers it.
	Pass Action = iota
	// Drop ends the connection instead of delivering it.
	Drop
	// DropAnswer delivers it and ends the connection instead of the answer.
	DropAnswer
	// Twice delivers it twice; the second answer is lost.
	Twice
	// Late ends the connection now, and delivers the request after Verdict.Delay on
	// a connection of its own.
	Late
	// Replay delivers it, and once more after Verdict.Delay on a connection of its
	// own, without anybody noticing.
	Replay
)

// Verdict says what to do with a request, and after which delay.
type Verdict struct {
	Action Action
	Delay  time.Duration
}

// Config configures a proxy. Only Upstream is needed.
type Config struct {
	Upstream string // host:port of one broker
	// Decide is asked about every request, from many goroutines. nil passes all.
	Decide func(kmsg.Request) Verdict
	// Fencing refuses a producer that asks for a new epoch of its own identity after
	// somebody else has taken it over (PRODUCER_FENCED), as Kafka does and the
	// emulator kfake does not.
	Fencing bool
}

// Proxy is a running proxy.
type Proxy struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	fence  fence

	mu struct {
		sync.Mutex
		closed    bool
		fronts    map[string]net.Listener // by the broker's address
		conns     map[net.Conn]struct{}
		delivered int // late requests
	}
}

// New starts a proxy on a free port of the loopback interface.
func New(cfg Config) (*Proxy, error) {
	p := &Proxy{cfg: cfg}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.mu.fronts = map[string]net.Listener{}
	p.mu.conns = map[net.Conn]struct{}{}
	p.fence.holders = map[string]holder{}
	if _, err := p.front(cfg.Upstream); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string {
	addr, err := p.front(p.cfg.Upstream)
	if err != nil {
		return "" // closed
	}
	return addr
}

// Delivered returns how many late requests have been delivered.
func (p *Proxy) Delivered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.delivered
}

// Close ends all connections and waits for late requests to be given up.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.mu.closed = true
	for _, l := range p.mu.fronts {
		_ = l.Close()
	}
	for c := range p.mu.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
	return nil
}

// front returns the address that stands for a broker, made at the first use.
func (p *Proxy) front(broker string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.mu.fronts[broker]; l != nil {
		return l.Addr().String(), nil
	}
	if p.mu.closed {
		return "", fmt.Errorf("proxy of %s is closed", broker)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for broker %s: %w", broker, err)
	}
	p.mu.fronts[broker] = l
	p.wg.Go(func() { p.accept(l, broker) })
	return l.Addr().String(), nil
}

func (p *Proxy) accept(l net.Listener, broker string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", broker, 5*time.Second)
		if err != nil || !p.keep(client, server) {
			_ = client.Close()
			continue
		}
		s := &session{proxy: p, broker: broker, client: client, server: server}
		p.wg.Go(s.requests)
		p.wg.Go(s.answers)
	}
}

// keep remembers connections for Close; false after it.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.mu.closed {
			_ = c.Close()
		}
		p.mu.conns[c] = struct{}{}
	}
	return !p.mu.closed
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.mu.conns, c)
	}
}

// sleep returns false if the proxy was closed meanwhile.
func (p *Proxy) sleep(d time.Duration) bool {
	if d <= 0 {
		return p.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
