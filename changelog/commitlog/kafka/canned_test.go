package kafka

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// canned makes a cluster answer fetches and offsets of partition 0 of topic "a"
// from a model log, whose batches no emulator would write.
type canned struct {
	mu  sync.Mutex
	log modelLog
	rng *rand.Rand
}

func cannedCluster(t testing.TB, log modelLog, seed uint64) *kfake.Cluster {
	cluster := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a"))
	c := &canned{log: log, rng: rand.New(rand.NewPCG(seed, 7))}
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return c.fetch(req.(*kmsg.FetchRequest)), nil, true
	})
	cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return c.offsets(req.(*kmsg.ListOffsetsRequest)), nil, true
	})
	return cluster
}

func (c *canned) fetch(req *kmsg.FetchRequest) kmsg.Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	response := req.ResponseKind().(*kmsg.FetchResponse)
	for _, t := range req.Topics {
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, c.partition(p))
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
}

func (c *canned) partition(p kmsg.FetchRequestTopicPartition) kmsg.FetchResponseTopicPartition {
	answer := kmsg.NewFetchResponseTopicPartition()
	answer.Partition = p.Partition
	answer.HighWatermark, answer.LastStableOffset = c.log.end, c.log.end
	answer.RecordBatches = []byte{}
	if p.FetchOffset > c.log.end || p.FetchOffset < 0 {
		answer.ErrorCode = 1
		return answer
	}
	if p.FetchOffset == c.log.end {
		return answer
	}
	var upTo int64
	answer.RecordBatches, upTo = c.log.reply(c.rng, p.FetchOffset)
	for _, a := range c.log.aborted {
		if a.last >= p.FetchOffset && a.first < upTo {
			answer.AbortedTransactions = append(answer.AbortedTransactions, abortedAt(a.producer, a.first)...)
		}
	}
	return answer
}

func (c *canned) offsets(req *kmsg.ListOffsetsRequest) kmsg.Response {
	response := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, t := range req.Topics {
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			answer := kmsg.NewListOffsetsResponseTopicPartition()
			answer.Partition = p.Partition
			if answer.Offset = 0; p.Timestamp == -1 {
				answer.Offset = c.log.end
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
}
