package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// fetchByName is the last version of Fetch that names topics.
const fetchByName = 12

// fetchSpot is where to fetch, and how many bytes at most.
type fetchSpot struct {
	at      commitlog.TopicPartition
	topicID [16]byte // zero: the cluster has no topic ids
	from    int64
	limit   int32
}

// fetchAnswers is one reply.
type fetchAnswers map[answerKey]*kmsg.FetchResponseTopicPartition

// answerKey finds an answer: by name up to version 12, by id from 13 on.
type answerKey struct {
	topic     string
	id        [16]byte
	partition int32
}

// of returns the answer about a spot, nil if the broker forgot it.
func (f fetchAnswers) of(s fetchSpot) *kmsg.FetchResponseTopicPartition {
	if answer, ok := f[answerKey{id: s.topicID, partition: s.at.Partition}]; ok && s.topicID != [16]byte{} {
		return answer
	}
	return f[answerKey{topic: s.at.Topic, partition: s.at.Partition}]
}

// fetch sends one Fetch for each list of spots, in one write, reading committed.
// It goes by topic id where the topics have one: it then fails for a topic that
// was deleted and created anew, instead of reading the new one at an offset of the
// old.
func (l *Log) fetch(ctx context.Context, node wire.Node, waitMillis, limit int32, lists ...[]fetchSpot) ([]fetchAnswers, error) {
	reqs := make([]kmsg.Request, len(lists))
	byID := true
	for i, spots := range lists {
		reqs[i] = fetchRequest(spots, waitMillis, limit)
		for _, s := range spots {
			byID = byID && s.topicID != [16]byte{}
		}
	}
	responses, err := l.sendFetches(ctx, node, byID, reqs)
	if err != nil {
		return nil, err
	}
	answers := make([]fetchAnswers, len(responses))
	for i, r := range responses {
		response := r.(*kmsg.FetchResponse)
		if err := wire.CodeError(response.ErrorCode); err != nil {
			return nil, fmt.Errorf("fetch from %s: %w", node, err)
		}
		answers[i] = answersOf(response)
	}
	return answers, nil
}

func (l *Log) sendFetches(ctx context.Context, node wire.Node, byID bool, reqs []kmsg.Request) ([]kmsg.Response, error) {
	version, err := l.client.Version(reqs[0])
	if err != nil || byID || version <= fetchByName {
		return l.client.Pipeline(ctx, node, reqs)
	}
	responses := make([]kmsg.Response, len(reqs))
	for i, req := range reqs {
		if responses[i], err = l.client.CallAt(ctx, node, fetchByName, req); err != nil {
			return nil, err
		}
	}
	return responses, nil
}

// fetchRequest asks without a fetch session: sessions save bytes on the wire for
// hundreds of idle partitions, and cost state on both sides that a lost answer
// puts out of step.
func fetchRequest(spots []fetchSpot, waitMillis, limit int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = waitMillis, 1, limit, 1
	req.SessionID, req.SessionEpoch = 0, -1
	index := map[string]int{}
	for _, s := range spots {
		i, ok := index[s.at.Topic]
		if !ok {
			i = len(req.Topics)
			index[s.at.Topic] = i
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = s.at.Topic, s.topicID
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = s.at.Partition, s.from, s.limit, -1
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

func answersOf(response *kmsg.FetchResponse) fetchAnswers {
	answers := fetchAnswers{}
	for i := range response.Topics {
		t := &response.Topics[i]
		key := answerKey{topic: t.Topic, id: t.TopicID}
		if response.Version > fetchByName {
			key.topic = "" // a client-side name would only be a guess
		}
		for j := range t.Partitions {
			key.partition = t.Partitions[j].Partition
			answers[key] = &t.Partitions[j]
		}
	}
	return answers
}
