package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// beat sends heartbeats while a generation stands. It goes on after any failure:
// what matters is whether one arrives within the session timeout.
func (m *Member) beat() {
	ticker := time.NewTicker(min(m.cfg.SessionTimeout/10+time.Millisecond, maxBeat))
	defer ticker.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
			m.beatOnce()
		}
	}
}

func (m *Member) beatOnce() {
	m.mu.Lock()
	id, generation, settled := m.mu.id, m.mu.generation, m.mu.settled
	m.mu.Unlock()
	if !settled {
		return // a pending JoinGroup or SyncGroup keeps the place as well
	}
	// A heartbeat without an answer must not stand in the way of the next ones.
	ctx, cancel := context.WithTimeout(m.ctx, max(m.cfg.SessionTimeout/3, time.Second))
	defer cancel()
	code, err := m.heartbeat(ctx, id, generation)
	if err != nil && coordinatorMoved(err) {
		m.log.client.ForgetCoordinator(wire.GroupCoordinator, m.cfg.Group)
	}
	if err == nil {
		m.heard(generation, code)
	}
}

// heartbeat returns the coordinator's verdict on the membership; 0 is sound.
func (m *Member) heartbeat(ctx context.Context, id string, generation int32) (wire.Code, error) {
	node, err := m.log.client.Coordinator(ctx, wire.GroupCoordinator, m.cfg.Group)
	if err != nil {
		return 0, err
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.cfg.Group, generation, id, m.instance()
	resp, err := m.log.client.CallAt(ctx, node, beatVersion, req)
	if err != nil {
		return 0, err
	}
	code := wire.Code(resp.(*kmsg.HeartbeatResponse).ErrorCode)
	if code.Retriable() {
		return 0, code
	}
	return code, nil
}

// heard acts on a verdict about a generation, unless it has been left meanwhile.
func (m *Member) heard(generation int32, code wire.Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.settled || m.mu.generation != generation {
		return
	}
	switch code {
	case 0:
		return
	case wire.UnknownMember:
		m.removedLocked()
	case wire.FencedInstanceID:
		m.mu.fenced, m.mu.settled = true, false
	}
	// The others are a rebalance, or something that Join will name.
	m.signal()
}
