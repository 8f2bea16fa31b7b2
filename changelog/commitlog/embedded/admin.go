package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const (
	maxPartitions = 1 << 16
	maxTopicName  = 240 // a directory name with the id behind it is at most 255 long
	maxMetadata   = 4096
)

// CreateTopic implements commitlog.Log.
func (l *Log) CreateTopic(ctx context.Context, cfg commitlog.TopicConfig) error {
	if err := validateTopic(cfg); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("create topic %s: %w", cfg.Name, err)
	}
	l.admin.Lock()
	defer l.admin.Unlock()
	l.mu.Lock()
	existing, id, err := l.mu.state.topics[cfg.Name], l.mu.state.nextID, l.usableLocked()
	l.mu.Unlock()
	if existing != nil {
		return compareTopics(existing.config, cfg)
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", cfg.Name, err)
	}
	encoded, err := encodeCreateTopic(id, cfg)
	if err != nil {
		return err
	}
	e := &entry{kind: entryCreateTopic, topicID: id, config: cfg}
	return wrapf(l.change(ctx, e, encoded, nil), "create topic %s", cfg.Name)
}

// DeleteTopic implements commitlog.Log. The files are removed when the deletion
// is on disk; group offsets of the topic go with it.
func (l *Log) DeleteTopic(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	l.admin.Lock()
	defer l.admin.Unlock()
	l.mu.Lock()
	t, err := l.mu.state.topics[name], l.usableLocked()
	l.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("delete topic %s: %w", name, err)
	case t == nil:
		return fmt.Errorf("delete topic %s: %w", name, commitlog.ErrUnknownTopic)
	}
	e := &entry{kind: entryDeleteTopic, topicID: t.id}
	if err := l.change(ctx, e, encodeDeleteTopic(t.id), func() { t.gone = true }); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return l.removeTopicFiles(t)
}

func (l *Log) removeTopicFiles(t *topic) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	for _, p := range t.partitions {
		for _, s := range p.segments {
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	dir := topicDir(&l.opts, t)
	return wrapf(l.opts.FS.RemoveAll(dir), "topic %s is deleted, but its files in %s are not", t.config.Name, dir)
}

// change submits one administrative entry and waits for it; ordered runs under
// the order lock once the entry is in the journal.
func (l *Log) change(ctx context.Context, e *entry, encoded []byte, ordered func()) error {
	l.order.Lock()
	s, err := l.submitLocked(e, nil, encoded)
	if err == nil && ordered != nil {
		ordered()
	}
	l.order.Unlock()
	if err != nil {
		return err
	}
	// The next change must see the outcome of this one, so only a failed disk
	// ends the wait early.
	return l.await(context.WithoutCancel(ctx), s)
}

// Topic implements commitlog.Log.
func (l *Log) Topic(_ context.Context, name string) (commitlog.TopicConfig, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return commitlog.TopicConfig{}, commitlog.ErrClosed
	}
	t := l.mu.state.topics[name]
	if t == nil {
		return commitlog.TopicConfig{}, fmt.Errorf("%w: topic %s does not exist; create it first", commitlog.ErrUnknownTopic, name)
	}
	return t.config, nil
}

// Topics implements commitlog.Log.
func (l *Log) Topics(context.Context) ([]commitlog.TopicConfig, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, commitlog.ErrClosed
	}
	var configs []commitlog.TopicConfig
	for _, t := range l.mu.state.sortedTopics() {
		configs = append(configs, t.config)
	}
	return configs, nil
}

// Trim implements commitlog.Log. It is not offered yet.
func (l *Log) Trim(_ context.Context, tp commitlog.TopicPartition, _ int64) error {
	return fmt.Errorf("trim %s: %w", tp, errors.ErrUnsupported)
}

// Settled implements commitlog.Log: undecided is only what is on its way to the disk.
func (l *Log) Settled(ctx context.Context, tps []commitlog.TopicPartition) (map[commitlog.TopicPartition]commitlog.Bounds, error) {
	if err := l.settle(ctx); err != nil {
		return nil, fmt.Errorf("wait for the disk: %w", err)
	}
	all := make(map[commitlog.TopicPartition]commitlog.Bounds, len(tps))
	for _, tp := range tps {
		bounds, err := l.Bounds(ctx, tp)
		if err != nil {
			return nil, fmt.Errorf("bounds of %s: %w", tp, err)
		}
		all[tp] = bounds
	}
	return all, nil
}

// Bounds implements commitlog.Log.
func (l *Log) Bounds(_ context.Context, tp commitlog.TopicPartition) (commitlog.Bounds, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return commitlog.Bounds{}, commitlog.ErrClosed
	}
	p, err := l.mu.state.partition(tp)
	if err != nil {
		return commitlog.Bounds{}, err
	}
	return p.bounds(), nil
}

// GroupOffsets implements commitlog.Log.
func (l *Log) GroupOffsets(ctx context.Context, group string) (map[commitlog.TopicPartition]commitlog.GroupOffset, error) {
	if err := l.settle(ctx); err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", group, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, commitlog.ErrClosed
	}
	return maps.Clone(l.mu.state.groups[group]), nil
}

func validateTopic(cfg commitlog.TopicConfig) error {
	illegal := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-')
	}
	switch {
	case cfg.Name == "" || len(cfg.Name) > maxTopicName || cfg.Name == "." || cfg.Name == ".." || strings.ContainsFunc(cfg.Name, illegal):
		return fmt.Errorf("topic name %q is not allowed: use 1 to %d of the characters a-z A-Z 0-9 . _ -", cfg.Name, maxTopicName)
	case cfg.Partitions < 1 || cfg.Partitions > maxPartitions:
		return fmt.Errorf("topic %s cannot have %d partitions: choose 1 to %d", cfg.Name, cfg.Partitions, maxPartitions)
	case cfg.RetentionTime < 0 || cfg.RetentionBytes < 0 || cfg.SegmentBytes < 0:
		return fmt.Errorf("topic %s has a negative retention or segment size; 0 means no limit or the default", cfg.Name)
	}
	return nil
}

// compareTopics names what differs between the topic that is there and the one
// that is wanted.
func compareTopics(have, want commitlog.TopicConfig) error {
	var differences []string
	differ := func(what string, have, want any) {
		if have != want {
			differences = append(differences, fmt.Sprintf("%s: have %v, want %v", what, have, want))
		}
	}
	differ("partitions", have.Partitions, want.Partitions)
	differ("cleanup", have.Cleanup, want.Cleanup)
	differ("retention time", have.RetentionTime, want.RetentionTime)
	differ("retention bytes", have.RetentionBytes, want.RetentionBytes)
	differ("segment bytes", have.SegmentBytes, want.SegmentBytes)
	differ("internal", have.Internal, want.Internal)
	differ("keep latest", have.KeepLatest, want.KeepLatest)
	if differences == nil {
		return nil
	}
	return &commitlog.TopicMismatchError{Topic: have.Name, Differences: differences}
}
