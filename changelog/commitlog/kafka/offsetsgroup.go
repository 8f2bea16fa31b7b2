package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

const (
	// firstStable is the first version of OffsetFetch that can ask for stable
	// offsets. Older ones answer -1 for an offset that a transaction has pending,
	// which would start the group at the beginning.
	firstStable = 7
	// firstGroups asks for several groups at once, lastByName is the last that names
	// topics.
	firstGroups = 8
	lastByName  = 9
)

// GroupOffsets implements commitlog.Log. It asks for stable offsets: those that a
// transaction has pending are waited for, bounded by HangWait.
//
// It names all partitions of all topics instead of asking for whatever the group
// has: asked like that, Kafka leaves out a partition whose first offset is still
// pending, without a word, and a new owner would begin at the beginning.
func (l *Log) GroupOffsets(ctx context.Context, group string) (map[commitlog.TopicPartition]commitlog.GroupOffset, error) {
	if l.closed() {
		return nil, commitlog.ErrClosed
	}
	what := "offsets of group " + group
	topics, err := l.client.AllTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	started := l.cfg.Now()
	var offsets map[commitlog.TopicPartition]commitlog.GroupOffset
	patient := func(err error) bool {
		return !errors.Is(err, wire.UnstableOffsetCommit) || l.cfg.Now().Sub(started) < l.cfg.HangWait
	}
	err = l.atCoordinator(ctx, wire.GroupCoordinator, group, what, patient, func(node wire.Node) (err error) {
		offsets, err = l.askOffsets(ctx, node, group, topics)
		return err
	})
	if errors.Is(err, wire.UnstableOffsetCommit) {
		return nil, l.unstable(ctx, group, l.cfg.Now().Sub(started), err)
	}
	if err != nil {
		return nil, named(err, "DESCRIBE on group "+group)
	}
	return offsets, nil
}

func (l *Log) askOffsets(ctx context.Context, node wire.Node, group string, topics []wire.TopicInfo) (map[commitlog.TopicPartition]commitlog.GroupOffset, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	version, err := l.client.Version(req)
	if err != nil {
		return nil, err
	}
	if version < firstStable {
		return nil, fmt.Errorf("the broker offers OffsetFetch up to version %d; stable offsets need %d, which Kafka has from 2.5 on", version, firstStable)
	}
	req.RequireStable = true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{}
	for _, info := range topics {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = info.Name, numbered(info.Partitions)
		g.Topics = append(g.Topics, t)
		old := kmsg.NewOffsetFetchRequestTopic() // up to version 7
		old.Topic, old.Partitions = t.Topic, t.Partitions
		req.Topics = append(req.Topics, old)
	}
	req.Group = group
	req.Groups = append(req.Groups, g)
	response, err := l.client.CallAt(ctx, node, min(version, lastByName), req)
	if err != nil {
		return nil, err
	}
	return readGroupOffsets(response.(*kmsg.OffsetFetchResponse))
}

func numbered(n int32) []int32 {
	numbers := make([]int32, n)
	for i := range numbers {
		numbers[i] = int32(i)
	}
	return numbers
}

func readGroupOffsets(r *kmsg.OffsetFetchResponse) (map[commitlog.TopicPartition]commitlog.GroupOffset, error) {
	offsets := map[commitlog.TopicPartition]commitlog.GroupOffset{}
	add := func(topic string, partition int32, offset int64, metadata *string, code int16) error {
		if err := wire.CodeError(code); err != nil {
			return fmt.Errorf("offset of %s-%d: %w", topic, partition, err)
		}
		if offset >= 0 {
			g := commitlog.GroupOffset{Offset: offset}
			if metadata != nil {
				g.Metadata = *metadata
			}
			offsets[commitlog.TopicPartition{Topic: topic, Partition: partition}] = g
		}
		return nil
	}
	if err := wire.CodeError(r.ErrorCode); err != nil {
		return nil, err
	}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if err := add(t.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode); err != nil {
				return nil, err
			}
		}
	}
	for _, g := range r.Groups {
		if wire.Code(g.ErrorCode) == wire.GroupIDNotFound {
			continue // a new group
		}
		if err := wire.CodeError(g.ErrorCode); err != nil {
			return nil, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := add(t.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode); err != nil {
					return nil, err
				}
			}
		}
	}
	return offsets, nil
}

// unstable says why the offsets of a group stay pending.
func (l *Log) unstable(ctx context.Context, group string, waited time.Duration, cause error) error {
	waited = waited.Round(100 * time.Millisecond)
	info, err := l.client.TopicInfo(ctx, offsetsTopic)
	if err != nil {
		return fmt.Errorf("offsets of group %s are pending for %v: %w (%w)", group, waited, err, cause)
	}
	tp := commitlog.TopicPartition{Topic: offsetsTopic, Partition: groupPartition(group, info.Partitions)}
	hanging, err := l.hanging(ctx, tp)
	if err != nil {
		return fmt.Errorf("offsets of group %s are pending for %v: %w (%w)", group, waited, err, cause)
	}
	if hanging != nil {
		hanging.Waited = fmt.Sprintf("offsets of group %s are pending for %v", group, waited)
		return hanging
	}
	return fmt.Errorf("a transaction with offsets of group %s was not ended within %v; its writer lives, or has a transaction timeout above that: "+
		"find it with \"tidemill txn list\", or raise HangWait: %w", group, waited, cause)
}

// groupPartition is where Kafka keeps the offsets of a group: by the absolute
// value of Java's hash of the name, which for the smallest number is taken as 0.
func groupPartition(group string, partitions int32) int32 {
	var hash int32
	for _, unit := range utf16.Encode([]rune(group)) {
		hash = 31*hash + int32(unit)
	}
	if hash = max(hash, -hash); hash == math.MinInt32 {
		hash = 0
	}
	return hash % partitions
}
