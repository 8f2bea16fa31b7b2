package runtime

import (
	"encoding/json"
	"fmt"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// An App is what queries are asked of: query.Get(ctx, app, handle, key).
var _ query.Backend = (*App)(nil)

// App implements query.Backend: the name of the application.
func (a *App) App() string { return a.topology.App() }

// Handles implements query.Backend.
func (a *App) Handles() map[string]state.Handle { return a.topology.Handles() }

// Topics implements query.Backend.
func (a *App) Topics() []*topology.TopicDecl { return a.topology.Topics() }

// Partitions implements query.Backend.
func (a *App) Partitions(store string) int32 {
	i, ok := a.storeSub[store]
	if !ok {
		return 0
	}
	return a.partitions[a.subs[i].Sources[0].Name]
}

// PartitionOf implements query.Backend. A row lies in the partition of the input
// record that wrote it, so the partitioner is that of the sub-topology's sources.
func (a *App) PartitionOf(store string, key []byte) int32 {
	i, ok := a.storeSub[store]
	if !ok {
		return 0
	}
	if p, ok := a.topology.Handles()[store].KeySerde().(serde.Partitioned); ok {
		key = p.PartitionKey(key)
	}
	place, n := a.placement(a.subs[i].Sources[0])
	return place(key, n)
}

// Snapshot implements query.Backend.
func (a *App) Snapshot(store string, partition int32) (*query.View, error) {
	i, ok := a.storeSub[store]
	if !ok {
		return nil, fmt.Errorf("store %s is not part of %s", store, a.topology.App())
	}
	id := changelog.TaskID(a.subs[i].Name, partition)
	if a.statuses[id] == nil {
		return nil, fmt.Errorf("store %s has no partition %d", store, partition)
	}
	s := a.status(id)
	if s.State != worker.Running && !a.isMine(id) {
		return nil, fmt.Errorf("%w: task %s is not assigned to this process (instance %s); ask another one of the application",
			query.ErrNotActive, id, a.cfg.Instance)
	}
	if s.State != worker.Running {
		return nil, fmt.Errorf("%w: task %s is %s, %d changelog records replayed, %d to go", query.ErrNotActive, id, s.State, s.Restored, s.ToGo)
	}
	snapshot, err := s.Engine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", id, err)
	}
	v := &query.View{Snapshot: snapshot, ID: s.StoreIDs[store], Partition: partition, Position: s.Inputs, StreamTime: -1}
	for _, spec := range s.Stores {
		if spec.Name == store {
			v.Spec = spec
		}
	}
	if err := position(v, store); err != nil {
		snapshot.Close()
		return nil, fmt.Errorf("task %s: %w", id, err)
	}
	return v, nil
}

// position fills in what the snapshot itself says it reflects: the status may be
// of another commit.
func position(v *query.View, store string) error {
	p, ok, err := changelog.StoredPosition(v.Snapshot)
	if err != nil || !ok {
		return err
	}
	var clocks topology.Clocks
	if err := json.Unmarshal(p.Clocks, &clocks); err != nil {
		return fmt.Errorf("clocks of its position: %w", err)
	}
	v.Position, v.StreamTime, v.Horizon = p.Inputs, int64(p.StreamTime), clocks.Horizon(store)
	return nil
}

func topicPartition(topic string, partition int32) commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: topic, Partition: partition}
}
