package assign

import "slices"

// evenWork bounds the search for exchanges, in relaxations of one edge (some
// nanoseconds each). 10,000 tasks that random members had need a twentieth of it with
// 20 sub-topologies. It is a number of steps and not a time, so that the plan
// depends on nothing but its input.
const evenWork = 8 << 20

// even improves the table until no exchange of tasks improves it, or the work, in
// relaxations, is used up. The cost of a
// table is the sum of the squares of its counts, less a weight for every task that
// stays, which is so large that no evenness pays for a move.
//
// Exchanges are cycles in a graph of sub-topologies, members and the extras:
//
//	sub -> member     the member gets one more task of it
//	member -> sub     the member gives one away
//	member -> extras  the member, at its base, takes an extra
//	extras -> member  the member gives its extra up
//
// Each edge costs what it changes. Taking one more costs more the more there are
// (the cost is convex), so that a table without a cycle of negative cost is the
// best. Cycles are found as Bellman and Ford do: relax all edges again and again;
// a loop among the predecessors is a cycle of negative cost.
func (t *table) even(work int) {
	edges := 2 * (len(t.count) + 1) * len(t.load)
	s := t.newSearch()
	for range max(1, work/edges) {
		if !s.round() {
			return
		}
		if cycle := s.cycle(); cycle != nil {
			t.exchange(cycle)
			s = t.newSearch()
		}
	}
}

// get is the cost of one more task of a sub-topology on a member.
func (t *table) get(sub, m int) int {
	n := t.count[sub][m]
	if n < t.held[sub][m] {
		return 2*n + 1 - t.stayWeight()
	}
	return 2*n + 1
}

// give is the cost of one task less.
func (t *table) give(sub, m int) int {
	n := t.count[sub][m]
	if n <= t.held[sub][m] {
		return 1 - 2*n + t.stayWeight()
	}
	return 1 - 2*n
}

// stayWeight is more than the largest sum of squares.
func (t *table) stayWeight() int { return (t.tasks + 1) * (t.tasks + 1) }

// exchange carries a cycle out. Nodes are numbered as in search.
func (t *table) exchange(cycle []int) {
	subs, extras := len(t.count), len(t.count)+len(t.load)
	for i, from := range cycle {
		to := cycle[(i+1)%len(cycle)]
		switch {
		case from == extras || to == extras:
		case from < subs:
			t.count[from][to-subs]++
			t.load[to-subs]++
		default:
			t.count[to][from-subs]--
			t.load[from-subs]--
		}
	}
}

// search looks for one cycle of negative cost. Nodes are the sub-topologies, then
// the members, then the extras.
type search struct {
	*table
	distance []int
	before   []int // the node from which the distance came, or nobody
	mark     []int // by which walk of cycle a node was last seen
}

func (t *table) newSearch() *search {
	nodes := len(t.count) + len(t.load) + 1
	return &search{
		table: t, distance: make([]int, nodes),
		before: slices.Repeat([]int{nobody}, nodes), mark: make([]int, nodes),
	}
}

// round relaxes every edge once and says whether that changed anything.
func (s *search) round() (changed bool) {
	subs, extras := len(s.count), len(s.distance)-1
	for sub, counts := range s.count {
		for m, n := range counts {
			changed = s.relax(sub, subs+m, s.get(sub, m)) || changed
			if n > 0 {
				changed = s.relax(subs+m, sub, s.give(sub, m)) || changed
			}
		}
	}
	for m, load := range s.load {
		if load > s.base {
			changed = s.relax(extras, subs+m, 0) || changed
		} else {
			changed = s.relax(subs+m, extras, 0) || changed
		}
	}
	return changed
}

func (s *search) relax(from, to, cost int) bool {
	if s.distance[from]+cost >= s.distance[to] {
		return false
	}
	s.distance[to], s.before[to] = s.distance[from]+cost, from
	return true
}

// cycle returns the nodes of a loop among the predecessors, in the direction of
// the edges, or nil.
func (s *search) cycle() (nodes []int) {
	clear(s.mark)
	for start := range s.before {
		node := start
		for node != nobody && s.mark[node] == 0 {
			s.mark[node] = start + 1
			node = s.before[node]
		}
		if node == nobody || s.mark[node] != start+1 {
			continue
		}
		for first := node; ; {
			nodes = append(nodes, node)
			if node = s.before[node]; node == first {
				slices.Reverse(nodes)
				return nodes
			}
		}
	}
	return nil
}
