package group

import (
	"slices"
	"time"
)

// prepare begins the next generation, unless it has begun, and completes it if
// everybody is there.
func (g *Machine) prepare(now time.Time) {
	if g.state != PreparingRebalance {
		g.state = PreparingRebalance
		g.deadline = now.Add(g.patience())
		for _, m := range g.sorted() {
			m.owes = false
			if m.sync != 0 {
				g.answer(Answer{Ticket: m.sync, Code: RebalanceInProgress, Member: m.id})
				m.sync = 0
				m.touch(now)
			}
		}
	}
	for _, m := range g.members {
		if m.join == 0 {
			return
		}
	}
	g.complete(now)
}

// patience is how long the slowest member may take.
func (g *Machine) patience() time.Duration {
	var longest time.Duration
	for _, m := range g.members {
		longest = max(longest, m.rebalance)
	}
	return longest
}

// complete makes the next generation of those who have joined, and of static
// members that are away: they keep their place until their session is over.
func (g *Machine) complete(now time.Time) {
	g.generation++
	if len(g.members) == 0 {
		g.state, g.leader = Empty, ""
		return
	}
	g.state, g.deadline = CompletingRebalance, now.Add(g.patience())
	all := g.sorted()
	if l := g.members[g.leader]; l == nil || l.join == 0 {
		g.leader = all[slices.IndexFunc(all, func(m *member) bool { return m.join != 0 })].id
	}
	for _, m := range all {
		m.assignment = nil
		if ticket := m.join; ticket != 0 {
			m.join, m.owes = 0, true
			g.standing(now, m, ticket)
		}
	}
}

// Sync handles a request for the assignment.
func (g *Machine) Sync(now time.Time, r SyncRequest) []Answer {
	if code := g.sync(now, r); code != OK {
		g.answer(Answer{Ticket: r.Ticket, Code: code, Member: r.Member})
	}
	return g.released()
}

func (g *Machine) sync(now time.Time, r SyncRequest) Code {
	if code := g.Standing(r.Member, r.Instance, r.Generation); code != OK {
		return code
	}
	planning := g.state == CompletingRebalance && r.Member == g.leader
	for _, assignment := range r.Assignments {
		if planning && len(assignment) > g.limits.Bytes {
			return MetadataTooLarge
		}
	}
	m := g.members[r.Member]
	g.supersede(now, m, RebalanceInProgress)
	m.sync, m.owes = r.Ticket, false
	if planning {
		g.state = Stable
		for id, assignment := range r.Assignments {
			if to := g.members[id]; to != nil {
				to.assignment = slices.Clone(assignment)
			}
		}
	}
	if g.state == Stable {
		g.assign(now)
	}
	return OK
}

// assign answers whoever waits for an assignment.
func (g *Machine) assign(now time.Time) {
	for _, m := range g.sorted() {
		if m.sync != 0 {
			g.answer(Answer{Ticket: m.sync, Member: m.id, Generation: g.generation, Leader: g.leader, Assignment: m.assignment})
			m.sync = 0
			m.touch(now)
		}
	}
}

// Leave removes a member at once. A static one may be named by its instance
// alone.
func (g *Machine) Leave(now time.Time, id, instance string) (Code, []Answer) {
	if holder, static := g.static[instance]; static && id == "" {
		id = holder
	}
	m, code := g.known(id, instance)
	if code != OK {
		return code, nil
	}
	g.supersede(now, m, UnknownMember)
	g.remove(m)
	g.changed(now)
	return OK, g.released()
}

func (g *Machine) remove(m *member) {
	delete(g.members, m.id)
	if g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
}

// changed follows a removal: the others make a generation without the member.
func (g *Machine) changed(now time.Time) {
	if g.state != Empty {
		g.prepare(now)
	}
}

// Tick lets time pass: silent members go, and so do those whom the others have
// waited for long enough.
func (g *Machine) Tick(now time.Time) []Answer {
	removed := false
	for _, m := range g.sorted() {
		if !m.waits() && !now.Before(m.expires) {
			g.remove(m)
			removed = true
		}
	}
	if removed {
		g.changed(now)
	}
	if !g.deadlineCounts() || now.Before(g.deadline) {
		return g.released()
	}
	if g.state == PreparingRebalance {
		g.closeDoors(now)
		return g.released()
	}
	for _, m := range g.sorted() {
		if m.owes {
			g.remove(m)
		}
	}
	g.prepare(now)
	return g.released()
}

// closeDoors ends the wait for members that have not joined. Static ones keep
// their place, but a generation needs at least one who is there.
func (g *Machine) closeDoors(now time.Time) {
	joined := 0
	for _, m := range g.sorted() {
		switch {
		case m.join != 0:
			joined++
		case m.instance == "":
			g.remove(m)
		}
	}
	if joined == 0 && len(g.members) > 0 {
		g.deadline = now.Add(g.patience())
		return
	}
	g.complete(now)
}

func (g *Machine) deadlineCounts() bool {
	switch g.state {
	case Empty:
		return false
	case PreparingRebalance:
		return true
	}
	for _, m := range g.members {
		if m.owes {
			return true
		}
	}
	return false
}

// Next is when Tick has something to do, if nothing happens before.
func (g *Machine) Next() (at time.Time, ok bool) {
	sooner := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if g.deadlineCounts() {
		sooner(g.deadline)
	}
	for _, m := range g.members {
		if !m.waits() {
			sooner(m.expires)
		}
	}
	return at, ok
}
