package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// protocolType makes the group one that Kafka's own tools list and describe.
	protocolType = "consumer"
	// protocolName keeps members of another kind out: the broker refuses them with
	// INCONSISTENT_GROUP_PROTOCOL.
	protocolName = "tidemill"
	// subscriptionVersion is the first that has all fields which tools look at.
	subscriptionVersion = 1
)

// wrapMetadata puts a member's metadata into the user data of a consumer's
// subscription without topics. Kafka's tools decode every group of the type
// "consumer" so, and choke on other bytes.
func wrapMetadata(metadata []byte) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.UserData = subscriptionVersion, metadata
	return m.AppendTo(nil)
}

func unwrapMetadata(raw []byte) ([]byte, error) {
	m := kmsg.NewConsumerMemberMetadata()
	if err := m.ReadFrom(raw); err != nil {
		return nil, fmt.Errorf("metadata of %d bytes are no subscription: %w", len(raw), err)
	}
	return m.UserData, nil
}

// wrapAssignment does for an assignment what wrapMetadata does for metadata. The
// partitions stay empty: what a member is given is a task, not a partition.
func wrapAssignment(assignment []byte) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	a.UserData = assignment
	return a.AppendTo(nil)
}

// unwrapAssignment of nothing is nothing: a member that the plan left out.
func unwrapAssignment(raw []byte) ([]byte, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	a := kmsg.NewConsumerMemberAssignment()
	if err := a.ReadFrom(raw); err != nil {
		return nil, fmt.Errorf("assignment of %d bytes makes no sense: %w", len(raw), err)
	}
	return a.UserData, nil
}
