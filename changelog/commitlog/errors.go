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
