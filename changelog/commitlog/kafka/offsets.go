package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// spot is a place in a partition that ListOffsets can tell.
type spot struct {
	timestamp int64
	isolation int8
}

var (
	logStart      = spot{timestamp: -2}
	highWatermark = spot{timestamp: -1}               // everything appended, decided or not
	stableEnd     = spot{timestamp: -1, isolation: 1} // everything below it is decided
)

// offsets asks the leaders where the spots of the partitions are, in the order of
// spots. Partitions whose leader moves are asked for again. Its round trips are
// one for each broker, whatever the number of spots.
func (l *Log) offsets(ctx context.Context, tps []commitlog.TopicPartition, spots ...spot) (map[commitlog.TopicPartition][]int64, error) {
	found := make(map[commitlog.TopicPartition][]int64, len(tps))
	backoff := l.client.Backoff(fmt.Sprintf("list offsets of %s", describe(tps)))
	for {
		pending, err := l.offsetsRound(ctx, tps, spots, found)
		if err == nil {
			return found, nil
		}
		if l.closed() {
			return nil, commitlog.ErrClosed
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return nil, err
		}
		tps = pending
		if err := l.client.Refresh(ctx, topicsOf(tps)...); err != nil {
			return nil, err
		}
	}
}

// offsetsRound asks once. The first failure that may pass is returned with the
// partitions that are still to be asked for.
func (l *Log) offsetsRound(ctx context.Context, tps []commitlog.TopicPartition, spots []spot, found map[commitlog.TopicPartition][]int64) (pending []commitlog.TopicPartition, err error) {
	byLeader, err := l.byLeader(ctx, tps)
	if err != nil {
		return tps, err
	}
	var failed error
	for node, mine := range byLeader {
		reqs := make([]kmsg.Request, len(spots))
		for i, s := range spots {
			reqs[i] = listOffsets(mine, s)
		}
		responses, err := l.client.Pipeline(ctx, node, reqs)
		if err != nil {
			failed, pending = err, append(pending, mine...)
			continue
		}
		answers, err := readOffsets(responses)
		if err != nil {
			failed = err
		}
		for _, tp := range mine {
			if len(answers[tp]) == len(spots) {
				found[tp] = answers[tp]
				continue
			}
			pending = append(pending, tp)
			if failed == nil {
				failed = fmt.Errorf("%w: %s did not answer for %s", wire.Unknown, node, tp)
			}
		}
	}
	return pending, failed
}

func listOffsets(tps []commitlog.TopicPartition, s spot) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.IsolationLevel = s.isolation
	at := map[string]int{}
	for _, tp := range tps {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = tp.Partition, s.timestamp
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

// readOffsets collects the answers of one broker, in the order of the requests. A
// partition that one of them refuses is left short.
func readOffsets(responses []kmsg.Response) (map[commitlog.TopicPartition][]int64, error) {
	answers := map[commitlog.TopicPartition][]int64{}
	var failed error
	for i, r := range responses {
		for _, t := range r.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				tp := commitlog.TopicPartition{Topic: t.Topic, Partition: p.Partition}
				if err := wire.CodeError(p.ErrorCode); err != nil {
					failed = named(fmt.Errorf("offsets of %s: %w", tp, err), "DESCRIBE on topic "+t.Topic)
					continue
				}
				if len(answers[tp]) == i {
					answers[tp] = append(answers[tp], p.Offset)
				}
			}
		}
	}
	return answers, failed
}

// byLeader groups partitions by the broker that leads them.
func (l *Log) byLeader(ctx context.Context, tps []commitlog.TopicPartition) (map[wire.Node][]commitlog.TopicPartition, error) {
	if l.closed() {
		return nil, commitlog.ErrClosed
	}
	grouped := map[wire.Node][]commitlog.TopicPartition{}
	for _, tp := range tps {
		node, err := l.client.Leader(ctx, tp.Topic, tp.Partition)
		if err != nil {
			return nil, named(err, "DESCRIBE on topic "+tp.Topic)
		}
		grouped[node] = append(grouped[node], tp)
	}
	return grouped, nil
}

// describe names partitions for a message, the first few of many.
func describe(tps []commitlog.TopicPartition) string {
	switch len(tps) {
	case 0:
		return "no partitions"
	case 1:
		return tps[0].String()
	}
	return fmt.Sprintf("%s and %d more partitions", tps[0], len(tps)-1)
}

// Bounds implements commitlog.Log.
func (l *Log) Bounds(ctx context.Context, tp commitlog.TopicPartition) (commitlog.Bounds, error) {
	found, err := l.offsets(ctx, []commitlog.TopicPartition{tp}, logStart, stableEnd)
	if err != nil {
		return commitlog.Bounds{}, fmt.Errorf("bounds of %s: %w", tp, err)
	}
	return commitlog.Bounds{Start: found[tp][0], StableEnd: found[tp][1]}, nil
}

// Trim implements commitlog.Log. Kafka itself would also cut into a transaction
// that is not decided yet.
func (l *Log) Trim(ctx context.Context, tp commitlog.TopicPartition, before int64) error {
	bounds, err := l.Bounds(ctx, tp)
	if err != nil {
		return fmt.Errorf("trim %s: %w", tp, err)
	}
	if before > bounds.StableEnd || before < 0 {
		return fmt.Errorf("trim %s: %w", tp, &commitlog.OffsetOutOfRangeError{TopicPartition: tp, Offset: before, Bounds: bounds})
	}
	if before <= bounds.Start {
		return nil
	}
	backoff := l.client.Backoff(fmt.Sprintf("trim %s below offset %d", tp, before))
	for {
		err := l.deleteRecords(ctx, tp, before)
		if err == nil {
			return nil
		}
		// Deleting below an offset once more does no harm, so that also an answer
		// that was lost is asked for again.
		if err := backoff.Wait(ctx, err); err != nil {
			if code, _ := codeOf(err); code == wire.PolicyViolation {
				return fmt.Errorf("%w; only topics with cleanup.policy delete or compact,delete can be trimmed: %w", err, errors.ErrUnsupported)
			}
			return named(err, "DELETE on topic "+tp.Topic)
		}
		if err := l.client.Refresh(ctx, tp.Topic); err != nil {
			return err
		}
	}
}

func (l *Log) deleteRecords(ctx context.Context, tp commitlog.TopicPartition, before int64) error {
	leader, err := l.client.Leader(ctx, tp.Topic, tp.Partition)
	if err != nil {
		return err
	}
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = tp.Partition, before
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = tp.Topic
	t.Partitions = append(t.Partitions, p)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = adminTimeoutMillis
	req.Topics = append(req.Topics, t)
	response, err := l.client.Call(ctx, leader, req)
	if err != nil {
		return err
	}
	for _, t := range response.(*kmsg.DeleteRecordsResponse).Topics {
		for _, p := range t.Partitions {
			return wire.CodeError(p.ErrorCode)
		}
	}
	return wire.Unknown
}
