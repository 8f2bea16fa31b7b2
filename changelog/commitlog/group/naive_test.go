package group

import (
	"fmt"
	"slices"
	"strings"
)

// naive is the group protocol once more, by plain rules over a list: time is a
// number, answers are strings. twist breaks one rule, for negative controls.
type naive struct {
	twist  string
	limit  int
	ids    int
	now    int
	phase  State
	gen    int32
	leader string
	until  int
	souls  []*soul
	out    map[Ticket]string
}

type soul struct {
	id, instance, says, work string
	session, slow, heard     int
	join, sync               Ticket
	named, owes              bool
}

func (n *naive) newID() string {
	n.ids++
	return fmt.Sprintf("m%04d", n.ids)
}

func (n *naive) by(match func(*soul) bool) *soul {
	if i := slices.IndexFunc(n.souls, match); i >= 0 {
		return n.souls[i]
	}
	return nil
}

func (n *naive) holder(instance string) *soul {
	return n.by(func(s *soul) bool { return instance != "" && s.instance == instance })
}

func (n *naive) find(id, instance string) (*soul, Code) {
	if h := n.holder(instance); h != nil && h.id != id && n.twist != "no fence" {
		return nil, FencedInstance
	}
	s := n.by(func(s *soul) bool { return s.id == id })
	if s == nil || instance != "" && instance != s.instance {
		return nil, UnknownMember
	}
	return s, OK
}

func refusal(code Code) string { return code.String() }

// tell answers what waits with a code.
func (n *naive) tell(s *soul, code Code) {
	for _, t := range []Ticket{s.join, s.sync} {
		if t != 0 {
			n.out[t] = refusal(code)
		}
	}
	s.join, s.sync, s.heard = 0, 0, n.now
}

// place is the answer to a join.
func (n *naive) place(t Ticket, s *soul) {
	s.named, s.heard = true, n.now
	list := ""
	if s.id == n.leader {
		sorted := slices.SortedFunc(slices.Values(n.souls), func(a, b *soul) int { return strings.Compare(a.id, b.id) })
		for _, o := range sorted {
			list += fmt.Sprintf(" %s/%s/%s", o.id, o.instance, o.says)
		}
		list += fmt.Sprint(" stands:", n.phase == Stable)
	}
	n.out[t] = fmt.Sprintf("joined %s %d leader %s%s", s.id, n.gen, n.leader, list)
}

func (n *naive) joins(t Ticket, id, instance, says string, session, slow int) {
	var s *soul
	rebalance := true
	old := n.holder(instance)
	switch {
	case id != "":
		var code Code
		if s, code = n.find(id, instance); code != OK {
			n.out[t] = refusal(code)
			return
		}
		same := s.says == says
		lead := s.id == n.leader && n.twist != "leader joins quietly"
		rebalance = !(same && (n.phase == CompletingRebalance || n.phase == Stable && !lead))
		n.tell(s, RebalanceInProgress)
	case old != nil:
		n.tell(old, FencedInstance)
		if n.leader == old.id {
			n.leader = "" // set below
		}
		old.id = n.newID()
		if n.leader == "" {
			n.leader = old.id
		}
		s, rebalance = old, n.phase != Stable || n.twist == "static restart rebalances" && says != old.says
	case len(n.souls) >= n.limit:
		n.out[t] = refusal(GroupFull)
		return
	default:
		s = &soul{id: n.newID(), instance: instance}
		n.souls = append(n.souls, s)
	}
	s.says, s.session, s.slow, s.heard = says, session, slow, n.now
	if !rebalance {
		s.owes = s.owes || n.phase == CompletingRebalance
		n.place(t, s)
		return
	}
	s.join = t
	n.gather()
}

func (n *naive) gather() {
	if n.phase != PreparingRebalance {
		n.phase, n.until = PreparingRebalance, n.now+n.slowest()
		for _, s := range n.souls {
			s.owes = false
			if s.sync != 0 {
				n.tell(s, RebalanceInProgress)
			}
		}
	}
	if !slices.ContainsFunc(n.souls, func(s *soul) bool { return s.join == 0 }) {
		n.form()
	}
}

func (n *naive) slowest() (d int) {
	for _, s := range n.souls {
		d = max(d, s.slow)
	}
	return d
}

func (n *naive) form() {
	n.gen++
	if len(n.souls) == 0 {
		n.phase, n.leader = Empty, ""
		return
	}
	var here []string
	for _, s := range n.souls {
		if s.join != 0 {
			here = append(here, s.id)
		}
	}
	if !slices.Contains(here, n.leader) {
		n.leader = slices.Min(here)
	}
	n.phase, n.until = CompletingRebalance, n.now+n.slowest()
	for _, s := range n.souls {
		s.work = ""
		if t := s.join; t != 0 {
			s.join, s.owes = 0, true
			n.place(t, s)
		}
	}
}

func (n *naive) stands(id, instance string, gen int32) (*soul, Code) {
	s, code := n.find(id, instance)
	switch {
	case code != OK:
	case gen != n.gen:
		code = IllegalGeneration
	case n.phase == PreparingRebalance:
		code = RebalanceInProgress
	}
	return s, code
}

func (n *naive) syncs(t Ticket, id, instance string, gen int32, work map[string][]byte) {
	s, code := n.stands(id, instance, gen)
	if code != OK {
		n.out[t] = refusal(code)
		return
	}
	n.tell(s, RebalanceInProgress)
	s.sync, s.owes = t, false
	if n.phase == CompletingRebalance && s.id == n.leader {
		n.phase = Stable
		for _, o := range n.souls {
			o.work = string(work[o.id])
		}
	}
	for _, o := range n.souls {
		if n.phase == Stable && o.sync != 0 {
			n.out[o.sync] = fmt.Sprintf("synced %s %d %q", o.id, n.gen, o.work)
			o.sync, o.heard = 0, n.now
		}
	}
}

func (n *naive) beats(id, instance string, gen int32) Code {
	s, code := n.stands(id, instance, gen)
	if code == OK || code == RebalanceInProgress {
		s.heard = n.now
	}
	return code
}

func (n *naive) leaves(id, instance string) Code {
	if h := n.holder(instance); h != nil && id == "" {
		id = h.id
	}
	s, code := n.find(id, instance)
	if code != OK {
		return code
	}
	n.tell(s, UnknownMember)
	n.lose(func(o *soul) bool { return o == s })
	return OK
}

func (n *naive) abandons(t Ticket) {
	s := n.by(func(s *soul) bool { return s.join == t || s.sync == t })
	if s == nil {
		return
	}
	s.owes = s.owes || s.sync == t
	s.join, s.sync, s.heard = 0, 0, n.now
	if !s.named {
		n.lose(func(o *soul) bool { return o == s })
	}
}

// lose removes souls, and the others begin anew.
func (n *naive) lose(which func(*soul) bool) {
	before := len(n.souls)
	n.souls = slices.DeleteFunc(n.souls, which)
	if len(n.souls) < before && n.phase != Empty {
		n.gather()
	}
}

func (n *naive) passes(to int) {
	n.now = to
	n.lose(func(s *soul) bool {
		return s.join == 0 && s.sync == 0 && n.now >= s.heard+s.session && n.twist != "no sessions"
	})
	if n.now < n.until {
		return
	}
	switch n.phase {
	case PreparingRebalance:
		n.souls = slices.DeleteFunc(n.souls, func(s *soul) bool { return s.join == 0 && s.instance == "" })
		if len(n.souls) > 0 && !slices.ContainsFunc(n.souls, func(s *soul) bool { return s.join != 0 }) {
			n.until = n.now + n.slowest()
			return
		}
		n.form()
	case CompletingRebalance, Stable:
		n.lose(func(s *soul) bool { return s.owes })
	}
}
