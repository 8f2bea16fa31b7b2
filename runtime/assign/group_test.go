package assign

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

type stepFunc func(claims []Claim, tasks []Task) (assigned map[string][]Task, moving []Task)

// run is a member's hold of a task from start to stop; its identity says whether
// the task was interrupted.
type run struct {
	// stale: the member was removed from the group after the start. Another may have
	// taken the task over, and has fenced this run then.
	stale bool
}

// node is a simulated member. It does what the documentation of Step asks for,
// except that it may come back late without having noticed that it was removed.
type node struct {
	name       string
	generation int32 // carried out
	running    map[Task]*run
}

// group is a simulated group: the truth about who runs what, and the checks. It
// has a coordinator without faults; the members are what fails.
type group struct {
	r          *rand.Rand
	step       stepFunc
	tasks      []Task
	generation int32
	names      int
	members    map[string]*node // of the group
	frozen     map[string]*node // removed, running on without knowing
}

func newGroup(r *rand.Rand, step stepFunc) *group {
	g := &group{r: r, step: step, members: map[string]*node{}, frozen: map[string]*node{}}
	for sub := range 1 + r.IntN(3) {
		for p := range 1 + r.IntN(8) {
			g.tasks = append(g.tasks, Task{fmt.Sprint("s", sub), int32(p)})
		}
	}
	for range 1 + r.IntN(4) {
		g.join()
	}
	return g
}

func (g *group) join() {
	g.names++
	n := &node{name: fmt.Sprint("m", g.names), running: map[Task]*run{}}
	g.members[n.name] = n
}

// pick is a random node, in an order that depends on the seed only.
func (g *group) pick(from map[string]*node) *node {
	names := slices.Sorted(maps.Keys(from))
	return from[names[g.r.IntN(len(names))]]
}

// change lets one thing happen to the membership.
func (g *group) change() {
	switch what := g.r.IntN(6); {
	case what == 0 && len(g.members) < 9:
		g.join()
	case what <= 2 && len(g.members) > 1: // leaves or crashes: its tasks have stopped
		delete(g.members, g.pick(g.members).name)
	case what == 3 && len(g.members) > 1:
		g.freeze(g.pick(g.members))
	case what == 4 && len(g.frozen) > 0:
		g.thaw(g.pick(g.frozen), true)
	case what == 5 && len(g.frozen) > 0:
		g.thaw(g.pick(g.frozen), false)
	}
}

// freeze removes a member that has fallen silent. It runs on.
func (g *group) freeze(n *node) {
	for _, r := range n.running {
		r.stale = true
	}
	delete(g.members, n.name)
	g.frozen[n.name] = n
}

// thaw brings it back, having dropped its tasks as it should, or with stale claims.
func (g *group) thaw(n *node, dropped bool) {
	if dropped {
		n.generation, n.running = 0, map[Task]*run{}
	}
	delete(g.frozen, n.name)
	g.members[n.name] = n
}

func (g *group) claims() (claims []Claim) {
	for _, name := range slices.Sorted(maps.Keys(g.members)) {
		n := g.members[name]
		claims = append(claims, Claim{Member: name, Generation: n.generation, Owned: slices.Collect(maps.Keys(n.running))})
	}
	g.r.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
	return claims
}

// rebalance forms a generation and hands out what step assigns, in random order.
// With faults members may miss the answer, be slow to give up, or fall silent.
// It returns how many runs that were in force were told to stop.
func (g *group) rebalance(faults bool) (stopped int, err error) {
	before := g.inForce()
	assigned, _ := g.step(g.claims(), slices.Clone(g.tasks))
	g.generation++
	if stopped, err = g.checkMoves(before, assigned); err != nil {
		return stopped, err
	}
	present := slices.Sorted(maps.Keys(assigned))
	g.r.Shuffle(len(present), func(i, j int) { present[i], present[j] = present[j], present[i] })
	for _, name := range present {
		n := g.members[name]
		fault := 9
		if faults {
			fault = g.r.IntN(10)
		}
		switch {
		case fault == 0: // missed: it joins again with the claim that it had
		case fault == 1 && len(g.members) > 1:
			g.freeze(n)
		default:
			if err := g.carryOut(n, assigned[name], fault == 2); err != nil {
				return stopped, err
			}
		}
	}
	return stopped, nil
}

// carryOut gives up, then starts. A slow member has not given up everything when
// the next generation is formed, and has started nothing.
func (g *group) carryOut(n *node, assigned []Task, slow bool) error {
	for _, task := range slices.SortedFunc(maps.Keys(n.running), Task.Compare) {
		switch {
		case slices.Contains(assigned, task):
		case slow && g.r.IntN(2) == 0:
			return nil
		default:
			delete(n.running, task)
		}
	}
	for _, task := range assigned {
		if r := n.running[task]; r != nil {
			r.stale = false // lost once, and owned again from this generation on
			continue
		}
		for _, other := range g.members {
			if other.running[task] != nil {
				return fmt.Errorf("generation %d: %s starts %v, which %s runs", g.generation, n.name, task, other.name)
			}
		}
		n.running[task] = &run{}
	}
	n.generation = g.generation
	return g.checkOwners()
}

// checkOwners: no task has two owners among the members. A stale run is none.
func (g *group) checkOwners() error {
	owner := map[Task]string{}
	for name, n := range g.members {
		for task, r := range n.running {
			if r.stale {
				continue
			}
			if owner[task] != "" {
				return fmt.Errorf("generation %d: %s and %s own %v", g.generation, owner[task], name, task)
			}
			owner[task] = name
		}
	}
	return nil
}

// inForce says who runs what: the run that is not stale, or else the stale one of
// the newest generation, if there is one.
func (g *group) inForce() map[Task]string {
	owner := map[Task]string{}
	for _, task := range g.tasks {
		newest, tied := int32(-1), false
		for name, n := range g.members {
			r := n.running[task]
			if r == nil {
				continue
			}
			if !r.stale {
				owner[task], tied = name, false
				break
			}
			if n.generation > newest {
				owner[task], newest, tied = name, n.generation, false
			} else if n.generation == newest {
				tied = true
			}
		}
		if tied {
			delete(owner, task)
		}
	}
	return owner
}

// checkMoves: of the runs in force no more are told to stop than balance needs.
func (g *group) checkMoves(before map[Task]string, assigned map[string][]Task) (stopped int, err error) {
	c := cluster{members: slices.Collect(maps.Keys(g.members)), tasks: g.tasks, previous: map[string][]Task{}}
	for task, name := range before {
		c.previous[name] = append(c.previous[name], task)
		if !slices.Contains(assigned[name], task) {
			stopped++
		}
	}
	if least := len(before) - mostStay(c); stopped != least {
		return stopped, fmt.Errorf("generation %d: %d tasks have to stop, %d would do: %v becomes %v",
			g.generation, stopped, least, before, assigned)
	}
	return stopped, nil
}
