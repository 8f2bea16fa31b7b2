package assign

// table counts tasks by sub-topology and member. Tasks of one sub-topology that
// had the same owner are interchangeable, so counts are enough to plan with.
//
// Invariant: for each sub-topology its counts and homeless together are all its
// tasks; load is the sum over the sub-topologies. After fill nobody is homeless,
// and every load is base, or base+1 for as many members as there were extras.
type table struct {
	base   int // every member gets so many tasks
	extras int // and so many members get one more; shed and fill give them out

	subOf    []int   // sub-topology of each task
	held     [][]int // [sub][member]: tasks that the member had
	count    [][]int // [sub][member]: tasks that the member gets
	load     []int   // [member]: tasks that the member gets, in all
	homeless []int   // [sub]: tasks that nobody gets yet
	tasks    int
}

// newTable counts what the members had, however much that is. Tasks are sorted.
func newTable(tasks []Task, owners []int, members int) *table {
	t := &table{
		base: len(tasks) / members, extras: len(tasks) % members,
		subOf: make([]int, len(tasks)), load: make([]int, members), tasks: len(tasks),
	}
	for i, task := range tasks {
		if i == 0 || task.Sub != tasks[i-1].Sub {
			t.held = append(t.held, make([]int, members))
			t.count = append(t.count, make([]int, members))
			t.homeless = append(t.homeless, 0)
		}
		sub := len(t.count) - 1
		t.subOf[i] = sub
		if m := owners[i]; m == nobody {
			t.homeless[sub]++
		} else {
			t.held[sub][m]++
			t.count[sub][m]++
			t.load[m]++
		}
	}
	return t
}

// shed takes from every member what is above its share. Extras go to members that
// have more than the base: each of them keeps a task that would have to move
// otherwise, so that no plan keeps more.
func (t *table) shed() {
	for m := range t.load {
		share := t.base
		if t.load[m] > t.base && t.extras > 0 {
			share++
			t.extras--
		}
		for t.load[m] > share {
			sub := t.mostOn(m)
			t.count[sub][m]--
			t.load[m]--
			t.homeless[sub]++
		}
	}
}

// mostOn is the sub-topology of which the member has most tasks; among equals the
// one of which the fewest are homeless, so that members that shed alike do not
// leave one sub-topology only to whoever takes over.
func (t *table) mostOn(m int) int {
	best := 0
	for sub := range t.count {
		has, most := t.count[sub][m], t.count[best][m]
		if has > most || has == most && t.homeless[sub] < t.homeless[best] {
			best = sub
		}
	}
	return best
}

// fill gives every homeless task to a member that has room, and says how many
// there were. There is always room: shares add up to the number of tasks. When
// nobody had anything this alone is as even as can be, because loads never differ
// by more than one on the way.
func (t *table) fill() (filled int) {
	for sub := range t.homeless {
		for ; t.homeless[sub] > 0; t.homeless[sub]-- {
			m := t.leastOf(sub)
			if t.load[m] == t.base {
				t.extras--
			}
			t.count[sub][m]++
			t.load[m]++
			filled++
		}
	}
	return filled
}

// leastOf is the member with room that has the fewest tasks of a sub-topology;
// among equals the one with the fewest tasks in all.
func (t *table) leastOf(sub int) int {
	best := nobody
	counts := t.count[sub]
	for m, load := range t.load {
		if load > t.base || load == t.base && t.extras == 0 {
			continue
		}
		if best == nobody || counts[m] < counts[best] || counts[m] == counts[best] && load < t.load[best] {
			best = m
		}
	}
	return best
}
