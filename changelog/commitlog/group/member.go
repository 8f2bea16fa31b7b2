package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

var _ commitlog.Member = (*Member)(nil)

// Member is a participant in this process. Its state is guarded by the lock of
// the coordinator, which has to tell it what happens to its group.
type Member struct {
	coordinator *Coordinator
	room        *room
	cfg         commitlog.GroupConfig
	changed     chan struct{}

	id         string // "" until the group has given one
	generation int32
	joining    bool // Join is running and sees for itself what happens
	told       bool // changed was signalled since the last Join
	ended      error
}

// Changed implements commitlog.Member.
func (m *Member) Changed() <-chan struct{} { return m.changed }

func (m *Member) signal() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// noticeLocked signals, once for each Join, that the generation of the last one
// does not stand any more.
func (m *Member) noticeLocked() {
	if m.joining || m.told || m.id == "" ||
		m.room.machine.Standing(m.id, m.cfg.Instance, m.generation) == OK {
		return
	}
	m.told = true
	m.signal()
}

// Join implements commitlog.Member. It does not hold the lock while it waits,
// nor while plan runs.
func (m *Member) Join(ctx context.Context, metadata []byte, plan commitlog.PlanFunc) (commitlog.Generation, error) {
	if err := ctx.Err(); err != nil {
		return commitlog.Generation{}, fmt.Errorf("join group %s: %w", m.room.name, context.Cause(ctx))
	}
	if err := m.begin(); err != nil {
		return commitlog.Generation{}, err
	}
	defer m.done()
	for {
		g, again, err := m.joinOnce(ctx, metadata, plan)
		if !again {
			return g, err
		}
	}
}

// begin marks that a Join runs. A signal from before it is answered by it.
func (m *Member) begin() error {
	m.coordinator.mu.Lock()
	defer m.coordinator.mu.Unlock()
	if m.coordinator.mu.closed {
		return m.failure(NotAvailable)
	}
	if m.ended != nil {
		return m.ended
	}
	m.joining, m.told = true, false
	select {
	case <-m.changed:
	default:
	}
	m.room.present[m] = struct{}{}
	return nil
}

// done looks at what happened between the last answer and now.
func (m *Member) done() {
	m.coordinator.mu.Lock()
	defer m.coordinator.mu.Unlock()
	m.joining = false
	if m.coordinator.mu.closed {
		m.signal()
		return
	}
	m.noticeLocked()
}

// joinOnce joins and syncs. It has to be done again if the next rebalance began
// before this one was over.
func (m *Member) joinOnce(ctx context.Context, metadata []byte, plan commitlog.PlanFunc) (_ commitlog.Generation, again bool, err error) {
	joined, err := m.wait(ctx, func(g *Machine, now time.Time, t Ticket) []Answer {
		return g.Join(now, JoinRequest{Ticket: t, Member: m.id, Instance: m.cfg.Instance, Metadata: metadata,
			Session: m.cfg.SessionTimeout, Rebalance: m.cfg.RebalanceTimeout})
	})
	if err != nil || joined.Code != OK {
		return commitlog.Generation{}, joined.Code == RebalanceInProgress, m.refused(joined.Code, err)
	}
	leader := joined.Leader == joined.Member
	var assignments map[string][]byte
	if leader && !joined.SkipAssignment {
		if assignments, err = planned(plan, joined.Members); err != nil {
			return commitlog.Generation{}, false, fmt.Errorf("group %s: plan for generation %d: %w", m.room.name, joined.Generation, err)
		}
	}
	synced, err := m.wait(ctx, func(g *Machine, now time.Time, t Ticket) []Answer {
		return g.Sync(now, SyncRequest{Ticket: t, Member: joined.Member, Instance: m.cfg.Instance,
			Generation: joined.Generation, Assignments: assignments})
	})
	if err != nil || synced.Code != OK {
		again := synced.Code == RebalanceInProgress || synced.Code == IllegalGeneration
		return commitlog.Generation{}, again, m.refused(synced.Code, err)
	}
	return commitlog.Generation{
		Membership: commitlog.Membership{Member: joined.Member, Instance: m.cfg.Instance, Generation: joined.Generation},
		Leader:     leader, Assignment: append([]byte(nil), synced.Assignment...),
	}, false, nil
}

// planned calls the plan with copies, and refuses one that gives work to nobody:
// those tasks would silently not run.
func planned(plan commitlog.PlanFunc, members []commitlog.MemberInfo) (map[string][]byte, error) {
	if plan == nil {
		return nil, errors.New("this member leads the group, but Join was called without a plan function")
	}
	known := make(map[string]bool, len(members))
	for i := range members {
		members[i].Metadata = append([]byte(nil), members[i].Metadata...)
		known[members[i].ID] = true
	}
	assignments, err := plan(members)
	if err != nil {
		return nil, err
	}
	for id := range assignments {
		if !known[id] {
			return nil, fmt.Errorf("the plan assigns to member %q, who is not in the generation", id)
		}
	}
	return assignments, nil
}

// wait sends a request and waits for its answer.
func (m *Member) wait(ctx context.Context, request func(g *Machine, now time.Time, t Ticket) []Answer) (Answer, error) {
	ticket, answer := m.coordinator.ask(m, request)
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		m.coordinator.abandon(m.room, ticket)
		return Answer{}, fmt.Errorf("join group %s: %w", m.room.name, context.Cause(ctx))
	}
}

// refused turns the end of a request into what Join returns, and remembers what
// it means for the next one.
func (m *Member) refused(code Code, err error) error {
	if err != nil {
		return err
	}
	m.coordinator.mu.Lock()
	defer m.coordinator.mu.Unlock()
	err = m.failure(code)
	switch code {
	case RebalanceInProgress, IllegalGeneration:
		return nil // joins again
	case UnknownMember:
		m.id = ""
	case FencedInstance:
		m.endLocked(err)
	}
	return err
}

// endLocked makes every later Join fail.
func (m *Member) endLocked(err error) {
	m.ended, m.id = err, ""
	delete(m.room.present, m)
}

func (m *Member) failure(code Code) error {
	switch code {
	case NotAvailable:
		return fmt.Errorf("group %s: %w", m.room.name, commitlog.ErrClosed)
	case UnknownMember:
		return fmt.Errorf("group %s, member %s: %w; drop its tasks and join anew", m.room.name, m.id, commitlog.ErrNotMember)
	case FencedInstance:
		return fmt.Errorf("%w: instance %s of group %s has joined from elsewhere; give every process its own instance id",
			commitlog.ErrFenced, m.cfg.Instance, m.room.name)
	case MetadataTooLarge:
		return fmt.Errorf("%w: group %s takes at most %d bytes of metadata from a member, and as much in an assignment",
			commitlog.ErrTooLarge, m.room.name, m.room.machine.limits.Bytes)
	case GroupFull:
		return fmt.Errorf("group %s has %d members, more than that are not accepted", m.room.name, m.room.machine.limits.Members)
	}
	return fmt.Errorf("group %s: refused with %s", m.room.name, code)
}

// Leave implements commitlog.Member. Whoever is no member any more has left.
func (m *Member) Leave(context.Context) error {
	c := m.coordinator
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.closed:
		return m.failure(NotAvailable)
	case m.id == "" || m.ended != nil:
		return nil
	}
	id := m.id
	m.id = ""
	delete(m.room.present, m)
	code, answers := m.room.machine.Leave(c.cfg.Now(), id, m.cfg.Instance)
	c.settleLocked(m.room, answers)
	if code == FencedInstance {
		m.endLocked(m.failure(code))
	}
	return nil
}

// Close implements commitlog.Member: the session ends when its timeout is over,
// counted from now.
func (m *Member) Close() error {
	c := m.coordinator
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.id != "" && !c.mu.closed {
		m.room.machine.Heartbeat(c.cfg.Now(), m.id, m.cfg.Instance, m.generation)
		defer c.settleLocked(m.room, nil)
	}
	if m.ended == nil {
		m.endLocked(fmt.Errorf("member of group %s: %w", m.room.name, commitlog.ErrClosed))
	}
	return nil
}
