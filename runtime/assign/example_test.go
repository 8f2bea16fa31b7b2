package assign_test

import (
	"fmt"

	"github.com/tidemill/tidemill/runtime/assign"
)

// A third member joins: each of the others gives up one task, and keeps the rest.
func ExamplePlan() {
	var tasks []assign.Task
	for partition := range int32(6) {
		tasks = append(tasks, assign.Task{Sub: "orders", Partition: partition})
	}
	two := assign.Plan([]string{"a", "b"}, tasks, nil)
	three := assign.Plan([]string{"a", "b", "c"}, tasks, two)
	for _, member := range []string{"a", "b", "c"} {
		fmt.Println(member, two[member], three[member])
	}
	// Output:
	// a [orders_0 orders_2 orders_4] [orders_0 orders_2]
	// b [orders_1 orders_3 orders_5] [orders_1 orders_3]
	// c [] [orders_4 orders_5]
}

// A task is given up in one generation and handed over in the next. What stays is
// in every assignment, and is never paused.
func ExampleStep() {
	tasks := []assign.Task{{Sub: "orders", Partition: 0}, {Sub: "orders", Partition: 1}}
	claims := []assign.Claim{
		{Member: "a", Generation: 7, Owned: tasks},
		{Member: "b"}, // has just joined
	}
	assigned, moving := assign.Step(claims, tasks)
	fmt.Println("generation 8:", assigned, "moving", moving)

	// a has committed and given up orders_1, and joins again.
	claims = []assign.Claim{
		{Member: "a", Generation: 8, Owned: assigned["a"]},
		{Member: "b", Generation: 8, Owned: assigned["b"]},
	}
	assigned, moving = assign.Step(claims, tasks)
	fmt.Println("generation 9:", assigned, "moving", moving)
	// Output:
	// generation 8: map[a:[orders_0] b:[]] moving [orders_1]
	// generation 9: map[a:[orders_0] b:[orders_1]] moving []
}
