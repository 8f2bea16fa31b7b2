package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// place is this process's place in its group, as the workers' commits show it. It
// implements worker.Group.
type place struct {
	timeout time.Duration // for a new generation
	mu      struct {
		sync.Mutex
		as   commitlog.Membership
		gone error
	}
	changed *broadcast
}

func newPlace(timeout time.Duration) *place {
	return &place{timeout: timeout, changed: newBroadcast()}
}

// set publishes a new membership.
func (p *place) set(as commitlog.Membership) {
	p.mu.Lock()
	p.mu.as = as
	p.mu.Unlock()
	p.changed.notify()
}

// lose says that there will be no further membership.
func (p *place) lose(err error) {
	p.mu.Lock()
	if p.mu.gone == nil {
		p.mu.gone = err
	}
	p.mu.Unlock()
	p.changed.notify()
}

func (p *place) get() (commitlog.Membership, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.as, p.mu.gone
}

// Membership implements worker.Group.
func (p *place) Membership() commitlog.Membership {
	as, _ := p.get()
	return as
}

// Renewed implements worker.Group.
func (p *place) Renewed(ctx context.Context, refused commitlog.Membership) (commitlog.Membership, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout,
		fmt.Errorf("%w: no newer generation than %d within %v", commitlog.ErrNotMember, refused.Generation, p.timeout))
	defer cancel()
	for {
		changed := p.changed.wait()
		as, gone := p.get()
		switch {
		case gone != nil:
			return as, gone
		case as != refused:
			return as, nil
		}
		select {
		case <-ctx.Done():
			return as, context.Cause(ctx)
		case <-changed:
		}
	}
}

// mailbox is an unbounded queue of what is to be done on one goroutine. Senders
// never wait, so that the receiver may itself cause something to be sent.
type mailbox struct {
	mu struct {
		sync.Mutex
		queue []func()
	}
	ready chan struct{}
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

func (m *mailbox) post(f func()) {
	m.mu.Lock()
	m.mu.queue = append(m.mu.queue, f)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// run does what was posted so far.
func (m *mailbox) run() {
	m.mu.Lock()
	queue := m.mu.queue
	m.mu.queue = nil
	m.mu.Unlock()
	for _, f := range queue {
		f()
	}
}

// errDropped is why a worker ends without a commit: its tasks may have new owners.
var errDropped = errors.New("the tasks were dropped")
