package group

import (
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Limits bound what a group holds in memory. Zero means the default.
type Limits struct {
	Members int // default 1000
	Bytes   int // of one member's metadata, and of one assignment; default 1 MiB
}

// WithDefaults fills in the defaults.
func (l Limits) WithDefaults() Limits {
	if l.Members == 0 {
		l.Members = 1000
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	return l
}

// Ticket names a request that may have to wait, so that its answer finds it.
// Tickets are the caller's, not zero, and not used twice.
type Ticket uint64

// JoinRequest asks to take part in the next generation. Member is empty for a
// new member and for a static one that has lost its id in a restart.
type JoinRequest struct {
	Ticket   Ticket
	Member   string
	Instance string
	Metadata []byte
	// Session is how long the member may be silent, Rebalance how long the group
	// waits for it to join.
	Session, Rebalance time.Duration
}

// SyncRequest asks for the assignment; the leader's brings the assignments of all.
type SyncRequest struct {
	Ticket      Ticket
	Member      string
	Instance    string
	Generation  int32
	Assignments map[string][]byte
}

// Answer ends the request with its ticket. Which fields count besides Code
// depends on the request.
type Answer struct {
	Ticket Ticket
	Code   Code

	// Of a Join.
	Member     string
	Generation int32
	Leader     string
	Members    []commitlog.MemberInfo // by id; for the leader only
	// SkipAssignment tells a leader that came back that the plan stands: its Sync
	// brings no assignments.
	SkipAssignment bool

	// Of a Sync.
	Assignment []byte
}

// Machine is one group. It is not safe for concurrent use. Metadata and
// assignments are copied on their way in; those in answers must not be changed.
type Machine struct {
	limits Limits
	newID  func(instance string) string

	state      State
	generation int32
	leader     string
	members    map[string]*member
	static     map[string]string // instance -> member id
	// deadline is until when all must have joined (Preparing), or must have asked
	// for their assignment (Completing, and Stable while somebody owes it).
	deadline time.Time

	out []Answer
}

// member is one participant.
type member struct {
	id, instance         string
	metadata, assignment []byte
	session, rebalance   time.Duration

	expires time.Time // does not count while a request waits
	join    Ticket    // the waiting Join, 0 without
	sync    Ticket    // the waiting Sync, 0 without
	fresh   bool      // nobody has been told its id yet
	owes    bool      // has joined this generation but not asked for its assignment
}

func (m *member) waits() bool { return m.join != 0 || m.sync != 0 }

func (m *member) touch(now time.Time) { m.expires = now.Add(m.session) }

// NewMachine returns an empty group. newID makes ids of members, which must
// never repeat.
func NewMachine(limits Limits, newID func(instance string) string) *Machine {
	return &Machine{limits: limits.WithDefaults(), newID: newID, members: map[string]*member{}, static: map[string]string{}}
}

// State is where the group stands.
func (g *Machine) State() State { return g.state }

// Generation is the number of the newest generation, 0 before the first.
func (g *Machine) Generation() int32 { return g.generation }

// Leader is the member that plans the newest generation, "" if it has none.
func (g *Machine) Leader() string { return g.leader }

// answer queues an answer for this event.
func (g *Machine) answer(a Answer) { g.out = append(g.out, a) }

// released returns the answers of the event and forgets them.
func (g *Machine) released() []Answer {
	out := g.out
	g.out = nil
	return out
}

// sorted returns the members by id, so that equal events have equal effects.
func (g *Machine) sorted() []*member {
	all := make([]*member, 0, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		all = append(all, g.members[id])
	}
	return all
}

// known finds the member that a request comes from. The instance is looked at
// first: a replaced static member is fenced, not merely unknown.
func (g *Machine) known(id, instance string) (*member, Code) {
	if instance != "" {
		if holder, known := g.static[instance]; known && holder != id {
			return nil, FencedInstance
		}
	}
	m := g.members[id]
	if m == nil || instance != "" && m.instance != instance {
		return nil, UnknownMember
	}
	return m, OK
}

// Check says whether a commit of this member and generation may go through:
// while the next generation forms, that of the present one still may, so that
// members can flush before they join.
func (g *Machine) Check(id, instance string, generation int32) Code {
	_, code := g.known(id, instance)
	if code == OK && generation != g.generation {
		code = IllegalGeneration
	}
	return code
}

// Standing is what a heartbeat would be answered.
func (g *Machine) Standing(id, instance string, generation int32) Code {
	code := g.Check(id, instance, generation)
	if code == OK && g.state == PreparingRebalance {
		code = RebalanceInProgress
	}
	return code
}

// Heartbeat says that a member lives.
func (g *Machine) Heartbeat(now time.Time, id, instance string, generation int32) Code {
	code := g.Standing(id, instance, generation)
	if code == OK || code == RebalanceInProgress {
		g.members[id].touch(now)
	}
	return code
}
