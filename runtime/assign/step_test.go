package assign

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// simulate drives a group through changes and faults, lets it come to rest now and
// then, and says which promise was broken.
func simulate(seed uint64, step stepFunc) error {
	g := newGroup(random(seed), step)
	for range 6 {
		for range g.r.IntN(5) {
			g.change()
			if g.r.IntN(3) == 0 {
				continue // several changes at once
			}
			if _, err := g.rebalance(true); err != nil {
				return err
			}
		}
		if err := g.rest(); err != nil {
			return err
		}
	}
	return nil
}

// rest: two generations after the last change all tasks run, balanced; those that
// stayed were not interrupted; nothing had to stop in the second generation, and
// nothing changes in a third.
func (g *group) rest() error {
	runs := g.runs()
	if _, err := g.rebalance(false); err != nil {
		return err
	}
	if stopped, err := g.rebalance(false); err != nil || stopped != 0 {
		return fmt.Errorf("generation %d: %d tasks had to stop again, %w", g.generation, stopped, err)
	}
	after := g.runs()
	for key, r := range runs {
		if now := after[key]; now != nil && now != r && !r.stale {
			return fmt.Errorf("generation %d: %s was interrupted", g.generation, key)
		}
	}
	owned := map[string][]Task{}
	for name, n := range g.members {
		owned[name] = append([]Task{}, slices.SortedFunc(maps.Keys(n.running), Task.Compare)...)
	}
	if err := wellFormed(cluster{members: slices.Collect(maps.Keys(g.members)), tasks: g.tasks}, owned); err != nil {
		return fmt.Errorf("generation %d, two after the last change: %w", g.generation, err)
	}
	if assigned, moving := g.step(g.claims(), g.tasks); len(moving) > 0 || !reflect.DeepEqual(assigned, owned) {
		return fmt.Errorf("generation %d: not at rest: %v becomes %v, moving %v", g.generation, owned, assigned, moving)
	}
	return nil
}

// runs are the runs of all members by member and task.
func (g *group) runs() map[string]*run {
	runs := map[string]*run{}
	for name, n := range g.members {
		for task, r := range n.running {
			runs[name+" "+task.String()] = r
		}
	}
	return runs
}

func TestStepInAFailingGroup(t *testing.T) {
	seeds(t, 3000, func(seed uint64) error { return simulate(seed, Step) })
}

// Claims in any state, also those that no group would ever make: a task is
// assigned to one member at most, and never while somebody else may go on with it.
func TestStepOnAnyClaims(t *testing.T) {
	seeds(t, 3000, func(seed uint64) error {
		r := random(seed)
		c := randomCluster(r, 6, 20, true)
		var claims []Claim
		for _, m := range c.members {
			claims = append(claims, Claim{Member: m, Generation: int32(r.IntN(3)), Owned: c.previous[m]})
		}
		assigned, moving := Step(claims, c.tasks)
		r.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		again, movingAgain := Step(append(claims, claims[0]), c.tasks)
		if !reflect.DeepEqual(assigned, again) || !slices.Equal(moving, movingAgain) {
			return fmt.Errorf("the order matters: %v %v, %v %v", assigned, moving, again, movingAgain)
		}
		return checkStep(claims, c, assigned, moving)
	})
}

func checkStep(claims []Claim, c cluster, assigned map[string][]Task, moving []Task) error {
	all := slices.Clone(moving)
	for member, tasks := range assigned {
		all = append(all, tasks...)
		for _, task := range tasks {
			mine := slices.ContainsFunc(claims, func(cl Claim) bool { return cl.Member == member && slices.Contains(cl.Owned, task) })
			for _, other := range claims {
				if other.Member == member || !slices.Contains(other.Owned, task) {
					continue
				}
				if newer := generationOf(claims, member) > other.Generation; !mine || !newer {
					return fmt.Errorf("%s gets %v, which %s runs: %v", member, task, other.Member, claims)
				}
			}
		}
	}
	slices.SortFunc(all, Task.Compare)
	if want := slices.SortedFunc(slices.Values(c.tasks), Task.Compare); !slices.Equal(all, want) {
		return fmt.Errorf("assigned and moving are %v, want each of %v once", all, want)
	}
	return nil
}

func generationOf(claims []Claim, member string) int32 {
	return claims[slices.IndexFunc(claims, func(c Claim) bool { return c.Member == member })].Generation
}

// Steps that break one rule each, and the complaint that must come.
func TestSimulationNoticesBadSteps(t *testing.T) {
	for _, c := range []struct {
		name, complaint string
		step            stepFunc
	}{
		{"ignores that others still run a task", "starts", ignoresClaims},
		{"is not sticky", "would do", notSticky},
		{"prefers the older claim", "would do", prefersOlder},
		{"withholds for ever", "want each once", withholds},
		{"lets everybody keep what it has", ": 0 tasks have to stop", keepsAll},
		{"pauses the whole member that gives something up", "would do", pausesAll},
	} {
		if !noticed(500, c.complaint, func(seed uint64) error { return simulate(seed, c.step) }) {
			t.Errorf("a step that %s passed, or failed with another complaint: %v", c.name, simulate(1, c.step))
		}
	}
}

func ignoresClaims(claims []Claim, tasks []Task) (map[string][]Task, []Task) {
	members, previous := owned(claims)
	return Plan(members, tasks, previous), nil
}

func notSticky(claims []Claim, tasks []Task) (map[string][]Task, []Task) {
	members, _ := owned(claims)
	return withhold(claims, Plan(members, tasks, nil))
}

func prefersOlder(claims []Claim, tasks []Task) (map[string][]Task, []Task) {
	inverted := slices.Clone(claims)
	for i := range inverted {
		inverted[i].Generation *= -1
	}
	return Step(inverted, tasks)
}

func withholds(claims []Claim, tasks []Task) (map[string][]Task, []Task) {
	assigned, moving := Step(claims, tasks)
	_, previous := owned(claims)
	for member := range assigned {
		assigned[member] = slices.DeleteFunc(assigned[member], func(task Task) bool { return !slices.Contains(previous[member], task) })
	}
	return assigned, moving
}

func keepsAll(claims []Claim, tasks []Task) (map[string][]Task, []Task) {
	held := holdsOf(claims)
	members, _ := owned(claims)
	assigned := Plan(members, tasks, nil)
	for member := range assigned {
		assigned[member] = []Task{}
	}
	for i, task := range tasks {
		member := members[i%len(members)]
		if h, is := held[task]; is {
			member = h.member
		}
		assigned[member] = append(assigned[member], task)
	}
	return assigned, nil
}

func pausesAll(claims []Claim, tasks []Task) (map[string][]Task, []Task) {
	assigned, moving := Step(claims, tasks)
	for _, c := range claims {
		if slices.ContainsFunc(c.Owned, func(task Task) bool { return !slices.Contains(assigned[c.Member], task) }) {
			assigned[c.Member] = nil
		}
	}
	return assigned, moving
}

func owned(claims []Claim) (members []string, previous map[string][]Task) {
	previous = map[string][]Task{}
	for _, c := range claims {
		members = append(members, c.Member)
		previous[c.Member] = append(previous[c.Member], c.Owned...)
	}
	return members, previous
}

// withhold takes from a plan what others still run.
func withhold(claims []Claim, plan map[string][]Task) (assigned map[string][]Task, moving []Task) {
	held := holdsOf(claims)
	for member := range plan {
		plan[member] = slices.DeleteFunc(plan[member], func(task Task) bool {
			h, is := held[task]
			if gone := is && h.member != member; gone {
				moving = append(moving, task)
				return true
			}
			return false
		})
	}
	return plan, moving
}
