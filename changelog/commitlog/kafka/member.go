package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

var _ commitlog.Member = (*Member)(nil)

// maxBeat is the longest time between heartbeats. How soon a member learns of a
// rebalance depends on it, so it does not grow with the session timeout.
const maxBeat = 3 * time.Second

// Member is a member of a group by Kafka's classic protocol: JoinGroup agrees on
// who is in the next generation, the leader plans, SyncGroup hands the plan out,
// heartbeats keep the place and tell of rebalances.
type Member struct {
	log     *Log
	cfg     commitlog.GroupConfig
	changed chan struct{}
	stop    context.CancelFunc
	ctx     context.Context // ends with Close or Leave
	beats   sync.WaitGroup

	mu struct {
		sync.Mutex
		id         string // given by the coordinator; empty: not yet, or no more
		generation int32
		settled    bool // the generation is agreed: heartbeats may go out
		lost       bool // the group removed this member, and Join has not said so yet
		fenced     bool
		closed     bool
	}
}

// OpenMember implements commitlog.Log. Brokers accept session timeouts between
// group.min.session.timeout.ms (6 s) and group.max.session.timeout.ms (30 min).
func (l *Log) OpenMember(ctx context.Context, cfg commitlog.GroupConfig) (commitlog.Member, error) {
	cfg = cfg.WithDefaults()
	switch {
	case cfg.Group == "":
		return nil, errors.New("open member: the group has no name")
	case cfg.SessionTimeout < 0 || cfg.RebalanceTimeout < 0:
		return nil, fmt.Errorf("open member of group %s: timeouts must not be negative", cfg.Group)
	case l.closed():
		return nil, fmt.Errorf("open member of group %s: %w", cfg.Group, commitlog.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open member of group %s: %w", cfg.Group, err)
	}
	m := &Member{log: l, cfg: cfg, changed: make(chan struct{}, 1)}
	m.ctx, m.stop = context.WithCancel(l.ctx)
	m.beats.Go(m.beat)
	return m, nil
}

// Changed implements commitlog.Member.
func (m *Member) Changed() <-chan struct{} { return m.changed }

func (m *Member) signal() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Leave implements commitlog.Member. Being no member any more is success.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	id, gone := m.mu.id, m.mu.closed || m.mu.fenced || m.mu.id == ""
	m.mu.closed, m.mu.settled = true, false
	m.mu.Unlock()
	m.stop()
	m.beats.Wait()
	if gone {
		return nil
	}
	// The member's id goes along with the instance: after a take-over of the
	// instance it is the successor that a bare instance id would throw out.
	err := m.atCoordinator(ctx, "leave group "+m.cfg.Group, func(node wire.Node) error { return m.leaveOnce(ctx, node, id) })
	if code, ok := codeOf(err); ok && (code == wire.UnknownMember || code == wire.FencedInstanceID) {
		return nil
	}
	return err
}

// Close implements commitlog.Member.
func (m *Member) Close() error {
	m.mu.Lock()
	m.mu.closed, m.mu.settled = true, false
	m.mu.Unlock()
	m.stop()
	m.beats.Wait()
	return nil
}

// instance is the static id for a request, nil for a dynamic member.
func (m *Member) instance() *string {
	if m.cfg.Instance == "" {
		return nil
	}
	return &m.cfg.Instance
}

// atCoordinator runs a request of the group that may be repeated: joining, leaving
// and syncing once more have the same effect.
func (m *Member) atCoordinator(ctx context.Context, what string, do func(wire.Node) error) error {
	return named(m.log.atCoordinator(ctx, wire.GroupCoordinator, m.cfg.Group, what, always, do), "READ on group "+m.cfg.Group)
}

// removed notes that the group does not know the member any more.
func (m *Member) removedLocked() {
	m.mu.lost = m.mu.lost || m.mu.generation != 0
	m.mu.id, m.mu.generation, m.mu.settled = "", 0, false
}

// groupError names what was refused, and the setting to look at.
func (m *Member) groupError(code int16, what string) error {
	err := refused(code, nil, fmt.Sprintf("%s group %s", what, m.cfg.Group), "READ on group "+m.cfg.Group)
	switch wire.Code(code) {
	case wire.InvalidSessionTimeout:
		return fmt.Errorf("%w: SessionTimeout is %v; the broker's group.min.session.timeout.ms and group.max.session.timeout.ms bound it", err, m.cfg.SessionTimeout)
	case wire.InconsistentGroupProtocol:
		return fmt.Errorf("%w: its members are not of this engine; choose another group name", err)
	}
	return err
}
