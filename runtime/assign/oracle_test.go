package assign

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

type planFunc func(members []string, tasks []Task, previous map[string][]Task) map[string][]Task

// seeds calls f for seeds 1 to n; TIDEMILL_ASSIGN_SEEDS=100000 sets another n, and
// TIDEMILL_ASSIGN_SEED=7 runs that seed alone. f says what is wrong.
func seeds(t *testing.T, n int, f func(seed uint64) error) {
	t.Helper()
	first := 1
	if v := os.Getenv("TIDEMILL_ASSIGN_SEEDS"); v != "" {
		n = number(t, v)
	}
	if v := os.Getenv("TIDEMILL_ASSIGN_SEED"); v != "" {
		first = number(t, v)
		n = first
	}
	for seed := first; seed <= n; seed++ {
		if err := f(uint64(seed)); err != nil {
			t.Fatalf("seed %d (TIDEMILL_ASSIGN_SEED=%d go test -run '^%s$'): %v", seed, seed, t.Name(), err)
		}
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// cluster is a random input of Plan.
type cluster struct {
	members  []string
	tasks    []Task
	previous map[string][]Task
}

func (c cluster) String() string {
	return fmt.Sprintf("members %v\ntasks %v\nprevious %v", c.members, c.tasks, c.previous)
}

func (c cluster) plan(plan planFunc) map[string][]Task { return plan(c.members, c.tasks, c.previous) }

// randomCluster has at most so many members and tasks. Some members are new and
// some of the previous ones are gone; some tasks are new and some are unknown;
// contested says whether a task may have several previous owners.
func randomCluster(r *rand.Rand, members, tasks int, contested bool) cluster {
	c := cluster{previous: map[string][]Task{}}
	for m := range 1 + r.IntN(members) {
		c.members = append(c.members, "m"+strconv.Itoa(m))
	}
	subs := 1 + r.IntN(4)
	for n := r.IntN(tasks + 1); n > 0; n-- {
		sub := r.IntN(subs)
		c.tasks = append(c.tasks, Task{"s" + strconv.Itoa(sub), int32(n)})
	}
	known := 1 + r.IntN(members+2) // skews what was owned towards few members
	stays := r.IntN(5)
	for _, task := range append(slices.Clone(c.tasks), Task{"unknown", 3}) {
		for first := true; (first || contested && r.IntN(2) == 0) && r.IntN(5) <= stays; first = false {
			owner := "m" + strconv.Itoa(r.IntN(known))
			c.previous[owner] = append(c.previous[owner], task)
		}
	}
	return c
}

// score is what plans are compared by: first more that stay, then fewer squares.
type score struct{ stay, squares int }

func (s score) better(o score) bool {
	return s.stay > o.stay || s.stay == o.stay && s.squares < o.squares
}

func scoreOf(plan, previous map[string][]Task) (s score) {
	for member, tasks := range plan {
		count := map[string]int{}
		for _, task := range tasks {
			count[task.Sub]++
			if slices.Contains(previous[member], task) {
				s.stay++
			}
		}
		for _, n := range count {
			s.squares += n * n
		}
	}
	return s
}

// bestScore tries every balanced plan there is.
func bestScore(c cluster) score {
	best := score{stay: -1}
	plan := map[string][]Task{}
	for _, m := range c.members {
		plan[m] = nil
	}
	limit := (len(c.tasks) + len(c.members) - 1) / len(c.members)
	var try func(i int)
	try = func(i int) {
		if i == len(c.tasks) {
			if s := scoreOf(plan, c.previous); balanced(plan) && s.better(best) {
				best = s
			}
			return
		}
		for _, m := range c.members {
			if had := plan[m]; len(had) < limit {
				plan[m] = append(had, c.tasks[i])
				try(i + 1)
				plan[m] = had
			}
		}
	}
	try(0)
	return best
}

// mostStay is how many tasks can stay when no task is contested: what a member had,
// up to the base, and one more for every extra.
func mostStay(c cluster) (stay int) {
	base, extras := len(c.tasks)/len(c.members), len(c.tasks)%len(c.members)
	for _, m := range c.members {
		had := 0
		for _, task := range c.previous[m] {
			if slices.Contains(c.tasks, task) {
				had++
			}
		}
		stay += min(had, base)
		if had > base && extras > 0 {
			stay++
			extras--
		}
	}
	return stay
}

func balanced(plan map[string][]Task) bool {
	low, high := 1<<30, 0
	for _, tasks := range plan {
		low, high = min(low, len(tasks)), max(high, len(tasks))
	}
	return high <= low+1
}

// wellFormed checks what holds for every plan: an entry for each member and none
// for others, every task once, sorted, balanced.
func wellFormed(c cluster, plan map[string][]Task) error {
	if len(plan) != len(c.members) {
		return fmt.Errorf("%d members in the plan, want %d: %v", len(plan), len(c.members), plan)
	}
	var all []Task
	for _, m := range c.members {
		tasks, has := plan[m]
		if !has || tasks == nil || !slices.IsSortedFunc(tasks, Task.Compare) {
			return fmt.Errorf("entry of %s is missing, nil or not sorted: %v", m, plan)
		}
		all = append(all, tasks...)
	}
	slices.SortFunc(all, Task.Compare)
	want := slices.SortedFunc(slices.Values(c.tasks), Task.Compare)
	if !slices.Equal(all, want) {
		return fmt.Errorf("tasks in the plan %v, want each once: %v", all, want)
	}
	if !balanced(plan) {
		return fmt.Errorf("not balanced: %v", plan)
	}
	return nil
}
