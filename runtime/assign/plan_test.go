package assign

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// checkAgainstAll compares a plan with every balanced plan of a small cluster.
// With contested tasks evenness is not promised, because which claimant a task
// stays with is settled before.
func checkAgainstAll(seed uint64, contested bool, plan planFunc) error {
	r := random(seed)
	c := randomCluster(r, 4, 7, contested)
	got := c.plan(plan)
	if err := wellFormed(c, got); err != nil {
		return fmt.Errorf("%w\n%v", err, c)
	}
	best, is := bestScore(c), scoreOf(got, c.previous)
	if contested {
		best.squares, is.squares = 0, 0
	}
	if is != best {
		return fmt.Errorf("plan %v has %+v, the best there is has %+v\n%v", got, is, best, c)
	}
	return nil
}

func TestPlanIsTheBestOfAllSmallPlans(t *testing.T) {
	seeds(t, 1500, func(seed uint64) error { return checkAgainstAll(seed, false, Plan) })
}

func TestPlanKeepsAMaximumOfContestedTasks(t *testing.T) {
	seeds(t, 1500, func(seed uint64) error { return checkAgainstAll(seed, true, Plan) })
}

// checkLarge checks what can be checked without trying all plans.
func checkLarge(seed uint64, plan planFunc) error {
	r := random(seed)
	c := randomCluster(r, 40, 300, false)
	got := c.plan(plan)
	if err := wellFormed(c, got); err != nil {
		return fmt.Errorf("%w\n%v", err, c)
	}
	if is, most := scoreOf(got, c.previous).stay, mostStay(c); is != most {
		return fmt.Errorf("%d tasks stay, %d could\n%v", is, most, c)
	}
	if again := plan(c.members, c.tasks, got); !reflect.DeepEqual(again, got) {
		return fmt.Errorf("plan of the plan differs:\n%v\n%v\n%v", got, again, c)
	}
	return nil
}

func TestPlanIsBalancedMinimalAndStable(t *testing.T) {
	seeds(t, 2000, func(seed uint64) error { return checkLarge(seed, Plan) })
}

func TestPlanDependsOnNoOrder(t *testing.T) {
	seeds(t, 500, func(seed uint64) error {
		r := random(seed)
		c := randomCluster(r, 10, 60, true)
		shuffled := c.shuffled(r)
		before := fmt.Sprint(shuffled)
		want, got := c.plan(Plan), shuffled.plan(Plan)
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("in another order:\n%v\n%v\n%v", want, got, c)
		}
		if fmt.Sprint(shuffled) != before {
			return fmt.Errorf("the arguments were changed: %v", shuffled)
		}
		return nil
	})
}

// shuffled is the same cluster in another order, with duplicates.
func (c cluster) shuffled(r *rand.Rand) cluster {
	s := cluster{members: again(r, c.members), tasks: again(r, c.tasks), previous: map[string][]Task{}}
	for m, tasks := range c.previous {
		s.previous[m] = again(r, tasks)
	}
	return s
}

func again[E any](r *rand.Rand, list []E) []E {
	list = slices.Concat(list, list[:r.IntN(len(list)+1)])
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// Whatever joins and leaves, a plan follows its predecessor.
func TestPlansOfAChangingCluster(t *testing.T) {
	seeds(t, 200, func(seed uint64) error {
		r := random(seed)
		c := randomCluster(r, 12, 200, false)
		for range 20 {
			members := []string{fmt.Sprint("m", r.IntN(20))}
			for _, m := range c.members {
				if m != members[0] && r.IntN(6) > 0 {
					members = append(members, m)
				}
			}
			c.members = members
			next := c.plan(Plan)
			if err := wellFormed(c, next); err != nil {
				return err
			}
			if is, most := scoreOf(next, c.previous).stay, mostStay(c); is != most {
				return fmt.Errorf("%d tasks stay, %d could\n%v", is, most, c)
			}
			c.previous = next
		}
		return nil
	})
}

// With nothing to keep each sub-topology is spread within one, too.
func TestFirstPlanIsEvenInEverySub(t *testing.T) {
	seeds(t, 500, func(seed uint64) error {
		r := random(seed)
		c := randomCluster(r, 20, 200, false)
		c.previous = nil
		plan := c.plan(Plan)
		for _, sub := range []string{"s0", "s1", "s2", "s3"} {
			of := map[string][]Task{}
			for m, tasks := range plan {
				of[m] = slices.DeleteFunc(slices.Clone(tasks), func(t Task) bool { return t.Sub != sub })
			}
			if !balanced(of) {
				return fmt.Errorf("%s is uneven: %v", sub, of)
			}
		}
		return nil
	})
}

// A search for exchanges that runs out of work leaves a plan that is as balanced
// and sticky as any.
func TestEvenMayRunOutOfWork(t *testing.T) {
	seeds(t, 500, func(seed uint64) error {
		c := randomCluster(random(seed), 20, 200, false)
		plan := c.plan(planWith(1))
		if err := wellFormed(c, plan); err != nil {
			return fmt.Errorf("%w\n%v", err, c)
		}
		if is, most := scoreOf(plan, c.previous).stay, mostStay(c); is != most {
			return fmt.Errorf("%d tasks stay, %d could\n%v", is, most, c)
		}
		return nil
	})
}

// planWith is Plan with another bound for the search for exchanges.
func planWith(work int) planFunc {
	return func(members []string, tasks []Task, previous map[string][]Task) map[string][]Task {
		tasks = slices.SortedFunc(slices.Values(tasks), Task.Compare)
		owners := ownersOf(members, tasks, previous)
		t := newTable(tasks, owners, len(members))
		t.shed()
		t.fill()
		t.even(work)
		return t.deal(members, tasks, owners)
	}
}

func TestTaskString(t *testing.T) {
	for want, task := range map[string]Task{"orders_0": {"orders", 0}, "a_b_17": {"a_b", 17}} {
		if got := task.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Plans that break one promise each, and the check that must notice.
func TestChecksNoticeBadPlans(t *testing.T) {
	forgetful := func(members []string, tasks []Task, _ map[string][]Task) map[string][]Task {
		return Plan(members, tasks, nil)
	}
	greedy := func(members []string, tasks []Task, previous map[string][]Task) map[string][]Task {
		plan := Plan(members, tasks, previous)
		first, last := slices.Min(members), slices.Max(members)
		if n := len(plan[last]); first != last && n > 0 {
			plan[first] = append(slices.Clone(plan[first]), plan[last][n-1])
			plan[last] = plan[last][:n-1]
			slices.SortFunc(plan[first], Task.Compare)
		}
		return plan
	}
	lossy := func(members []string, tasks []Task, previous map[string][]Task) map[string][]Task {
		plan := Plan(members, tasks, previous)
		if m := members[0]; len(plan[m]) > 0 {
			plan[m] = plan[m][1:]
		}
		return plan
	}
	firstOwner := func(members []string, tasks []Task, previous map[string][]Task) map[string][]Task {
		single, seen := map[string][]Task{}, map[Task]bool{}
		for _, m := range members {
			for _, task := range previous[m] {
				if !seen[task] {
					single[m], seen[task] = append(single[m], task), true
				}
			}
		}
		return Plan(members, tasks, single)
	}
	for _, c := range []struct {
		name, complaint string
		plan            planFunc
		check           func(uint64, planFunc) error
	}{
		{"not sticky", "could", forgetful, checkLarge},
		{"not sticky, small", "the best there is", forgetful, small},
		{"not balanced", "not balanced", greedy, checkLarge},
		{"loses a task", "want each once", lossy, checkLarge},
		{"not made even to the end", "the best there is", planWith(1), small},
		{"settled for the first claimant", "the best there is", firstOwner, smallContested},
	} {
		if !noticed(2000, c.complaint, func(seed uint64) error { return c.check(seed, c.plan) }) {
			t.Errorf("a plan that is %s passed the check", c.name)
		}
	}
}

func small(seed uint64, plan planFunc) error          { return checkAgainstAll(seed, false, plan) }
func smallContested(seed uint64, plan planFunc) error { return checkAgainstAll(seed, true, plan) }

// noticed says whether a check fails with this complaint for one of n seeds.
func noticed(n int, complaint string, check func(seed uint64) error) bool {
	for seed := range n {
		if err := check(uint64(seed + 1)); err != nil && strings.Contains(err.Error(), complaint) {
			return true
		}
	}
	return false
}
