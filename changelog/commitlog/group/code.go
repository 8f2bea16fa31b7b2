package group

import "fmt"

// Code is the outcome of a request, by Kafka's numbers.
type Code int16

// The outcomes that a group gives.
const (
	OK                    Code = 0
	MetadataTooLarge      Code = 10 // metadata or an assignment above Limits.Bytes
	NotAvailable          Code = 15 // the coordinator is closed
	IllegalGeneration     Code = 22 // the group has moved on
	UnknownMember         Code = 25 // never was a member, or was removed
	InvalidSessionTimeout Code = 26
	RebalanceInProgress   Code = 27 // join again
	GroupFull             Code = 81 // Limits.Members
	FencedInstance        Code = 82 // another member has this instance id now
)

var codeNames = map[Code]string{
	OK: "NONE", MetadataTooLarge: "MESSAGE_TOO_LARGE", NotAvailable: "COORDINATOR_NOT_AVAILABLE",
	IllegalGeneration: "ILLEGAL_GENERATION", UnknownMember: "UNKNOWN_MEMBER_ID",
	InvalidSessionTimeout: "INVALID_SESSION_TIMEOUT", RebalanceInProgress: "REBALANCE_IN_PROGRESS",
	GroupFull: "GROUP_MAX_SIZE_REACHED", FencedInstance: "FENCED_INSTANCE_ID",
}

// String is Kafka's name of the code.
func (c Code) String() string {
	if name, known := codeNames[c]; known {
		return name
	}
	return fmt.Sprintf("code %d", int16(c))
}

// State is where a group stands between two generations.
type State uint8

// The states of a group.
const (
	Empty               State = iota // no members
	PreparingRebalance               // members are to join the next generation
	CompletingRebalance              // they have, and wait for the leader's plan
	Stable                           // everybody can have an assignment
)

// String is Kafka's name of the state.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}
