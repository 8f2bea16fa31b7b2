package streamtest

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/topology"
)

// topics are the topics of the topology.
type topics struct {
	declared map[string]*topology.TopicDecl
	// internal says that there are repartition topics.
	internal bool
	// ordered says that no task has several inputs. With several, records that
	// were not committed before a crash are taken by their times when they are
	// processed again, not in the order in which they were sent. Global tables
	// count as inputs: they are up to date when records are processed again.
	ordered bool
}

// createTopics creates the topics of the topology and those that belong to the
// application.
func createTopics(log commitlog.Log, t *topology.Topology, cfg Config) (topics, error) {
	out := topics{declared: map[string]*topology.TopicDecl{}, ordered: true}
	configs := []commitlog.TopicConfig{changelog.PositionsTopicConfig(t.App())}
	for _, decl := range t.Topics() {
		out.declared[decl.Name] = decl
		out.internal = out.internal || decl.Internal
		out.ordered = out.ordered && !decl.Global
		c := commitlog.TopicConfig{Name: decl.Name, Partitions: out.count(decl.Name), Internal: decl.Internal}
		if decl.Compact {
			c.Cleanup = commitlog.CleanupCompact
		}
		configs = append(configs, c)
	}
	for _, sub := range t.Subs() {
		out.ordered = out.ordered && len(sub.Sources) == 1
		for _, store := range sub.Stores {
			if err := changelog.CreateStoreTopic(context.Background(), log, t.App(), store, out.count(sub.Sources[0].Name)); err != nil {
				return out, fmt.Errorf("changelog of store %s: %w", store.Name, err)
			}
		}
	}
	if cfg.Poison == worker.PoisonDeadLetter && out.declared[cfg.DeadLetterTopic] == nil {
		configs = append(configs, commitlog.TopicConfig{Name: cfg.DeadLetterTopic, Partitions: 1})
	}
	for _, c := range configs {
		if err := log.CreateTopic(context.Background(), c); err != nil {
			return out, fmt.Errorf("create topic %s: %w", c.Name, err)
		}
	}
	return out, nil
}

// count is the number of partitions of a topic: one if it does not say.
func (t topics) count(name string) int32 {
	if decl := t.declared[name]; decl != nil {
		return max(decl.Partitions, 1)
	}
	return 1
}

func (t topics) placement(decl *topology.TopicDecl) (place func(key []byte, n int32) int32, partitions int32) {
	if decl.Partitioner != nil {
		return decl.Partitioner.Place, t.count(decl.Name)
	}
	return commitlog.Murmur2, t.count(decl.Name)
}
