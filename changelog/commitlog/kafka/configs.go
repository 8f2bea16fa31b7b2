package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Kafka's names of the settings that are made and compared.
const (
	cleanupPolicy     = "cleanup.policy"
	retentionTime     = "retention.ms"
	retentionBytes    = "retention.bytes"
	segmentBytes      = "segment.bytes"
	minInSync         = "min.insync.replicas"
	timestampType     = "message.timestamp.type"
	timestampAfterMax = "message.timestamp.after.max.ms"

	minSegmentBytes = 1 << 20 // what brokers accept from version 4 on
	describedAtOnce = 200     // topics in one DescribeConfigs
)

var settingNames = []string{cleanupPolicy, retentionTime, retentionBytes, segmentBytes, minInSync, timestampType, timestampAfterMax}

// noted is what was declared of a topic and Kafka cannot store.
type noted struct{ internal, keepLatest bool }

// settings are what a topic is created with. Event time may be ahead of the
// broker's clock by any amount: a window's end is, and so is a replayed forecast.
func (l *Log) settings(want commitlog.TopicConfig) map[string]string {
	s := map[string]string{
		cleanupPolicy:     want.Cleanup.String(),
		retentionTime:     "-1",
		retentionBytes:    "-1",
		timestampType:     "CreateTime",
		timestampAfterMax: strconv.FormatInt(math.MaxInt64, 10),
	}
	if want.RetentionTime > 0 {
		s[retentionTime] = strconv.FormatInt(max(want.RetentionTime.Milliseconds(), 1), 10)
	}
	if want.RetentionBytes > 0 {
		s[retentionBytes] = strconv.FormatInt(want.RetentionBytes, 10)
	}
	if want.SegmentBytes > 0 {
		s[segmentBytes] = strconv.FormatInt(min(max(want.SegmentBytes, minSegmentBytes), math.MaxInt32), 10)
	}
	if l.cfg.MinInSyncReplicas > 0 {
		s[minInSync] = strconv.Itoa(l.cfg.MinInSyncReplicas)
	}
	return s
}

// described is a topic as the cluster has it.
type described struct {
	name       string
	partitions int32
	settings   map[string]string // nil: not allowed to see them
}

// Topic implements commitlog.Log. Who may read a topic may not always see its
// settings; then only the name and the number of partitions are filled in.
func (l *Log) Topic(ctx context.Context, name string) (commitlog.TopicConfig, error) {
	d, exists, err := l.describeTopic(ctx, name)
	switch {
	case errors.Is(err, commitlog.ErrDenied) && exists:
		d.settings = nil
	case err != nil:
		return commitlog.TopicConfig{}, err
	case !exists:
		return commitlog.TopicConfig{}, fmt.Errorf("%w: topic %s does not exist; create it first, for example with "+
			"\"kafka-topics --bootstrap-server %s --create --topic %s --partitions N\"", commitlog.ErrUnknownTopic, name, l.cfg.Brokers[0], name)
	}
	return l.topicConfig(d), nil
}

// Topics implements commitlog.Log. Kafka's own topics are left out.
func (l *Log) Topics(ctx context.Context) ([]commitlog.TopicConfig, error) {
	if l.closed() {
		return nil, commitlog.ErrClosed
	}
	infos, err := l.client.AllTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	configs := make([]commitlog.TopicConfig, 0, len(infos))
	for part := range slices.Chunk(infos, describedAtOnce) {
		names := make([]string, len(part))
		for i, info := range part {
			names[i] = info.Name
		}
		settings, failed, err := l.describeConfigs(ctx, names)
		if err != nil {
			return nil, fmt.Errorf("list topics: %w", err)
		}
		for _, info := range part {
			switch err := failed[info.Name]; {
			case errors.Is(err, commitlog.ErrUnknownTopic):
				continue // deleted a moment ago
			case err != nil && !errors.Is(err, commitlog.ErrDenied):
				return nil, fmt.Errorf("list topics: %w", err)
			}
			configs = append(configs, l.topicConfig(described{info.Name, info.Partitions, settings[info.Name]}))
		}
	}
	return configs, nil
}

// describeTopic looks a topic up afresh.
func (l *Log) describeTopic(ctx context.Context, name string) (d described, exists bool, err error) {
	if l.closed() {
		return d, false, commitlog.ErrClosed
	}
	if err := l.client.Refresh(ctx, name); err != nil {
		return d, false, named(err, "DESCRIBE on topic "+name)
	}
	info, err := l.client.TopicInfo(ctx, name)
	if errors.Is(err, commitlog.ErrUnknownTopic) {
		return d, false, nil
	}
	if err != nil {
		return d, false, err
	}
	d = described{name: name, partitions: info.Partitions}
	settings, failed, err := l.describeConfigs(ctx, []string{name})
	if err == nil {
		err = failed[name]
	}
	if errors.Is(err, commitlog.ErrUnknownTopic) {
		return d, false, nil
	}
	d.settings = settings[name]
	return d, true, err
}

// describeConfigs asks for the settings of topics. What was refused is in failed,
// by topic.
func (l *Log) describeConfigs(ctx context.Context, names []string) (settings map[string]map[string]string, failed map[string]error, err error) {
	backoff := l.client.Backoff("describe the configuration of topics")
	for {
		var response *kmsg.DescribeConfigsResponse
		if response, err = l.askConfigs(ctx, names); err == nil {
			settings, failed = readConfigs(response)
			return settings, failed, nil
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return nil, nil, err
		}
	}
}

func (l *Log) askConfigs(ctx context.Context, names []string) (*kmsg.DescribeConfigsResponse, error) {
	node, err := l.client.Any(ctx)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, name, settingNames
		req.Resources = append(req.Resources, r)
	}
	response, err := l.client.Call(ctx, node, req)
	if err != nil {
		return nil, err
	}
	return response.(*kmsg.DescribeConfigsResponse), nil
}

func readConfigs(r *kmsg.DescribeConfigsResponse) (settings map[string]map[string]string, failed map[string]error) {
	settings, failed = map[string]map[string]string{}, map[string]error{}
	for _, resource := range r.Resources {
		name := resource.ResourceName
		if err := refused(resource.ErrorCode, resource.ErrorMessage, "describe the configuration of topic "+name, "DESCRIBE_CONFIGS on topic "+name); err != nil {
			failed[name] = err
			continue
		}
		values := map[string]string{}
		for _, c := range resource.Configs {
			if c.Value != nil {
				values[c.Name] = *c.Value
			}
		}
		settings[name] = values
	}
	return settings, failed
}

// topicConfig translates. Whether a topic is internal is known by its name, or
// because this process created it so.
func (l *Log) topicConfig(d described) commitlog.TopicConfig {
	l.mu.Lock()
	n := l.mu.noted[d.name]
	l.mu.Unlock()
	cfg := commitlog.TopicConfig{
		Name: d.name, Partitions: d.partitions, Cleanup: cleanupOf(d.settings[cleanupPolicy]),
		Internal:   n.internal || strings.HasSuffix(d.name, "-changelog") || strings.HasSuffix(d.name, "-registry") || isPositions(d.name),
		KeepLatest: n.keepLatest || isPositions(d.name),
	}
	if ms := number(d.settings[retentionTime]); ms > 0 {
		cfg.RetentionTime = time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	cfg.RetentionBytes = max(number(d.settings[retentionBytes]), 0)
	cfg.SegmentBytes = max(number(d.settings[segmentBytes]), 0)
	return cfg
}

func isPositions(name string) bool { return strings.HasSuffix(name, "-positions") }

func cleanupOf(policy string) commitlog.Cleanup {
	compact, remove := strings.Contains(policy, "compact"), strings.Contains(policy, "delete")
	switch {
	case compact && remove:
		return commitlog.CleanupCompactDelete
	case compact:
		return commitlog.CleanupCompact
	}
	return commitlog.CleanupDelete
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0 // not told
	}
	return n
}

// compareTopics names what differs in a way that changes which records are kept
// or accepted, each with how to mend it.
func (l *Log) compareTopics(have described, want commitlog.TopicConfig) error {
	var differences []string
	if have.partitions != want.Partitions {
		differences = append(differences, fmt.Sprintf("partitions: have %d, want %d (keys would move between partitions: delete the topic, or declare %d)",
			have.partitions, want.Partitions, have.partitions))
	}
	wanted := l.settings(want)
	compared := []string{cleanupPolicy}
	if want.Cleanup != commitlog.CleanupCompact {
		compared = append(compared, retentionTime, retentionBytes)
	}
	if want.Internal {
		compared = append(compared, timestampType, timestampAfterMax)
	}
	if l.cfg.MinInSyncReplicas > 0 {
		compared = append(compared, minInSync)
	}
	for _, name := range compared {
		value, told := have.settings[name]
		same := value == wanted[name] || name == cleanupPolicy && cleanupOf(value) == want.Cleanup
		if told && !same {
			differences = append(differences, fmt.Sprintf("%s: have %s, want %s (mend with: kafka-configs --bootstrap-server %s --entity-type topics --entity-name %s --alter --add-config '%s=[%s]')",
				name, value, wanted[name], l.cfg.Brokers[0], have.name, name, wanted[name]))
		}
	}
	if differences == nil {
		return nil
	}
	return &commitlog.TopicMismatchError{Topic: have.name, Differences: differences}
}
