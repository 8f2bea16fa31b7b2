package wire

import (
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Code is a Kafka error code; as an error it has Kafka's name.
type Code int16

// The codes that this driver acts upon.
const (
	Unknown                    Code = -1
	OffsetOutOfRange           Code = 1
	CorruptMessage             Code = 2
	UnknownTopicOrPartition    Code = 3
	LeaderNotAvailable         Code = 5
	NotLeader                  Code = 6
	RequestTimedOut            Code = 7
	BrokerNotAvailable         Code = 8
	ReplicaNotAvailable        Code = 9
	MessageTooLarge            Code = 10
	OffsetMetadataTooLarge     Code = 12
	NetworkException           Code = 13
	CoordinatorLoading         Code = 14
	CoordinatorNotAvailable    Code = 15
	NotCoordinator             Code = 16
	InvalidTopic               Code = 17
	RecordListTooLarge         Code = 18
	NotEnoughReplicas          Code = 19
	NotEnoughReplicasAfter     Code = 20
	IllegalGeneration          Code = 22
	InconsistentGroupProtocol  Code = 23
	UnknownMember              Code = 25
	InvalidSessionTimeout      Code = 26
	RebalanceInProgress        Code = 27
	TopicAuthorizationFailed   Code = 29
	GroupAuthorizationFailed   Code = 30
	ClusterAuthorizationFailed Code = 31
	InvalidTimestamp           Code = 32
	UnsupportedSASLMechanism   Code = 33
	IllegalSASLState           Code = 34
	UnsupportedVersion         Code = 35
	TopicAlreadyExists         Code = 36
	InvalidPartitions          Code = 37
	InvalidReplicationFactor   Code = 38
	InvalidConfig              Code = 40
	NotController              Code = 41
	InvalidRequest             Code = 42
	PolicyViolation            Code = 44
	OutOfOrderSequence         Code = 45
	DuplicateSequence          Code = 46
	InvalidProducerEpoch       Code = 47
	InvalidTxnState            Code = 48
	InvalidProducerIDMapping   Code = 49
	InvalidTransactionTimeout  Code = 50
	ConcurrentTransactions     Code = 51
	TransactionCoordFenced     Code = 52
	TxnIDAuthorizationFailed   Code = 53
	OperationNotAttempted      Code = 55
	StorageError               Code = 56
	SASLAuthenticationFailed   Code = 58
	UnknownProducerID          Code = 59
	GroupIDNotFound            Code = 69
	FencedLeaderEpoch          Code = 74
	UnknownLeaderEpoch         Code = 75
	OffsetNotAvailable         Code = 78
	MemberIDRequired           Code = 79
	FencedInstanceID           Code = 82
	InvalidRecord              Code = 87
	UnstableOffsetCommit       Code = 88
	ThrottlingQuotaExceeded    Code = 89
	ProducerFenced             Code = 90
	UnknownTopicID             Code = 100
	InconsistentTopicID        Code = 103
	TransactionalIDNotFound    Code = 105
	TransactionAbortable       Code = 120
)

// CodeError returns the error of a code, nil for 0.
func CodeError(code int16) error {
	if code == 0 {
		return nil
	}
	return Code(code)
}

// Error is Kafka's name, the code, and what it means where the name is not enough.
func (e Code) Error() string {
	name, ok := codeNames[e]
	if !ok {
		return fmt.Sprintf("Kafka error %d", int16(e))
	}
	if text := codeTexts[e]; text != "" {
		return fmt.Sprintf("%s (%d): %s", name, int16(e), text)
	}
	return fmt.Sprintf("%s (%d)", name, int16(e))
}

// Is makes codes match the errors of the log contract.
func (e Code) Is(target error) bool {
	switch e {
	case UnknownTopicOrPartition, UnknownTopicID, InconsistentTopicID:
		return target == commitlog.ErrUnknownTopic
	case TopicAuthorizationFailed, GroupAuthorizationFailed, ClusterAuthorizationFailed, TxnIDAuthorizationFailed, SASLAuthenticationFailed:
		return target == commitlog.ErrDenied
	case MessageTooLarge, RecordListTooLarge:
		return target == commitlog.ErrTooLarge
	}
	return false
}

// Retriable reports whether the same request may succeed later, perhaps at
// another broker after a refresh of metadata or coordinator.
func (e Code) Retriable() bool {
	switch e {
	case CorruptMessage, UnknownTopicOrPartition, LeaderNotAvailable, NotLeader, RequestTimedOut, BrokerNotAvailable,
		ReplicaNotAvailable, NetworkException, CoordinatorLoading, CoordinatorNotAvailable, NotCoordinator,
		NotEnoughReplicas, NotEnoughReplicasAfter, NotController, ConcurrentTransactions, StorageError,
		FencedLeaderEpoch, UnknownLeaderEpoch, OffsetNotAvailable, UnstableOffsetCommit, ThrottlingQuotaExceeded,
		UnknownTopicID, InconsistentTopicID:
		return true
	}
	return false
}

// Moved reports whether the code says that the partition is elsewhere by now:
// refresh the topic's metadata, then ask again.
func (e Code) Moved() bool {
	switch e {
	case UnknownTopicOrPartition, LeaderNotAvailable, NotLeader, ReplicaNotAvailable, StorageError,
		FencedLeaderEpoch, UnknownLeaderEpoch, UnknownTopicID, InconsistentTopicID:
		return true
	}
	return false
}

// lasting reports whether err will be the same next time.
func lasting(err error) bool {
	var code Code
	if errors.As(err, &code) {
		return !code.Retriable()
	}
	var io *IOError
	if !errors.As(err, &io) {
		return true
	}
	return refusedLogin(err) || refusedCertificate(err) || refusesBroker(err)
}
