package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Config is what a worker is made of. All fields but Tasks, Group, Hooks and
// DeadLetter are required.
type Config struct {
	App      string
	Log      commitlog.Log
	WriterID string
	// Tasks are run from the start. Others are attached and released later.
	Tasks []Assigned
	// Group is what gives out the tasks; nil if nobody does, and this worker has
	// them for good.
	Group Group
	// OpenEngine opens the store of a task; DropEngine removes it, so that the next
	// OpenEngine returns an empty one.
	OpenEngine func(task string) (state.Engine, error)
	DropEngine func(task string) error
	// LogID identifies the log; state that belongs to another log is dropped.
	LogID string

	CommitInterval time.Duration // time from the first uncommitted record to the commit
	CommitBytes    int           // uncommitted bytes that force a commit
	CacheBytes     int           // clean cache per store
	BufferBytes    int           // input held per partition before it is paused
	MaxRecordBytes int
	MaxIdle        time.Duration // how long an empty input may hold up the others
	FlushInterval  time.Duration // time between flushes of the stores, which bounds the replay after a crash

	Poison     Poison
	DeadLetter string // topic, with PoisonDeadLetter

	Placement func(*topology.TopicDecl) (place func(key []byte, n int32) int32, partitions int32)
	Now       func() time.Time
	// ThreadCPU is the CPU time of the calling thread, for CommitStats.CPU; nil
	// leaves that at 0.
	ThreadCPU func() time.Duration
	Logger    *slog.Logger
	Hooks     Hooks
}

// Group is this process's place in the group that gives out the tasks. It is
// called from the workers' goroutines.
type Group interface {
	// Membership is what a commit of group offsets shows.
	Membership() commitlog.Membership
	// Renewed waits for a newer membership than one that was refused, for a bounded
	// time. Its error says that there will be none.
	Renewed(ctx context.Context, refused commitlog.Membership) (commitlog.Membership, error)
}

// Assigned names one task of a worker.
type Assigned struct {
	Sub       topology.Sub
	Partition int32
}

// Poison says what happens to a record that causes an error.
type Poison uint8

const (
	// PoisonFail stops the worker with the error.
	PoisonFail Poison = iota
	// PoisonSkip leaves the record out and counts it.
	PoisonSkip
	// PoisonDeadLetter leaves it out and writes it to the dead-letter topic.
	PoisonDeadLetter
)

// Hooks observe a worker. They are called from its goroutine, Status also from
// those that prepare tasks, and must be quick; nil ones are not called.
type Hooks struct {
	// Status is called for each task after every change that others may see.
	Status func(Status)
	// Committed is called after every commit.
	Committed func(CommitStats)
	// Aborted is called for every transaction that was given up or failed.
	Aborted func()
	// Fetched is called for every poll that brought records, with its time.
	Fetched func(took time.Duration)
	// Poisoned is called for every record that was left out.
	Poisoned func(task, node, class string, origin processor.Origin)
}

// Status is what others may know of a task. Its values are never changed.
type Status struct {
	Task      string
	Sub       string
	Partition int32
	State     State
	Engine    state.Engine // for queries; nil before restoring has ended
	StoreIDs  map[string]uint16
	Stores    []state.Spec
	// Inputs and StableEnds are by topic: the next offset, of which everything before
	// is committed or no record, and the end of the log as far as it is known. Pending says that closed windows still wait to
	// be emitted.
	Inputs, StableEnds map[string]int64
	Pending            bool
	Restored, ToGo     int64 // changelog records replayed, and still to replay
	StreamTime         processor.Timestamp
	CommittedAt        time.Time
	CacheBytes         int
	Dropped            []topology.Counter
}

// Lag is the number of input records, as offsets, that are not committed yet.
func (s Status) Lag() (lag int64) {
	for topic, end := range s.StableEnds {
		lag += max(0, end-s.Inputs[topic])
	}
	return lag
}

// CommitStats describe one commit. Took is wall time, and the sum of BuildTook
// (emission, drain, encoding), LogTook (the transaction, fsync included) and
// ApplyTook (the store batches). CPU is what the worker's thread spent on it.
type CommitStats struct {
	Tasks                               int
	Records                             int64 // input offsets covered
	OutputRecords, ChangelogRecords     int64
	Took, BuildTook, LogTook, ApplyTook time.Duration
	CPU                                 time.Duration
}
