package changelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
)

// CreateStoreTopic creates the changelog topic of a store, or checks the existing
// one. partitions is the number of the store's tasks.
//
// A topic that the store has chosen by name may have been made by another program.
// It is taken as it is if it has the partitions of the tasks and forgets no rows
// but by compaction. It is never trimmed, so it need not be trimmable.
func CreateStoreTopic(ctx context.Context, log commitlog.Log, app string, s state.Spec, partitions int32) error {
	if s.Changelog == "" {
		return log.CreateTopic(ctx, StoreTopicConfig(app, s.Name, partitions))
	}
	want := commitlog.TopicConfig{Name: s.Changelog, Partitions: partitions, Cleanup: commitlog.CleanupCompact,
		SegmentBytes: changelogSegmentBytes, Internal: true}
	have, err := log.Topic(ctx, s.Changelog)
	if errors.Is(err, commitlog.ErrUnknownTopic) {
		err = log.CreateTopic(ctx, want)
		var differs *commitlog.TopicMismatchError
		if !errors.As(err, &differs) {
			return err
		}
		have, err = log.Topic(ctx, s.Changelog) // somebody else was faster
	}
	if err != nil {
		return fmt.Errorf("changelog topic of store %s: %w", s.Name, err)
	}
	return adoptable(have, s, partitions)
}

// adoptable is an error for a topic that cannot be the changelog of a store.
func adoptable(have commitlog.TopicConfig, s state.Spec, partitions int32) error {
	if have.Partitions != partitions {
		return fmt.Errorf("topic %s, the changelog of store %s, has %d partitions, but the inputs of its tasks have %d: the rows of a task "+
			"would lie in another one's partition; use inputs with %d partitions, or a changelog topic of another name",
			have.Name, s.Name, have.Partitions, partitions, have.Partitions)
	}
	if have.Cleanup == commitlog.CleanupDelete {
		return fmt.Errorf("topic %s, the changelog of store %s, has the cleanup policy delete: rows that nobody writes would be forgotten; "+
			"set cleanup.policy=compact, or use a changelog topic of another name", have.Name, s.Name)
	}
	if have.Cleanup == commitlog.CleanupCompactDelete && (have.RetentionTime > 0 || have.RetentionBytes > 0) {
		return fmt.Errorf("topic %s, the changelog of store %s, is compacted and also has a retention: rows that nobody writes would be "+
			"forgotten; set cleanup.policy=compact, or use a changelog topic of another name", have.Name, s.Name)
	}
	return nil
}
