package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/topology"
)

// prepareTopics finds out the partition count of every topic and creates those
// that are missing.
func (a *App) prepareTopics(ctx context.Context) error {
	if err := a.userTopics(ctx); err != nil {
		return err
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
			if err := changelog.CreateStoreTopic(ctx, a.log, a.topology.App(), spec, n); err != nil {
				return err
			}
		}
	}
	for _, c := range []commitlog.TopicConfig{changelog.PositionsTopicConfig(a.App()), changelog.RegistryTopicConfig(a.App())} {
		if err := a.log.CreateTopic(ctx, c); err != nil {
			return err
		}
	}
	if a.cfg.Poison == PoisonDeadLetter {
		return a.ensureDeadLetters(ctx)
	}
	return nil
}

// userTopics looks at every topic that the topology names, and says all at once
// what is wrong with them: one start of the program for each would be tiresome.
func (a *App) userTopics(ctx context.Context) error {
	var wrong *multierror.Error
	for _, t := range a.topology.Topics() {
		n, err := a.prepareTopic(ctx, t)
		if err != nil {
			wrong = multierror.Append(wrong, fmt.Errorf("topic %s: %w", t.Name, err))
			if !errors.Is(err, commitlog.ErrUnknownTopic) {
				break // the log does not answer, or refuses: more of it helps nobody
			}
		}
		a.partitions[t.Name] = n
	}
	if wrong != nil {
		wrong.ErrorFormat = lines
	}
	return wrong.ErrorOrNil()
}

// lines formats errors one a line, a single one on none of its own.
func lines(errs []error) string {
	if len(errs) == 1 {
		return errs[0].Error()
	}
	var b strings.Builder
	for _, err := range errs {
		b.WriteString("\n  " + err.Error())
	}
	return b.String()
}

func (a *App) ensureDeadLetters(ctx context.Context) error {
	_, err := a.log.Topic(ctx, a.cfg.DeadLetterTopic)
	if !errors.Is(err, commitlog.ErrUnknownTopic) {
		return err
	}
	cfg := commitlog.TopicConfig{Name: a.cfg.DeadLetterTopic, Partitions: 1}
	if err := a.mayCreate(cfg); err != nil {
		return fmt.Errorf("topic %s: %w", cfg.Name, err)
	}
	return a.log.CreateTopic(ctx, cfg)
}

// mayCreate refuses to create a topic of the user's on a cluster unless that is
// allowed: a misspelt name would become an empty topic that nobody fills.
func (a *App) mayCreate(cfg commitlog.TopicConfig) error {
	if a.cfg.Kafka == nil || a.cfg.CreateTopics {
		return nil
	}
	command := fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d",
		strings.Join(a.cfg.Kafka.Brokers, ","), cfg.Name, cfg.Partitions)
	if cfg.Cleanup == commitlog.CleanupCompact {
		command += " --config cleanup.policy=compact"
	}
	return fmt.Errorf("%w: it does not exist; create it with %q, or set Config.CreateTopics", commitlog.ErrUnknownTopic, command)
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
	if !t.Internal {
		if err := a.mayCreate(cfg); err != nil {
			return 0, err
		}
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

// checkShape compares the topology with the one that the stored state was
// written by, and stores its shape. Processes that start at once all write it.
func (a *App) checkShape(ctx context.Context) error {
	shape := a.topology.Shape()
	encoded, err := json.Marshal(shape)
	if err != nil {
		return err
	}
	check := func(old []byte) ([]byte, error) {
		if old == nil {
			return encoded, nil
		}
		if string(old) == string(encoded) {
			return nil, nil
		}
		var stored topology.Shape
		if err := json.Unmarshal(old, &stored); err != nil {
			return nil, fmt.Errorf("stored shape of %s: %w", a.topology.App(), err)
		}
		if diff := shape.Diff(stored); len(diff) > 0 {
			return nil, &ShapeError{App: a.topology.App(), Differences: diff}
		}
		return encoded, nil
	}
	old, err := a.registry.read(ctx, shapeKey)
	if err != nil {
		return err
	}
	if changed, err := check(old); changed == nil || err != nil {
		return err
	}
	return a.registry.update(ctx, shapeKey, check)
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
