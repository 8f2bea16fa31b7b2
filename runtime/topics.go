package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/topology"
)

// prepareTopics finds out the partition count of every topic and creates those
// that are missing.
func (a *App) prepareTopics(ctx context.Context) error {
	for _, t := range a.topology.Topics() {
		n, err := a.prepareTopic(ctx, t)
		if err != nil {
			return fmt.Errorf("topic %s: %w", t.Name, err)
		}
		a.partitions[t.Name] = n
	}
	for _, s := range a.subs {
		n := a.partitions[s.Sources[0].Name]
		for _, source := range s.Sources[1:] {
			if m := a.partitions[source.Name]; m != n {
				return fmt.Errorf("topics %s and %s are processed together but have %d and %d partitions; give them the same number, "+
					"or insert Repartition", s.Sources[0].Name, source.Name, n, m)
			}
		}
		for _, spec := range s.Stores {
			if err := a.log.CreateTopic(ctx, changelog.StoreTopicConfig(a.topology.App(), spec.Name, n)); err != nil {
				return err
			}
		}
	}
	if err := a.log.CreateTopic(ctx, changelog.PositionsTopicConfig(a.topology.App())); err != nil {
		return err
	}
	if a.cfg.Poison == PoisonDeadLetter {
		return a.ensureDeadLetters(ctx)
	}
	return nil
}

func (a *App) ensureDeadLetters(ctx context.Context) error {
	_, err := a.log.Topic(ctx, a.cfg.DeadLetterTopic)
	if errors.Is(err, commitlog.ErrUnknownTopic) {
		err = a.log.CreateTopic(ctx, commitlog.TopicConfig{Name: a.cfg.DeadLetterTopic, Partitions: 1})
	}
	return err
}

func (a *App) prepareTopic(ctx context.Context, t *topology.TopicDecl) (partitions int32, err error) {
	have, err := a.log.Topic(ctx, t.Name)
	if err == nil {
		if t.Partitions != 0 && t.Partitions != have.Partitions {
			return 0, fmt.Errorf("it has %d partitions, the topology declares %d; keys would move between partitions: "+
				"declare %d, or use another topic", have.Partitions, t.Partitions, have.Partitions)
		}
		return have.Partitions, nil
	}
	if !errors.Is(err, commitlog.ErrUnknownTopic) {
		return 0, err
	}
	cfg := commitlog.TopicConfig{Name: t.Name, Partitions: t.Partitions, RetentionTime: t.Retention, Internal: t.Internal}
	if cfg.Partitions == 0 {
		cfg.Partitions = a.cfg.Partitions
	}
	if t.Compact {
		cfg.Cleanup = commitlog.CleanupCompact
	}
	return cfg.Partitions, a.log.CreateTopic(ctx, cfg)
}

// placement is the partitioner and partition count of a topic.
func (a *App) placement(t *topology.TopicDecl) (place func(key []byte, n int32) int32, partitions int32) {
	if t.Partitioner != nil {
		return t.Partitioner.Place, a.partitions[t.Name]
	}
	return commitlog.Murmur2, a.partitions[t.Name]
}

// shapeKey is the key of the record that holds the durable shape of the
// topology. A task id cannot begin with a tilde.
const shapeKey = "~shape"

// checkShape compares the topology with the one that the stored state was
// written by, and stores its shape.
func (a *App) checkShape(ctx context.Context) error {
	tp := commitlog.TopicPartition{Topic: changelog.PositionsTopic(a.topology.App())}
	record, ok, err := a.log.Latest(ctx, tp, []byte(shapeKey))
	if err != nil {
		return err
	}
	shape := a.topology.Shape()
	encoded, err := json.Marshal(shape)
	if err != nil {
		return err
	}
	if ok {
		if string(record.Value) == string(encoded) {
			return nil
		}
		var stored topology.Shape
		if err := json.Unmarshal(record.Value, &stored); err != nil {
			return fmt.Errorf("stored shape of %s: %w", a.topology.App(), err)
		}
		if diff := shape.Diff(stored); len(diff) > 0 {
			return &ShapeError{App: a.topology.App(), Differences: diff}
		}
	}
	return a.storeShape(ctx, tp, encoded)
}

func (a *App) storeShape(ctx context.Context, tp commitlog.TopicPartition, encoded []byte) error {
	w, err := a.log.OpenWriter(ctx, a.topology.App()+"-shape")
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Begin(); err != nil {
		return err
	}
	var b recordbatch.Builder
	b.Append(a.cfg.Now().UnixMilli(), []byte(shapeKey), encoded, nil)
	if err := w.Append(tp, &b); err != nil {
		return err
	}
	_, err = w.Commit(ctx)
	return err
}

// ShapeError says that the topology does not fit the stored state.
type ShapeError struct {
	App         string
	Differences []string
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("the topology of %s no longer fits its stored state: %s; undo the change, give the store a new name, "+
		"or start with an empty directory", e.App, strings.Join(e.Differences, "; "))
}
