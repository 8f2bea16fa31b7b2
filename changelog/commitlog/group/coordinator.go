package group

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Config configures a Coordinator; the zero value is useful.
type Config struct {
	Limits Limits
	// Now is the clock and AfterFunc calls f once when d of it is over, unless
	// stop is called before. They belong together; nil means those of package time.
	Now       func() time.Time
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	// NewID makes member ids, which must never repeat; nil means the instance id
	// or "member", and 128 random bits.
	NewID func(instance string) string
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.AfterFunc == nil {
		c.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if c.NewID == nil {
		c.NewID = func(instance string) string {
			if instance == "" {
				instance = "member"
			}
			return instance + "-" + rand.Text()
		}
	}
	return c
}

// Coordinator keeps the groups of one log. Its methods may be called from any
// goroutine; it calls nothing of its callers under its lock.
//
// A member in this process needs no heartbeats to show that it lives: whenever a
// session is about to end, the coordinator renews those of all members that have
// not been closed. So an idle group costs one timer.
type Coordinator struct {
	cfg Config
	mu  struct {
		sync.Mutex
		groups  map[string]*room
		tickets Ticket
		closed  bool
	}
}

// room is a group with its callers. It is guarded by the coordinator's lock and
// stays when it is empty, so that its generations go on growing.
type room struct {
	name    string
	machine *Machine
	waiting map[Ticket]call
	present map[*Member]struct{} // have joined and are not closed
	stop    func() bool          // of the timer, nil without
}

// call is a request that waits for its answer.
type call struct {
	member *Member
	answer chan Answer // has room for it
}

// New returns a coordinator without groups.
func New(cfg Config) *Coordinator {
	c := &Coordinator{cfg: cfg.withDefaults()}
	c.mu.groups = map[string]*room{}
	return c
}

// Check says whether a commit may carry offsets of a group as this member: nil
// for a member of the present generation, also while the next one forms, and for
// the zero Membership. An old generation is ErrStaleGeneration. Whoever was
// removed, replaced, or never was a member gets ErrNotMember: in either case its
// tasks may have new owners.
func (c *Coordinator) Check(group string, as commitlog.Membership) error {
	if as == (commitlog.Membership{}) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	code := UnknownMember
	var now int32
	if r := c.mu.groups[group]; r != nil {
		code, now = r.machine.Check(as.Member, as.Instance, as.Generation), r.machine.Generation()
	}
	switch {
	case c.mu.closed:
		return fmt.Errorf("group %s: %w", group, commitlog.ErrClosed)
	case code == OK:
		return nil
	case code == IllegalGeneration:
		return fmt.Errorf("group %s, member %s: %w: the commit shows generation %d, the group is in %d; join, then give the offsets again",
			group, as.Member, commitlog.ErrStaleGeneration, as.Generation, now)
	}
	return fmt.Errorf("group %s, member %q of generation %d: %w (%s); drop its tasks and join anew",
		group, as.Member, as.Generation, commitlog.ErrNotMember, code)
}

// OpenMember prepares to take part in a group.
func (c *Coordinator) OpenMember(cfg commitlog.GroupConfig) (*Member, error) {
	cfg = cfg.WithDefaults()
	switch {
	case cfg.Group == "":
		return nil, errors.New("open member: the group has no name; set GroupConfig.Group")
	case cfg.SessionTimeout < 0 || cfg.RebalanceTimeout < 0:
		return nil, fmt.Errorf("open member of group %s: session timeout %v and rebalance timeout %v must not be negative",
			cfg.Group, cfg.SessionTimeout, cfg.RebalanceTimeout)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, fmt.Errorf("open member of group %s: %w", cfg.Group, commitlog.ErrClosed)
	}
	r := c.mu.groups[cfg.Group]
	if r == nil {
		r = &room{name: cfg.Group, machine: NewMachine(c.cfg.Limits, c.cfg.NewID),
			waiting: map[Ticket]call{}, present: map[*Member]struct{}{}}
		c.mu.groups[cfg.Group] = r
	}
	return &Member{coordinator: c, room: r, cfg: cfg, changed: make(chan struct{}, 1)}, nil
}

// Close ends all members: their calls fail with ErrClosed.
func (c *Coordinator) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	c.mu.closed = true
	for _, r := range c.mu.groups {
		for ticket, call := range r.waiting {
			delete(r.waiting, ticket)
			call.answer <- Answer{Ticket: ticket, Code: NotAvailable}
		}
		for m := range r.present {
			m.signal()
		}
		if r.stop != nil {
			r.stop()
		}
	}
}

// ask gives a request to the group and returns where its answer will arrive.
func (c *Coordinator) ask(m *Member, request func(g *Machine, now time.Time, t Ticket) []Answer) (Ticket, <-chan Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.tickets++
	ticket, answer := c.mu.tickets, make(chan Answer, 1)
	if c.mu.closed {
		answer <- Answer{Ticket: ticket, Code: NotAvailable}
		return ticket, answer
	}
	m.room.waiting[ticket] = call{member: m, answer: answer}
	c.settleLocked(m.room, request(m.room.machine, c.cfg.Now(), ticket))
	return ticket, answer
}

// abandon takes a request back, if it has not been answered.
func (c *Coordinator) abandon(r *room, ticket Ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waits := r.waiting[ticket]; !waits || c.mu.closed {
		return
	}
	delete(r.waiting, ticket)
	c.settleLocked(r, r.machine.Abandon(c.cfg.Now(), ticket))
}

// tick is called by the timer of a group.
func (c *Coordinator) tick(r *room) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	now := c.cfg.Now()
	for m := range r.present {
		if m.id != "" {
			r.machine.Heartbeat(now, m.id, m.cfg.Instance, m.generation)
		}
	}
	c.settleLocked(r, r.machine.Tick(now))
}

// settleLocked follows every event: it hands out answers, tells members that
// have to join, and sets the timer.
func (c *Coordinator) settleLocked(r *room, answers []Answer) {
	for _, a := range answers {
		call, waits := r.waiting[a.Ticket]
		if !waits {
			continue
		}
		delete(r.waiting, a.Ticket)
		if a.Code == OK {
			call.member.id, call.member.generation = a.Member, a.Generation
		}
		call.answer <- a
	}
	for m := range r.present {
		m.noticeLocked()
	}
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
	if at, ok := r.machine.Next(); ok {
		r.stop = c.cfg.AfterFunc(max(at.Sub(c.cfg.Now()), 0), func() { c.tick(r) })
	}
}
