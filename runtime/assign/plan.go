package assign

import (
	"cmp"
	"slices"
)

// nobody is the owner of a task that no member had.
const nobody = -1

// Plan spreads tasks over members: balanced within one task, with the fewest moves
// that balance allows, and the partitions of each sub-topology spread evenly where
// that costs no move. The package documentation states this exactly.
//
// previous says which member had which tasks. It may name members and tasks that
// are unknown (they are passed over) and a task several times (it may stay with
// any member that had it), and it may be nil. Duplicate members and tasks count
// once. The arguments are not changed.
//
// Every member has an entry in the answer, its tasks sorted and never nil. Without
// members the answer is empty.
func Plan(members []string, tasks []Task, previous map[string][]Task) map[string][]Task {
	members = sortedSet(members, cmp.Compare[string])
	tasks = sortedSet(tasks, Task.Compare)
	if len(members) == 0 {
		return map[string][]Task{}
	}
	owners := ownersOf(members, tasks, previous)
	t := newTable(tasks, owners, len(members))
	t.shed()
	if t.fill() > 0 {
		t.even(evenWork)
	}
	return t.deal(members, tasks, owners)
}

// ownersOf says for every task which member had it, as an index into members, or
// nobody. Contested tasks are settled such that a maximum of tasks can stay.
func ownersOf(members []string, tasks []Task, previous map[string][]Task) []int {
	index := make(map[Task]int, len(tasks))
	owners := make([]int, len(tasks))
	for i, task := range tasks {
		index[task], owners[i] = i, nobody
	}
	claimants := map[int][]int{} // of contested tasks only
	for m, member := range members {
		for _, task := range previous[member] {
			i, known := index[task]
			switch {
			case !known || owners[i] == m:
			case owners[i] == nobody:
				owners[i] = m
			case len(claimants[i]) == 0:
				claimants[i] = []int{owners[i], m}
			case claimants[i][len(claimants[i])-1] != m:
				claimants[i] = append(claimants[i], m)
			}
		}
	}
	if len(claimants) > 0 {
		settle(owners, claimants, len(members))
	}
	return owners
}

// deal turns the counts of the table into tasks. A member keeps the lowest
// partitions of what it had, as many as it may; the rest is dealt out in rounds,
// so that neighbouring partitions, which often grow alike, come to lie apart.
func (t *table) deal(members []string, tasks []Task, owners []int) map[string][]Task {
	dealt := make([][]Task, len(members))
	for m := range dealt {
		dealt[m] = make([]Task, 0, t.load[m])
	}
	for i := 0; i < len(tasks); {
		sub := t.subOf[i]
		wanted := slices.Clone(t.count[sub])
		var rest []Task
		for ; i < len(tasks) && t.subOf[i] == sub; i++ {
			if m := owners[i]; m != nobody && wanted[m] > 0 {
				dealt[m], wanted[m] = append(dealt[m], tasks[i]), wanted[m]-1
			} else {
				rest = append(rest, tasks[i])
			}
		}
		m := 0
		for _, task := range rest {
			for wanted[m] == 0 {
				m = (m + 1) % len(members)
			}
			dealt[m], wanted[m] = append(dealt[m], task), wanted[m]-1
			m = (m + 1) % len(members)
		}
	}
	plan := make(map[string][]Task, len(members))
	for m, member := range members {
		slices.SortFunc(dealt[m], Task.Compare)
		plan[member] = dealt[m]
	}
	return plan
}
