package worker

import "fmt"

// State is the life cycle of a task:
//
//	Created ──> Restoring ──> Running ──> Closed
//	   └────────────┴──────────────────────^
type State uint8

const (
	Created State = iota
	Restoring
	Running
	Closed
)

// String names the state as health pages show it.
func (s State) String() string {
	switch s {
	case Created:
		return "created"
	case Restoring:
		return "restoring"
	case Running:
		return "running"
	}
	return "closed"
}

// transition checks a step of the life cycle; a wrong one is a bug of the worker.
func transition(from, to State) State {
	if to <= from && to != from {
		panic(fmt.Sprintf("task state cannot go from %v back to %v", from, to))
	}
	return to
}
