package runtime

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/assign"
)

// groupVersion is the version of what members of a group tell each other.
const groupVersion = 1

// newcomer is the generation of a member that has not seen one yet.
const newcomer = -1

// tasksBySub is a set of tasks in a short form: partitions by sub-topology.
type tasksBySub map[string][]int32

// memberMetadata is what a member says about itself when it joins, as JSON.
type memberMetadata struct {
	Version  int    `json:"version"`
	Instance string `json:"instance"`
	// Generation is the newest that the member had seen, or newcomer.
	Generation int32 `json:"generation"`
	// Owned are the tasks that it runs, prepares, or has not given up yet.
	Owned tasksBySub `json:"owned"`
	// Writers are the identities of its workers.
	Writers []string `json:"writers"`
}

// assignment is what the leader's plan gives to a member, as JSON.
type assignment struct {
	Version int `json:"version"`
	// Previous is the generation that the plan took for the one before; newcomer if
	// nobody had seen one.
	Previous int32      `json:"previous"`
	Tasks    tasksBySub `json:"tasks"`
	// Live are the writers of all members.
	Live []string `json:"live"`
	// Again asks the member to join once more: its claim was not of this round.
	Again bool `json:"again,omitempty"`
	// Unsettled says that there are tasks which nobody has.
	Unsettled bool `json:"unsettled,omitempty"`
}

func shortForm(tasks []assign.Task) tasksBySub {
	out := tasksBySub{}
	for _, t := range tasks {
		out[t.Sub] = append(out[t.Sub], t.Partition)
	}
	for _, partitions := range out {
		slices.Sort(partitions)
	}
	return out
}

func (t tasksBySub) tasks() []assign.Task {
	var out []assign.Task
	for sub, partitions := range t {
		for _, p := range partitions {
			out = append(out, assign.Task{Sub: sub, Partition: p})
		}
	}
	slices.SortFunc(out, assign.Task.Compare)
	return out
}

// judge says what an assignment of a generation is worth. wrong: its plan took
// another generation for the one before, and may be wrong about who runs what.
// again: the member has to join once more. One that was made before this process
// came back (first) may wait for what its predecessor was about to say.
func (a assignment) judge(generation int32, first bool) (wrong, again bool) {
	wrong = a.Previous != newcomer && a.Previous != generation-1
	return wrong, wrong || a.Again || first && a.Unsettled
}

func checkGroupVersion(version int, from string) error {
	if version != groupVersion {
		return fmt.Errorf("%s speaks version %d of the group's records, this program version %d; run the same tidemill on all instances",
			from, version, groupVersion)
	}
	return nil
}

func decodeMetadata(m commitlog.MemberInfo) (memberMetadata, error) {
	var out memberMetadata
	if err := json.Unmarshal(m.Metadata, &out); err != nil {
		return out, fmt.Errorf("metadata of member %s (instance %q): %w", m.ID, m.Instance, err)
	}
	return out, checkGroupVersion(out.Version, fmt.Sprintf("member %s (instance %q)", m.ID, m.Instance))
}

// decodeAssignment reads what a Join has brought. Nothing at all is what a member
// gets that was away when the plan was made: it has to join again.
func decodeAssignment(raw []byte) (assignment, error) {
	if len(raw) == 0 {
		return assignment{Version: groupVersion, Previous: newcomer, Again: true}, nil
	}
	var out assignment
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("assignment: %w", err)
	}
	return out, checkGroupVersion(out.Version, "the leader of the group")
}

// planGroup is the leader's plan. assign.Step makes sure that no task has two
// owners as long as claims say what members run. But the claim of a member may be
// an old one: a static member keeps its place for a while although it has not
// joined, and one that came back after a restart got its old tasks without a
// round. Such a claim is told by its generation, which is not that of the round
// before. Its member may run what nobody claims, so while there is one nobody gets
// a task that he has not claimed himself; tasks may be given up, though. The member
// joins again, or the group removes it, and the next plan has certain claims only.
//
// That the newest generation in the claims is the one before cannot be known here,
// so it is stated in the assignment, and a member that knows better ignores the
// plan and joins again.
func planGroup(members []commitlog.MemberInfo, tasks []assign.Task) (map[string][]byte, error) {
	claims := make([]assign.Claim, len(members))
	known := make([]memberMetadata, len(members))
	previous := int32(newcomer)
	var live []string
	for i, m := range members {
		var err error
		if known[i], err = decodeMetadata(m); err != nil {
			return nil, err
		}
		claims[i] = assign.Claim{Member: m.ID, Generation: max(0, known[i].Generation), Owned: known[i].Owned.tasks()}
		previous = max(previous, known[i].Generation)
		live = append(live, known[i].Writers...)
	}
	slices.Sort(live)
	certain := func(i int) bool { return previous != newcomer && known[i].Generation == previous }
	allCertain := true
	for i := range known {
		allCertain = allCertain && certain(i)
	}
	assigned, _ := assign.Step(claims, tasks)
	given := 0
	for i, m := range members {
		if !allCertain {
			assigned[m.ID] = common(assigned[m.ID], claims[i].Owned)
		}
		given += len(assigned[m.ID])
	}
	out := make(map[string][]byte, len(members))
	for i, m := range members {
		raw, err := json.Marshal(assignment{Version: groupVersion, Previous: previous, Tasks: shortForm(assigned[m.ID]), Live: slices.Compact(live),
			Again: !certain(i), Unsettled: given < len(tasks)})
		if err != nil {
			return nil, err
		}
		out[m.ID] = raw
	}
	return out, nil
}

// common returns the tasks of a that are in b too.
func common(a, b []assign.Task) []assign.Task {
	in := make(map[assign.Task]bool, len(b))
	for _, t := range b {
		in[t] = true
	}
	return slices.DeleteFunc(a, func(t assign.Task) bool { return !in[t] })
}
