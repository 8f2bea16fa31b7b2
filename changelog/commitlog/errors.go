package commitlog

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrFenced: a newer holder of the writer identity exists. Give the tasks up.
	ErrFenced = errors.New("writer fenced: another process or worker has taken over this identity")
	// ErrUnknownOutcome: the commit may or may not be durable. Never retry it as
	// it is: open the writer anew, find out from the log, then redo.
	ErrUnknownOutcome = errors.New("outcome of the commit is unknown")
	// ErrUnknownTopic: there is no such topic or partition.
	ErrUnknownTopic = errors.New("unknown topic or partition")
	// ErrStaleGeneration: the group offsets of the transaction carry a generation
	// that the group has left behind in a rebalance. Nothing was committed and the
	// transaction is still open: join the new generation, then give Offsets again
	// with it and Commit, or Abort.
	ErrStaleGeneration = errors.New("the group has moved on to another generation")
	// ErrNotMember: the group does not know this member (any more). What it had
	// may have new owners: drop it without a commit, then join anew.
	ErrNotMember = errors.New("not a member of the group")
	// ErrDenied: the log refuses the operation for want of a permission.
	ErrDenied = errors.New("permission denied")
	// ErrUnreachable: the log's servers did not answer within the time to give up.
	ErrUnreachable = errors.New("the log cannot be reached")
	// ErrLowSpace: the disk is nearly full; nothing was written. Retry later.
	ErrLowSpace = errors.New("disk space is low, writes are refused until there is room")
	// ErrReadOnly: a write to the log's disk failed; reads go on, writes need a
	// restart after the disk has been looked at.
	ErrReadOnly = errors.New("the log refuses writes after a failed disk write")
	// ErrTooLarge: a record is larger than the log accepts.
	ErrTooLarge = errors.New("record too large")
	// ErrClosed: the log, reader or writer is closed.
	ErrClosed = errors.New("log is closed")
	// ErrCorrupt: stored bytes fail their checksum or make no sense.
	ErrCorrupt = errors.New("log data is damaged")
)

// OffsetOutOfRangeError reports a read position outside the log.
type OffsetOutOfRangeError struct {
	TopicPartition
	Offset int64
	Bounds Bounds
}

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d of %s is out of range: the log holds [%d, %d)",
		e.Offset, e.TopicPartition, e.Bounds.Start, e.Bounds.StableEnd)
}

// TopicMismatchError reports that a topic exists with another configuration.
type TopicMismatchError struct {
	Topic       string
	Differences []string // each "partitions: have 4, want 8"
}

func (e *TopicMismatchError) Error() string {
	return fmt.Sprintf("topic %s exists with another configuration (%s)", e.Topic, strings.Join(e.Differences, "; "))
}

// HangingTransactionError reports a transaction that no one will ever end: the
// stable end of the partition cannot pass its first offset until it is repaired.
type HangingTransactionError struct {
	TopicPartition
	FirstOffset int64
	ProducerID  int64
	Epoch       int16
	Waited      string // how long, and for what
}

func (e *HangingTransactionError) Error() string {
	return fmt.Sprintf("%s: a transaction of producer %d (epoch %d) hangs at offset %d, %s; list such transactions with "+
		"\"tidemill txn list\" and end them with \"tidemill txn repair\"", e.TopicPartition, e.ProducerID, e.Epoch, e.FirstOffset, e.Waited)
}
