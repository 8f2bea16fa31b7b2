package assign

import (
	"cmp"
	"slices"
	"strconv"
)

// Task is one sub-topology on one partition.
type Task struct {
	Sub       string
	Partition int32
}

// String is the task's id, "<sub-topology>_<partition>", as changelog.TaskID makes
// it; this package imports no other.
func (t Task) String() string { return t.Sub + "_" + strconv.FormatInt(int64(t.Partition), 10) }

// Compare orders tasks by sub-topology, then by partition as a number.
func (t Task) Compare(other Task) int {
	return cmp.Or(cmp.Compare(t.Sub, other.Sub), cmp.Compare(t.Partition, other.Partition))
}

// sortedSet is a sorted copy without duplicates. The caller's slice may be shared
// and is left alone.
func sortedSet[E comparable](list []E, compare func(a, b E) int) []E {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, compare)
	return slices.Compact(sorted)
}
