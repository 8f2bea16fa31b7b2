package query

import (
	"context"
	"errors"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Backend is what queries need from an application. The runtime's App is one;
// tests bring their own. All methods may be called from any goroutine.
type Backend interface {
	// App is the name of the application.
	App() string
	// Handles returns the handles of all declared stores, by name.
	Handles() map[string]state.Handle
	// Partitions is the number of partitions of a store.
	Partitions(store string) int32
	// PartitionOf places the encoded key of a store's row (for window stores: the
	// encoded inner key).
	PartitionOf(store string, key []byte) int32
	// Snapshot opens the committed view of one partition of a store. It fails with
	// an error that wraps ErrNotActive while the partition is being restored.
	Snapshot(store string, partition int32) (*View, error)
	// Health reports why the application is or is not ready.
	Health() Health
	// Log and Topics serve the topic endpoints.
	Log() commitlog.Log
	Topics() []*topology.TopicDecl
	// Produce appends records to a topic in one transaction and returns the
	// partition and offset of each.
	Produce(ctx context.Context, topic string, records []Produced) ([]commitlog.RecordID, error)
}

// Produced is a record to append: encoded key and value, nil being null. A nil
// Partition places the record by its key; a zero Time is the wall clock.
type Produced struct {
	Key, Value []byte
	Partition  *int32
	Time       time.Time
}

// ErrNotActive: the partition is not served here now, because it is restoring.
var ErrNotActive = errors.New("partition is not active")

// View is a consistent view of one partition of a store. Close it soon.
type View struct {
	state.Snapshot
	// Spec and ID say how rows are laid out (state.AppendRowKey and following).
	Spec state.Spec
	ID   uint16
	// Partition is the partition viewed; Position holds the next offset of each
	// input topic in that partition: what the answer reflects.
	Partition int32
	Position  map[string]int64
	// StreamTime is the stream time of the task, Horizon the start below which
	// window rows have expired and are to be hidden.
	StreamTime int64
	Horizon    int64
}

// Health is the readiness of an application.
type Health struct {
	Live   bool         `json:"live"`
	Ready  bool         `json:"ready"`
	Reason []string     `json:"reasons,omitempty"` // why it is not ready, or what is degraded
	Tasks  []TaskHealth `json:"tasks,omitempty"`
}

// TaskHealth is the state of one task.
type TaskHealth struct {
	Task     string  `json:"task"`
	State    string  `json:"state"`    // created, restoring, running, closed
	Restored int64   `json:"restored"` // changelog records replayed so far
	ToGo     int64   `json:"to_go"`    // changelog records still to replay
	Lag      int64   `json:"lag"`      // input records not yet processed and committed
	Seconds  float64 `json:"seconds_since_commit"`
}
