package commitlog

import (
	"context"
	"time"
)

// GroupConfig says how to take part in a group. Zero durations mean the default.
type GroupConfig struct {
	// Group is the name, shared by all members and by the group's offsets.
	Group string
	// Instance is a static id: a member that comes back with it within the session
	// timeout gets its old place, without a rebalance. Empty: a dynamic member.
	Instance string
	// SessionTimeout is how long the group waits for a silent member before it
	// gives its tasks away. Default 30 s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for its members to join a new
	// generation. Default 60 s.
	RebalanceTimeout time.Duration
}

// Defaults of GroupConfig.
const (
	DefaultSessionTimeout   = 30 * time.Second
	DefaultRebalanceTimeout = time.Minute
)

// WithDefaults fills in the defaults.
func (c GroupConfig) WithDefaults() GroupConfig {
	if c.SessionTimeout == 0 {
		c.SessionTimeout = DefaultSessionTimeout
	}
	if c.RebalanceTimeout == 0 {
		c.RebalanceTimeout = DefaultRebalanceTimeout
	}
	return c
}

// Membership is what a commit of group offsets shows to prove that its sender is
// a member of the current generation. The zero value proves nothing: it is for
// groups without members, such as the positions of a producer.
type Membership struct {
	Member     string // given by the group's coordinator
	Instance   string
	Generation int32
}

// MemberInfo is a member as the leader of a generation sees it.
type MemberInfo struct {
	ID       string
	Instance string
	Metadata []byte
}

// Generation is one agreed state of a group, as one member sees it.
type Generation struct {
	Membership
	Leader     bool
	Assignment []byte // what the leader's plan gave to this member
}

// PlanFunc assigns: it is called in the leader with all members of the new
// generation and returns the assignment of each, by member id. It must be quick,
// and an error ends the leader's Join.
type PlanFunc func(members []MemberInfo) (map[string][]byte, error)

// Member is one participant of a group. Between joins it sends heartbeats by
// itself. A member goes on with its tasks while it joins: what it has to give up
// it learns from the assignment, gives it up, and joins again with metadata that
// say so; only then may the leader give it to another (cooperative rebalancing).
//
// Join, Leave and Close belong to one goroutine.
type Member interface {
	// Join takes part in the next generation and blocks until it is agreed. It
	// also answers at once, with the generation that stands, if nothing is new: a
	// follower's unchanged metadata, a static member that comes back. The metadata
	// are opaque to the group; to make the group act on a change, the bytes must
	// differ from those of the last Join.
	//
	// ErrNotMember: the group has removed this member, whose tasks may have new
	// owners. Drop them without a commit; the next Join enters as a new member.
	// ErrFenced: another process has joined with the same Instance. Stop.
	Join(ctx context.Context, metadata []byte, plan PlanFunc) (Generation, error)
	// Changed receives when Join has to be called: the group is forming a new
	// generation, or no longer knows this member. The channel has room for one
	// signal and is never closed.
	Changed() <-chan struct{}
	// Leave ends the membership at once, that of a static member too, so that the
	// others do not wait for the session timeout.
	Leave(ctx context.Context) error
	// Close stops the heartbeats without leaving, as a crash would. After Leave it
	// does nothing.
	Close() error
}
