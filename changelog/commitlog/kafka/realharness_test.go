package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/commitlogtest"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// realHarness runs cases on a shared broker: each in a name space of its own,
// since cases use fixed names of topics, groups and writers.
type realHarness struct {
	brokers []string
	run     string

	mu    sync.Mutex
	cases int
}

func (h *realHarness) harness() commitlogtest.Harness {
	return commitlogtest.Harness{
		Open: func() (commitlog.Log, error) {
			h.mu.Lock()
			h.cases++
			prefix := fmt.Sprintf("%s-%d-", h.run, h.cases)
			h.mu.Unlock()
			return h.open(prefix)
		},
		Again: func(l commitlog.Log) (commitlog.Log, error) { return h.open(l.(*spaced).prefix) },
		Reopen: func(l commitlog.Log, crash bool) (commitlog.Log, error) {
			if crash {
				next, err := h.open(l.(*spaced).prefix)
				return next, errors.Join(err, l.Close())
			}
			if err := l.Close(); err != nil {
				return nil, err
			}
			return h.open(l.(*spaced).prefix)
		},
		Compact:    compactReal,
		Expire:     expireReal,
		MinSession: 6 * time.Second,
		Timeout:    2 * time.Minute,
		Missing: []commitlogtest.Feature{
			commitlogtest.FeatureSnapshot,      // each partition is fetched for itself
			commitlogtest.FeatureHolder,        // Kafka lets anybody append
			commitlogtest.FeaturePromptFencing, // local calls need no broker
			commitlogtest.FeatureServerRestart, // the broker is shared
		},
	}
}

func (h *realHarness) open(prefix string) (commitlog.Log, error) {
	l, err := Open(context.Background(), quiet(h.brokers...))
	if err != nil {
		return nil, err
	}
	return &spaced{Log: l, prefix: prefix}, nil
}

func (h *realHarness) removeTopics(t *testing.T) {
	ctx := context.Background()
	l, err := Open(ctx, quiet(h.brokers...))
	if err != nil {
		t.Error(err)
		return
	}
	defer l.Close()
	topics, err := l.Topics(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, topic := range topics {
		if strings.HasPrefix(topic.Name, h.run) {
			if err := l.DeleteTopic(ctx, topic.Name); err != nil {
				t.Error(err)
			}
		}
	}
}

// checksRetention reports whether the broker looks at retention often enough for
// a test. Kafka's default is every 5 minutes; brokers of kafkatest do each second.
func (h *realHarness) checksRetention(t *testing.T) bool {
	ctx := context.Background()
	l := openLog(t, quiet(h.brokers...))
	for _, node := range l.client.Nodes() {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, fmt.Sprint(node.ID)
		r.ConfigNames = []string{"log.retention.check.interval.ms"}
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = append(req.Resources, r)
		response, err := l.client.Call(ctx, node, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range response.(*kmsg.DescribeConfigsResponse).Resources {
			for _, c := range r.Configs {
				if c.Value == nil || number(*c.Value) > 10_000 {
					return false
				}
			}
		}
	}
	return true
}

// alter sets the configuration of a topic.
func alter(ctx context.Context, l *Log, topic string, settings map[string]string) error {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	for name, value := range settings {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = name, kmsg.StringPtr(value)
		r.Configs = append(r.Configs, c)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	node, err := l.client.Controller(ctx)
	if err != nil {
		return err
	}
	response, err := l.client.Call(ctx, node, req)
	if err != nil {
		return err
	}
	for _, r := range response.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if err := refused(r.ErrorCode, r.ErrorMessage, "alter "+topic, "ALTER_CONFIGS"); err != nil {
			return err
		}
	}
	return nil
}

// compactReal lets the real cleaner do it. It never touches the active segment,
// and a segment ends only when a record arrives after segment.ms; hence the
// fillers.
func compactReal(ctx context.Context, log commitlog.Log, topic string) error {
	s := log.(*spaced)
	name := s.prefix + topic
	if err := alter(ctx, s.Log, name, map[string]string{
		"segment.ms": "500", "min.cleanable.dirty.ratio": "0.001", "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "1000",
	}); err != nil {
		return err
	}
	info, err := s.client.TopicInfo(ctx, name)
	if err != nil {
		return err
	}
	w, err := s.Log.OpenWriter(ctx, s.prefix+"filler")
	if err != nil {
		return err
	}
	for {
		if err := w.Begin(); err != nil {
			return err
		}
		for p := range info.Partitions {
			b := &recordbatch.Builder{}
			b.Append(time.Now().UnixMilli(), []byte("filler"), []byte("x"), nil)
			if err := w.Append(commitlog.TopicPartition{Topic: name, Partition: p}, b); err != nil {
				return err
			}
		}
		if _, err := w.Commit(ctx); err != nil {
			return err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		clean, err := isClean(ctx, s.Log, partitionsOf(info))
		if err != nil || clean {
			return errors.Join(err, w.Close())
		}
	}
}

// isClean reports whether every key but the filler is there once.
func isClean(ctx context.Context, l *Log, tps []commitlog.TopicPartition) (bool, error) {
	settled, err := l.Settled(ctx, tps)
	if err != nil {
		return false, err
	}
	for tp, bounds := range settled {
		clean, seen := true, map[string]bool{}
		if _, err := l.scan(ctx, tp, bounds.Start, bounds.StableEnd, func(it *recordbatch.Iterator) {
			key := string(it.Key)
			clean = clean && (key == "filler" || !seen[key])
			seen[key] = true
		}); err != nil || !clean {
			return false, err
		}
	}
	return true, nil
}

// expireReal waits until the start has moved and then stands still: the broker
// looks every second (log.retention.check.interval.ms), and what it takes at once
// depends on how many segments have ended.
func expireReal(ctx context.Context, log commitlog.Log, topic string) error {
	const still = 3 * time.Second
	s := log.(*spaced)
	tp := commitlog.TopicPartition{Topic: s.prefix + topic}
	for start, since := int64(0), time.Now(); ; {
		found, err := s.Log.offsets(ctx, []commitlog.TopicPartition{tp}, logStart)
		if err != nil {
			return err
		}
		if at := found[tp][0]; at != start {
			start, since = at, time.Now()
		}
		if start > 0 && time.Since(since) > still {
			return nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%s keeps everything from %d on: %w", tp, start, err)
		}
	}
}
