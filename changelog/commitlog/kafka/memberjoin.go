package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// Versions of the group requests: the newest of the classic protocol that this
// driver has a use for.
const (
	joinVersion  = 9 // says whether a returning static leader is to plan
	syncVersion  = 5
	beatVersion  = 4
	leaveVersion = 5
)

// errAgain: the generation fell apart while it was being formed.
var errAgain = errors.New("the group formed another generation meanwhile")

// Join implements commitlog.Member.
func (m *Member) Join(ctx context.Context, metadata []byte, plan commitlog.PlanFunc) (commitlog.Generation, error) {
	if err := m.beginJoin(); err != nil {
		return commitlog.Generation{}, err
	}
	wrapped := wrapMetadata(metadata)
	backoff := m.log.client.Backoff("join group " + m.cfg.Group)
	for {
		g, err := m.joinOnce(ctx, wrapped, plan)
		switch code, _ := codeOf(err); {
		case err == nil:
			return g, nil
		case code == wire.FencedInstanceID:
			return commitlog.Generation{}, m.fencedError(err)
		case code == wire.UnknownMember:
			if m.wasRemoved() {
				return commitlog.Generation{}, m.notMember(err)
			}
			err = wire.CoordinatorLoading // an id that was never used, taken back: enter anew
		case errors.Is(err, errAgain):
			continue // waiting happens in JoinGroup
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return commitlog.Generation{}, fmt.Errorf("join group %s: %w", m.cfg.Group, err)
		}
	}
}

// beginJoin stops the heartbeats' verdicts: what they hear of the old generation
// from now on is no news.
func (m *Member) beginJoin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.mu.closed || m.log.closed():
		return fmt.Errorf("join group %s: %w", m.cfg.Group, commitlog.ErrClosed)
	case m.mu.fenced:
		return fmt.Errorf("join group %s: %w: another process has joined as instance %q", m.cfg.Group, commitlog.ErrFenced, m.cfg.Instance)
	case m.mu.lost:
		m.mu.lost = false
		return fmt.Errorf("join group %s: %w: it has removed this member", m.cfg.Group, commitlog.ErrNotMember)
	}
	m.mu.settled = false
	select {
	case <-m.changed: // it asked for this call
	default:
	}
	return nil
}

func (m *Member) fencedError(cause error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.fenced, m.mu.settled = true, false
	return fmt.Errorf("join group %s: %w: another process has joined as instance %q: %w", m.cfg.Group, commitlog.ErrFenced, m.cfg.Instance, cause)
}

// wasRemoved forgets the member's id and reports whether it had a place to lose.
func (m *Member) wasRemoved() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removedLocked()
	lost := m.mu.lost
	m.mu.lost = false
	return lost
}

func (m *Member) notMember(cause error) error {
	return fmt.Errorf("join group %s: %w: %w", m.cfg.Group, commitlog.ErrNotMember, cause)
}

// joinOnce goes once through JoinGroup, plan and SyncGroup.
func (m *Member) joinOnce(ctx context.Context, metadata []byte, plan commitlog.PlanFunc) (commitlog.Generation, error) {
	joined, err := m.joinGroup(ctx, metadata)
	if err != nil {
		return commitlog.Generation{}, err
	}
	leader := joined.LeaderID == joined.MemberID
	var assignments []kmsg.SyncGroupRequestGroupAssignment
	if leader && !joined.SkipAssignment {
		if assignments, err = m.plan(joined, plan); err != nil {
			return commitlog.Generation{}, err
		}
	}
	raw, err := m.syncGroup(ctx, joined, assignments)
	if err != nil {
		return commitlog.Generation{}, err
	}
	assignment, err := unwrapAssignment(raw)
	if err != nil {
		return commitlog.Generation{}, fmt.Errorf("group %s, generation %d: %w", m.cfg.Group, joined.Generation, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.generation, m.mu.settled = joined.Generation, true
	return commitlog.Generation{
		Membership: commitlog.Membership{Member: joined.MemberID, Instance: m.cfg.Instance, Generation: joined.Generation},
		Leader:     leader, Assignment: assignment,
	}, nil
}

// joinGroup returns when the group has agreed on its members. A dynamic member
// is first given an id, so that a lost answer leaves no ghost in the group.
func (m *Member) joinGroup(ctx context.Context, metadata []byte) (*kmsg.JoinGroupResponse, error) {
	var joined *kmsg.JoinGroupResponse
	err := m.atCoordinator(ctx, "join group "+m.cfg.Group, func(node wire.Node) error {
		for {
			resp, err := m.log.client.CallAt(ctx, node, joinVersion, m.joinRequest(metadata))
			if err != nil {
				return err
			}
			joined = resp.(*kmsg.JoinGroupResponse)
			code := wire.Code(joined.ErrorCode)
			if code == 0 || code == wire.MemberIDRequired {
				m.mu.Lock()
				m.mu.id = joined.MemberID
				m.mu.Unlock()
			}
			if code != wire.MemberIDRequired {
				return m.groupError(joined.ErrorCode, "join")
			}
		}
	})
	return joined, err
}

func (m *Member) joinRequest(metadata []byte) *kmsg.JoinGroupRequest {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.ProtocolType = m.cfg.Group, m.mu.id, m.instance(), protocolType
	req.SessionTimeoutMillis = int32(m.cfg.SessionTimeout.Milliseconds())
	req.RebalanceTimeoutMillis = int32(m.cfg.RebalanceTimeout.Milliseconds())
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = protocolName, metadata
	req.Protocols = append(req.Protocols, protocol)
	return req
}

// plan runs the caller's plan over the members of the new generation.
func (m *Member) plan(joined *kmsg.JoinGroupResponse, plan commitlog.PlanFunc) ([]kmsg.SyncGroupRequestGroupAssignment, error) {
	members := make([]commitlog.MemberInfo, len(joined.Members))
	for i, j := range joined.Members {
		metadata, err := unwrapMetadata(j.ProtocolMetadata)
		if err != nil {
			return nil, fmt.Errorf("group %s, member %s: %w", m.cfg.Group, j.MemberID, err)
		}
		members[i] = commitlog.MemberInfo{ID: j.MemberID, Metadata: metadata}
		if j.InstanceID != nil {
			members[i].Instance = *j.InstanceID
		}
	}
	planned, err := plan(members)
	if err != nil {
		return nil, fmt.Errorf("plan generation %d of group %s: %w", joined.Generation, m.cfg.Group, err)
	}
	var assignments []kmsg.SyncGroupRequestGroupAssignment
	for _, member := range members {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = member.ID, wrapAssignment(planned[member.ID])
		assignments = append(assignments, a)
	}
	return assignments, nil
}

// syncGroup waits for the leader's plan, or hands it in.
func (m *Member) syncGroup(ctx context.Context, joined *kmsg.JoinGroupResponse, assignments []kmsg.SyncGroupRequestGroupAssignment) ([]byte, error) {
	var assignment []byte
	err := m.atCoordinator(ctx, "sync with group "+m.cfg.Group, func(node wire.Node) error {
		req := kmsg.NewPtrSyncGroupRequest()
		req.Group, req.Generation, req.MemberID, req.InstanceID = m.cfg.Group, joined.Generation, joined.MemberID, m.instance()
		req.ProtocolType, req.Protocol, req.GroupAssignment = joined.ProtocolType, joined.Protocol, assignments
		resp, err := m.log.client.CallAt(ctx, node, syncVersion, req)
		if err != nil {
			return err
		}
		synced := resp.(*kmsg.SyncGroupResponse)
		switch wire.Code(synced.ErrorCode) {
		case wire.RebalanceInProgress, wire.IllegalGeneration:
			return errAgain
		}
		assignment = synced.MemberAssignment
		return m.groupError(synced.ErrorCode, "sync with")
	})
	return assignment, err
}

func (m *Member) leaveOnce(ctx context.Context, node wire.Node, id string) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = m.cfg.Group
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID, member.InstanceID = id, m.instance()
	req.Members = append(req.Members, member)
	resp, err := m.log.client.CallAt(ctx, node, leaveVersion, req)
	if err != nil {
		return err
	}
	left := resp.(*kmsg.LeaveGroupResponse)
	if err := m.groupError(left.ErrorCode, "leave"); err != nil {
		return err
	}
	for _, l := range left.Members {
		if err := m.groupError(l.ErrorCode, "leave"); err != nil {
			return err
		}
	}
	return nil
}
