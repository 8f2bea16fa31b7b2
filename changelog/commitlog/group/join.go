package group

import (
	"bytes"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Join handles a request to take part. Its answer may come with a later event.
func (g *Machine) Join(now time.Time, r JoinRequest) []Answer {
	if code := g.join(now, r); code != OK {
		g.answer(Answer{Ticket: r.Ticket, Code: code, Member: r.Member})
	}
	return g.released()
}

func (g *Machine) join(now time.Time, r JoinRequest) Code {
	switch {
	case len(r.Metadata) > g.limits.Bytes:
		return MetadataTooLarge
	case r.Session <= 0 || r.Rebalance <= 0:
		return InvalidSessionTimeout
	}
	holder, static := g.static[r.Instance]
	switch {
	case r.Member != "":
		m, code := g.known(r.Member, r.Instance)
		if code == OK {
			g.rejoin(now, m, r)
		}
		return code
	case static:
		g.replace(now, g.members[holder], r)
	case len(g.members) >= g.limits.Members:
		return GroupFull
	default:
		g.enter(now, r)
	}
	return OK
}

// enter takes in a new member.
func (g *Machine) enter(now time.Time, r JoinRequest) {
	m := &member{id: g.newID(r.Instance), instance: r.Instance, fresh: true}
	g.members[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	g.await(now, m, r)
	g.prepare(now)
}

// rejoin handles a member that is known by its id. What it is told at once may
// be the answer that got lost on its way the first time.
func (g *Machine) rejoin(now time.Time, m *member, r JoinRequest) {
	unchanged := bytes.Equal(m.metadata, r.Metadata)
	follower := m.id != g.leader
	if unchanged && (g.state == Stable && follower || g.state == CompletingRebalance) {
		g.supersede(now, m, RebalanceInProgress)
		m.take(r)
		m.owes = m.owes || g.state == CompletingRebalance
		g.standing(now, m, r.Ticket)
		return
	}
	g.await(now, m, r)
	g.prepare(now)
}

// replace gives the place of a static member to the process that came back with
// its instance id; whoever still acts under the old member id is fenced. In a
// stable group that is no reason for a rebalance, even if the metadata differ:
// the leader sees the new ones with the next generation.
func (g *Machine) replace(now time.Time, old *member, r JoinRequest) {
	g.supersede(now, old, FencedInstance)
	m := *old
	m.id = g.newID(r.Instance)
	delete(g.members, old.id)
	g.members[m.id], g.static[m.instance] = &m, m.id
	if g.leader == old.id {
		g.leader = m.id
	}
	if g.state == Stable {
		m.take(r)
		g.standing(now, &m, r.Ticket)
		return
	}
	g.await(now, &m, r)
	g.prepare(now)
}

func (m *member) take(r JoinRequest) {
	m.metadata, m.session, m.rebalance = slices.Clone(r.Metadata), r.Session, r.Rebalance
}

// await lets the Join wait for the next generation.
func (g *Machine) await(now time.Time, m *member, r JoinRequest) {
	g.supersede(now, m, RebalanceInProgress)
	m.take(r)
	m.join = r.Ticket
}

// supersede ends what an earlier request of the member waits for.
func (g *Machine) supersede(now time.Time, m *member, code Code) {
	for _, ticket := range []Ticket{m.join, m.sync} {
		if ticket != 0 {
			g.answer(Answer{Ticket: ticket, Code: code, Member: m.id})
		}
	}
	m.join, m.sync = 0, 0
	m.touch(now)
}

// standing answers a Join with the generation as it is.
func (g *Machine) standing(now time.Time, m *member, ticket Ticket) {
	m.fresh = false
	m.touch(now)
	a := Answer{Ticket: ticket, Member: m.id, Generation: g.generation, Leader: g.leader}
	if m.id == g.leader {
		a.Members, a.SkipAssignment = g.infos(), g.state == Stable
	}
	g.answer(a)
}

// infos describes all members, for the leader.
func (g *Machine) infos() []commitlog.MemberInfo {
	infos := make([]commitlog.MemberInfo, 0, len(g.members))
	for _, m := range g.sorted() {
		infos = append(infos, commitlog.MemberInfo{ID: m.id, Instance: m.instance, Metadata: m.metadata})
	}
	return infos
}

// Abandon takes back a waiting request whose sender will not hear the answer. A
// member that nobody knows by its id is removed with it; any other has the
// session timeout from now on.
func (g *Machine) Abandon(now time.Time, ticket Ticket) []Answer {
	for _, m := range g.members {
		if m.join != ticket && m.sync != ticket {
			continue
		}
		m.owes = m.owes || m.sync == ticket
		m.join, m.sync = 0, 0
		m.touch(now)
		if m.fresh {
			g.remove(m)
			g.changed(now)
		}
		break
	}
	return g.released()
}
