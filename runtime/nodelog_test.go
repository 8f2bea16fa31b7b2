package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// gate is what stands between a node and the log.
type gate struct {
	mu struct {
		sync.Mutex
		frozen chan struct{} // not nil while frozen; closed at the end of it
		killed bool
	}
}

func (g *gate) kill() {
	g.mu.Lock()
	g.mu.killed = true
	g.mu.Unlock()
}

func (g *gate) freeze() {
	g.mu.Lock()
	g.mu.frozen = make(chan struct{})
	g.mu.Unlock()
}

func (g *gate) thaw() {
	g.mu.Lock()
	close(g.mu.frozen)
	g.mu.frozen = nil
	g.mu.Unlock()
}

// pass waits while the process is frozen, and fails after it was killed.
func (g *gate) pass() error {
	for {
		g.mu.Lock()
		frozen, killed := g.mu.frozen, g.mu.killed
		g.mu.Unlock()
		if killed {
			return errKilled
		}
		if frozen == nil {
			return nil
		}
		<-frozen
	}
}

// nodeLog is the log as one node sees it.
type nodeLog struct {
	commitlog.Log
	gate gate
	// Faults, for controls.
	noMembership bool // commits do not show the membership
	noFencing    bool // taking over opens no writer of others
	noClaims     bool // as on Kafka, nothing keeps two writers from one changelog
	mu           sync.Mutex
	member       commitlog.Member
	open         []commitlog.Writer // whose commit was cut off by a kill
	commits      atomic.Int64
}

func (l *nodeLog) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	if err := l.gate.pass(); err != nil {
		return nil, err
	}
	if l.noFencing && strings.HasPrefix(id, "ticking-dead-") {
		id = "nobody"
	}
	w, err := l.Log.OpenWriter(ctx, id)
	if err != nil {
		return nil, err
	}
	return &nodeWriter{w, l}, nil
}

func (l *nodeLog) OpenMember(ctx context.Context, cfg commitlog.GroupConfig) (commitlog.Member, error) {
	if err := l.gate.pass(); err != nil {
		return nil, err
	}
	m, err := l.Log.OpenMember(ctx, cfg)
	l.mu.Lock()
	l.member = m
	l.mu.Unlock()
	return &nodeMember{m, l}, err
}

// freeze stops a node as SIGSTOP does: it does nothing more, and its heartbeats
// end.
func (n *node) freeze() {
	n.log.gate.freeze()
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	must(n.c.t, n.log.member.Close())
}

// cutOff is how many commits a kill has cut off.
func (l *nodeLog) cutOff() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

type nodeMember struct {
	commitlog.Member
	log *nodeLog
}

func (m *nodeMember) Join(ctx context.Context, metadata []byte, plan commitlog.PlanFunc) (commitlog.Generation, error) {
	if err := m.log.gate.pass(); err != nil {
		return commitlog.Generation{}, err
	}
	g, err := m.Member.Join(ctx, metadata, plan)
	if gone := m.log.gate.pass(); gone != nil {
		return g, gone
	}
	if errors.Is(err, commitlog.ErrClosed) {
		err = fmt.Errorf("%w: frozen for too long", commitlog.ErrNotMember)
	}
	return g, err
}

func (m *nodeMember) Leave(ctx context.Context) error {
	if err := m.log.gate.pass(); err != nil {
		return nil // it is as good as dead
	}
	return m.Member.Leave(ctx)
}

type nodeWriter struct {
	commitlog.Writer
	log *nodeLog
}

func (w *nodeWriter) Offsets(group string, as commitlog.Membership, at map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	if w.log.noMembership {
		as = commitlog.Membership{}
	}
	return w.Writer.Offsets(group, as, at)
}

func (w *nodeWriter) OpenExclusive(ctx context.Context, tp commitlog.TopicPartition) (int64, error) {
	if !w.log.noClaims {
		return w.Writer.OpenExclusive(ctx, tp)
	}
	b, err := w.log.Bounds(ctx, tp)
	return b.StableEnd, err
}

func (w *nodeWriter) AppendExclusive(tp commitlog.TopicPartition, b *recordbatch.Builder) (int64, error) {
	if !w.log.noClaims {
		return w.Writer.AppendExclusive(tp, b)
	}
	return 0, w.Append(tp, b)
}

func (w *nodeWriter) CloseExclusive(tp commitlog.TopicPartition) error {
	if w.log.noClaims {
		return nil
	}
	return w.Writer.CloseExclusive(tp)
}

func (w *nodeWriter) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	if err := w.log.gate.pass(); err != nil {
		w.log.mu.Lock()
		w.log.open = append(w.log.open, w.Writer)
		w.log.mu.Unlock()
		return nil, err
	}
	w.log.commits.Add(1)
	return w.Writer.Commit(ctx)
}

func (w *nodeWriter) Abort() error {
	if err := w.log.gate.pass(); err != nil {
		return err
	}
	return w.Writer.Abort()
}

// Close leaves open what a kill has cut off.
func (w *nodeWriter) Close() error {
	if err := w.log.gate.pass(); err != nil {
		return nil
	}
	return w.Writer.Close()
}
