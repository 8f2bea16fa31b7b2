// Package assign decides which member of a group runs which task. It is pure: no
// clock, no randomness, no network, and the order of the input does not matter,
// so every member that is made leader decides alike.
//
//	member      one instance, known by a name that stays the same
//	task        one sub-topology on one partition
//	plan        where every task should run: [Plan]
//	claim       what a member says that it runs now
//	generation  one agreed state of the group; generations only grow
//
// [Plan] says where the tasks should be. [Step] says what each member gets in the
// next generation on the way there, such that no task ever has two owners:
//
//	generation 4   a runs 0 1 2 3, b joins     plan: a 0 1, b 2 3
//	               a gets 0 1, b gets nothing; 2 and 3 are moving
//	               a commits and gives up 2 and 3, and joins again; it never
//	               stopped 0 and 1
//	generation 5   nobody claims 2 and 3: b gets them
//
// # What a plan promises, in this order
//
//  1. Balance: the members' numbers of tasks differ by one at most.
//  2. As few moves as balance allows: no balanced plan leaves more tasks where
//     they were. A plan is its own successor: Plan of what Plan answered changes
//     nothing.
//  3. Evenness: among the plans that are as good so far, the partitions of each
//     sub-topology are spread most evenly (the sum of the squares of "tasks of
//     this sub-topology on this member" is the smallest).
//
// # How it is found
//
// With T tasks and M members every member gets T/M tasks, rounded down, and T mod
// M of them one more: the base and the extras. A member with c tasks keeps at most
// the base of them, and one more if it gets an extra, so that no plan keeps more
// than the sum of min(c, base), plus one for each extra, as long as there are
// members with more than the base. Extras go to those first, so this is reached.
//
// A task that several members had is contested: it may stay with any of them, and
// which one matters for the others. Maximum bipartite matching by augmenting paths
// decides (contest.go), before evenness is looked at.
//
// Members with too many tasks shed some, and these and the tasks that nobody had
// fill up the others, both in an order that makes the result nearly even
// (table.go). What is left to improve is improved one cycle of exchanges at a time
// ("a gives b an order, b gives c a payment, c gives a ...") until none is left
// that helps (even.go). A table in which no such cycle helps is the best one: the
// measure is convex, so that this is a minimum-cost flow.
//
// # Cost
//
// Time is in the order of T log T + T*M. A round of the search for cycles costs
// sub-topologies times M; a few rounds are enough as a rule, and after a fixed amount
// of work (evenWork in even.go) there are no more. What is then left undone is
// evenness, never balance or stickiness. A contested task costs one search, over
// all claims to contested tasks at worst. 10,000 tasks on 100 members take 3 to 15
// ms on one core, at most 30 ms with 1,000 sub-topologies and everything on one
// member before.
//
// # What was rejected
//
// Consistent hashing needs no memory of the previous plan, but is neither balanced
// within one nor minimal. Handing out by rounds over sorted lists moves nearly all
// tasks when one member comes. A single rule "each member sheds its most frequent
// sub-topology" is short, but several members that shed alike give a newcomer one
// sub-topology only, which is the most common case of all.
package assign
