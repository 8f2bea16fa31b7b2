package assign

import (
	"maps"
	"slices"
)

// contest is a bipartite matching under construction: contested tasks on one side,
// members with a limited number of places on the other. A place is one of the base
// that every member has, or one of the extras, of which a member can take one.
//
// An augmenting path starts at a task without a place, goes to a claimant, from a
// full claimant with one of its contested tasks to another claimant of that, and
// so on, and ends at a free place. The extras are a node of their own: a member at
// its base reaches it, and from it every member that could give an extra back. A
// matching without augmenting path is a maximum, and a task for which there is
// none now will never have one, so that one search for each task is enough.
type contest struct {
	base, extras int // as in table; extras counts those that are left
	owners       []int
	claimants    map[int][]int
	stay         []int   // [member]: places taken
	contested    [][]int // [member]: the contested tasks among them

	queue   []int
	arrived []hop  // [node]: how the search came here; members, then the extras
	reached []bool // [node]: in this search
	dead    []bool // [node]: in a search that failed, and so no way to a free place
}

// hop says from which node a search came, and which task moves along; nobody for
// the start, and for steps by which no task moves.
type hop struct{ from, task int }

// settle gives each contested task to one of its claimants, or to nobody, such
// that a maximum of all tasks can stay where they were.
func settle(owners []int, claimants map[int][]int, members int) {
	c := &contest{
		base: len(owners) / members, extras: len(owners) % members,
		owners: owners, claimants: claimants,
		stay: make([]int, members), contested: make([][]int, members),
		arrived: make([]hop, members+1), reached: make([]bool, members+1), dead: make([]bool, members+1),
	}
	for task, m := range owners {
		if claimants[task] != nil {
			owners[task] = nobody
		} else if m != nobody {
			c.keepOwn(m)
		}
	}
	for _, task := range slices.Sorted(maps.Keys(claimants)) {
		c.place(task)
	}
}

// keepOwn gives a place to a task that can stay with this member only. If there is
// none it stays without: no other task loses by it.
func (c *contest) keepOwn(m int) {
	switch {
	case c.stay[m] < c.base:
		c.stay[m]++
	case c.stay[m] == c.base && c.extras > 0:
		c.stay[m]++
		c.extras--
	}
}

// place searches the shortest augmenting path for a task and follows it.
func (c *contest) place(task int) {
	extras := len(c.stay)
	clear(c.reached)
	c.queue = c.queue[:0]
	c.reachAll(nobody, task)
	for next := 0; next < len(c.queue); next++ {
		node := c.queue[next]
		if node == extras {
			if c.extras > 0 {
				c.extras--
				c.follow(node)
				return
			}
			c.reachGivers(extras)
			continue
		}
		if c.stay[node] < c.base {
			c.follow(node)
			return
		}
		if c.stay[node] == c.base {
			c.reach(extras, hop{node, nobody})
		}
		for _, other := range c.contested[node] {
			c.reachAll(node, other)
		}
	}
	for _, node := range c.queue {
		c.dead[node] = true
	}
}

// reachAll reaches the claimants of a task that leaves a node.
func (c *contest) reachAll(from, task int) {
	for _, m := range c.claimants[task] {
		c.reach(m, hop{from, task})
	}
}

// reachGivers reaches the members that hold an extra.
func (c *contest) reachGivers(extras int) {
	for m, stay := range c.stay {
		if stay > c.base {
			c.reach(m, hop{extras, nobody})
		}
	}
}

func (c *contest) reach(node int, by hop) {
	if !c.reached[node] && !c.dead[node] {
		c.reached[node], c.arrived[node] = true, by
		c.queue = append(c.queue, node)
	}
}

// follow moves tasks along the path that the search took to its end. Members on
// the way get one and give one; places are counted where a task moves, so that the
// extras need no case of their own.
func (c *contest) follow(node int) {
	for {
		by := c.arrived[node]
		if by.task != nobody {
			if by.from != nobody {
				at := c.contested[by.from]
				c.contested[by.from] = slices.DeleteFunc(at, func(t int) bool { return t == by.task })
				c.stay[by.from]--
			}
			c.contested[node] = append(c.contested[node], by.task)
			c.stay[node]++
			c.owners[by.task] = node
		}
		if by.from == nobody {
			return
		}
		node = by.from
	}
}
