package assign

import "slices"

// Claim is what a member of a group says about itself when it joins a generation.
type Claim struct {
	Member string
	// Generation is the last one whose assignment the member has carried out: what
	// it had to give up is given up, what it got is owned. 0: none yet.
	Generation int32
	// Owned are all tasks that the member runs or prepares to run, those included
	// that it has been told to give up and still runs. A member that was removed
	// from the group drops its tasks before it joins again, and owns nothing.
	Owned []Task
}

// Step turns claims into the assignment of the next generation. Each claim is one
// member of that generation. A task goes to its planned owner only when no other
// member runs it; until then it is withheld from all, and is one of moving.
//
// A member carries out what it gets in this order: commit and give up the tasks
// that it owns and was not assigned; then, if there were any, join again with a
// claim that says so; and run what was assigned. A task in both stays, and must
// not be paused. Two generations after the last change every task has its planned
// owner, and nothing moves.
//
// Of two claims to one task the one of the higher generation counts: its member
// may keep the task and the other gives it up. Between claims of the same
// generation there is no telling, and neither member keeps the task: it is
// withheld until both have given it up.
//
// # Why a task never has two owners
//
// It is planned for one member. That member gets it if nobody claims it, or if its
// own claim is the one that counts. In the first case nobody in the group runs it.
// In the second its member has run it all along, and everybody else who claims it
// is told to stop, and is a member that lost it earlier: a task is only given to
// somebody when nobody claims it, so that whoever got it later carried out a later
// generation, and the older claim comes from a member that was missing from the
// group at that time. It dropped the task, or is a zombie that did not notice, and
// its writer was fenced when the task was taken over: Step decides who runs a task,
// the log decides whose commits count. Of several such zombies one at most is not
// told to stop: the one that was the last to own the task.
//
// Two claims of the same generation cannot come from members that keep to these
// rules. Letting either go on could leave two that both believe in their right, so
// the task rests for a generation instead.
//
// Every member has an entry in assigned, its tasks sorted and never nil; moving is
// sorted too. A task that is claimed but not in tasks is assigned to nobody, which
// makes its owner give it up. Without claims nothing is assigned or moving.
func Step(claims []Claim, tasks []Task) (assigned map[string][]Task, moving []Task) {
	holds := holdsOf(claims)
	members := make([]string, len(claims))
	for i, c := range claims {
		members[i] = c.Member
	}
	previous := make(map[string][]Task, len(claims))
	for task, h := range holds {
		if !h.tied {
			previous[h.member] = append(previous[h.member], task)
		}
	}
	assigned = Plan(members, tasks, previous)
	for member, planned := range assigned {
		assigned[member] = slices.DeleteFunc(planned, func(task Task) bool {
			h, held := holds[task]
			withheld := held && (h.tied || h.member != member)
			if withheld {
				moving = append(moving, task)
			}
			return withheld
		})
	}
	slices.SortFunc(moving, Task.Compare)
	return assigned, moving
}

// hold is the claim to a task that counts.
type hold struct {
	member     string
	generation int32
	tied       bool // another member has a claim of the same generation
}

// holdsOf finds the claim that counts for every task that is claimed. The order of
// the claims does not matter.
func holdsOf(claims []Claim) map[Task]hold {
	size := 0
	for _, c := range claims {
		size += len(c.Owned)
	}
	holds := make(map[Task]hold, size)
	for _, c := range claims {
		for _, task := range c.Owned {
			h, held := holds[task]
			switch {
			case !held || c.Generation > h.generation:
				holds[task] = hold{member: c.Member, generation: c.Generation}
			case c.Generation == h.generation && c.Member != h.member:
				h.tied = true
				holds[task] = h
			}
		}
	}
	return holds
}
