package runtime_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/topology"
)

// pace measures how long keys were not processed.
type pace struct {
	sync.Mutex
	last map[string]time.Time
	gap  map[string]time.Duration
}

func (p *pace) mark(key string) {
	now := time.Now()
	p.Lock()
	defer p.Unlock()
	if last, ok := p.last[key]; ok && p.gap != nil {
		p.gap[key] = max(p.gap[key], now.Sub(last))
	}
	p.last[key] = now
}

// begin starts a measurement, end returns the gaps by key.
func (p *pace) begin() {
	p.Lock()
	defer p.Unlock()
	p.gap = map[string]time.Duration{}
}

func (p *pace) end() map[string]time.Duration {
	now := time.Now()
	p.Lock()
	defer p.Unlock()
	gap := p.gap
	p.gap = nil
	for key := range gap {
		gap[key] = max(gap[key], now.Sub(p.last[key]))
	}
	return gap
}

// load sends ticks of all keys until it is stopped.
type load struct {
	c       *cluster
	app     *runtime.App
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	sent    int64 // of each key
	gap     atomic.Int64
}

const tickKeys = 24

func tickKey(i int) string { return fmt.Sprintf("key-%d", i) }

func (c *cluster) load(every time.Duration) *load {
	c.t.Helper()
	b := topology.New("feeding")
	topology.Source(b, ticks)
	top, err := b.Build()
	must(c.t, err)
	app, err := runtime.New(c.t.Context(), top, runtime.Config{Dir: "feeder", FS: vfs.NewMem(), Log: c.log})
	must(c.t, err)
	l := &load{c: c, app: app, stop: make(chan struct{}), stopped: make(chan struct{})}
	p, err := runtime.NewProducer(c.t.Context(), app, ticks, "feeder")
	must(c.t, err)
	c.t.Cleanup(func() {
		l.end()
		must(c.t, app.Close())
	})
	go func() {
		defer close(l.stopped)
		last := time.Now()
		for {
			for i := range tickKeys {
				if err := p.SendAt(tickKey(i), l.sent, time.UnixMilli(l.sent)); err != nil {
					c.t.Error(err)
				}
			}
			l.sent++
			if err := p.Commit(context.Background(), runtime.SourcePosition{Offset: l.sent}); err != nil {
				c.t.Error(err)
				return
			}
			select {
			case <-l.stop:
				if err := p.Close(); err != nil {
					c.t.Error(err)
				}
				return
			case <-time.After(every):
			}
			l.gap.Store(max(l.gap.Load(), int64(time.Since(last))))
			last = time.Now()
		}
	}()
	return l
}

// end stops the load and returns how often each key was sent.
func (l *load) end() int64 {
	l.once.Do(func() { close(l.stop) })
	<-l.stopped
	return l.sent
}

// wrong waits until everything is processed and returns what is wrong with the
// counts.
func (c *cluster) wrong(l *load, sent int64) error {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for _, n := range c.nodes {
		if err := n.app.WaitProcessed(ctx); err != nil {
			return fmt.Errorf("node %s: %w: %+v", n.name, err, n.app.Health())
		}
	}
	next := map[string]int64{}
	for _, r := range readAll(c.t, l.app, tickCounts) {
		next[r.Key]++
		if r.Value != next[r.Key] {
			return fmt.Errorf("the count of %s is %d where it must be %d", r.Key, r.Value, next[r.Key])
		}
	}
	for i := range tickKeys {
		if next[tickKey(i)] != sent {
			return fmt.Errorf("%d counts of %s, %d were sent", next[tickKey(i)], tickKey(i), sent)
		}
	}
	return nil
}
