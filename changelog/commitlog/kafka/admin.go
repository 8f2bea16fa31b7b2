package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// adminTimeoutMillis is how long a broker may take for an administrative request.
const adminTimeoutMillis = 15_000

// CreateTopic implements commitlog.Log. It returns when every partition has a
// leader that answers, because the first requests to a new topic are refused
// otherwise. Of an existing topic everything is compared that changes the meaning
// of its records; sizes that an operator tunes are not.
func (l *Log) CreateTopic(ctx context.Context, want commitlog.TopicConfig) error {
	if err := validateTopic(want); err != nil {
		return err
	}
	if l.closed() {
		return commitlog.ErrClosed
	}
	l.noteTopic(want)
	have, exists, err := l.describeTopic(ctx, want.Name)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", want.Name, err)
	}
	if exists {
		return l.compareTopics(have, want)
	}
	id, err := l.createTopic(ctx, want)
	if code, _ := codeOf(err); code == wire.TopicAlreadyExists {
		return l.compareWithRival(ctx, want)
	}
	if err != nil {
		return err
	}
	return l.awaitTopic(ctx, want, id)
}

// noteTopic remembers what Kafka cannot store about a topic.
func (l *Log) noteTopic(cfg commitlog.TopicConfig) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.noted[cfg.Name] = noted{internal: cfg.Internal, keepLatest: cfg.KeepLatest}
}

// compareWithRival is for a topic that came to be between our look and our
// request, which usually is another instance's doing.
func (l *Log) compareWithRival(ctx context.Context, want commitlog.TopicConfig) error {
	if err := l.awaitTopic(ctx, want, [16]byte{}); err != nil {
		return err
	}
	have, exists, err := l.describeTopic(ctx, want.Name)
	switch {
	case err != nil:
		return fmt.Errorf("create topic %s: %w", want.Name, err)
	case !exists:
		return fmt.Errorf("create topic %s: it existed for a moment and is gone; is another process deleting it?", want.Name)
	}
	return l.compareTopics(have, want)
}

func (l *Log) createTopic(ctx context.Context, want commitlog.TopicConfig) (id [16]byte, err error) {
	backoff := l.client.Backoff("create topic " + want.Name)
	settings := l.settings(want)
	for {
		topic, err := l.askCreateTopic(ctx, want, settings)
		if err == nil {
			return topic.TopicID, nil
		}
		if code, _ := codeOf(err); code == wire.InvalidConfig && strings.Contains(err.Error(), timestampAfterMax) && settings[timestampAfterMax] != "" {
			delete(settings, timestampAfterMax) // an older broker, which has no such limit
			continue
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return id, named(err, "CREATE on topic "+want.Name+" or on the cluster")
		}
		if err := l.client.Refresh(ctx); err != nil { // the controller may have moved
			return id, err
		}
	}
}

func (l *Log) askCreateTopic(ctx context.Context, want commitlog.TopicConfig, settings map[string]string) (*kmsg.CreateTopicsResponseTopic, error) {
	controller, err := l.client.Controller(ctx)
	if err != nil {
		return nil, err
	}
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = want.Name, want.Partitions, -1
	if l.cfg.ReplicationFactor > 0 {
		t.ReplicationFactor = l.cfg.ReplicationFactor
	}
	for key, value := range settings {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, kmsg.StringPtr(value)
		t.Configs = append(t.Configs, c)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = adminTimeoutMillis
	req.Topics = append(req.Topics, t)
	response, err := l.client.Call(ctx, controller, req)
	if err != nil {
		return nil, err
	}
	topics := response.(*kmsg.CreateTopicsResponse).Topics
	if len(topics) != 1 {
		return nil, fmt.Errorf("create topic %s: the broker answered for %d topics", want.Name, len(topics))
	}
	return &topics[0], refused(topics[0].ErrorCode, topics[0].ErrorMessage, "create topic "+want.Name, "CREATE on topic "+want.Name+" or on the cluster")
}

// awaitTopic waits until the metadata show the topic and all leaders answer for
// it. id tells a topic that was just deleted from its successor; zero means any.
func (l *Log) awaitTopic(ctx context.Context, want commitlog.TopicConfig, id [16]byte) error {
	backoff := l.client.Backoff("wait for the new topic " + want.Name)
	for {
		if err := l.client.Refresh(ctx, want.Name); err != nil {
			return err
		}
		info, err := l.client.TopicInfo(ctx, want.Name)
		if err == nil && (id == [16]byte{} || info.ID == id) {
			_, err := l.offsets(ctx, partitionsOf(info), logStart)
			return err
		}
		if err != nil && !errors.Is(err, commitlog.ErrUnknownTopic) {
			return err
		}
		if err := backoff.Wait(ctx, wire.UnknownTopicOrPartition); err != nil {
			return err
		}
	}
}

func partitionsOf(info wire.TopicInfo) []commitlog.TopicPartition {
	tps := make([]commitlog.TopicPartition, info.Partitions)
	for p := range tps {
		tps[p] = commitlog.TopicPartition{Topic: info.Name, Partition: int32(p)}
	}
	return tps
}

// DeleteTopic implements commitlog.Log. It returns when the metadata no longer
// show the topic. Group offsets of it stay until Kafka lets them expire; they
// belong to the topic's name.
func (l *Log) DeleteTopic(ctx context.Context, name string) error {
	if l.closed() {
		return commitlog.ErrClosed
	}
	backoff := l.client.Backoff("delete topic " + name)
	for asked := false; ; asked = true {
		err := l.askDeleteTopic(ctx, name)
		if errors.Is(err, commitlog.ErrUnknownTopic) {
			if asked { // the answer to an earlier attempt was lost
				break
			}
			return fmt.Errorf("delete topic %s: %w", name, err)
		}
		if err == nil {
			break
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return named(err, "DELETE on topic "+name)
		}
		if err := l.client.Refresh(ctx); err != nil {
			return err
		}
	}
	l.forgetTopic(name)
	for {
		if err := l.client.Refresh(ctx, name); err != nil {
			return err
		}
		if _, err := l.client.TopicInfo(ctx, name); errors.Is(err, commitlog.ErrUnknownTopic) {
			return nil
		}
		if err := backoff.Wait(ctx, wire.LeaderNotAvailable); err != nil {
			return err
		}
	}
}

func (l *Log) askDeleteTopic(ctx context.Context, name string) error {
	controller, err := l.client.Controller(ctx)
	if err != nil {
		return err
	}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = kmsg.StringPtr(name)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = adminTimeoutMillis
	req.TopicNames = []string{name} // up to version 5
	req.Topics = append(req.Topics, t)
	response, err := l.client.Call(ctx, controller, req)
	if err != nil {
		return err
	}
	for _, t := range response.(*kmsg.DeleteTopicsResponse).Topics {
		return refused(t.ErrorCode, t.ErrorMessage, "delete topic "+name, "DELETE on topic "+name)
	}
	return wire.Unknown
}

// forgetTopic drops what was cached of a topic's records.
func (l *Log) forgetTopic(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.noted, name)
	for tp := range l.mu.latest {
		if tp.Topic == name {
			delete(l.mu.latest, tp)
		}
	}
}

func validateTopic(cfg commitlog.TopicConfig) error {
	switch {
	case cfg.Name == "":
		return errors.New("a topic needs a name")
	case cfg.Partitions < 1:
		return fmt.Errorf("topic %s cannot have %d partitions: choose at least 1", cfg.Name, cfg.Partitions)
	case cfg.RetentionTime < 0 || cfg.RetentionBytes < 0 || cfg.SegmentBytes < 0:
		return fmt.Errorf("topic %s has a negative retention or segment size; 0 means no limit or the default", cfg.Name)
	}
	return nil
}
