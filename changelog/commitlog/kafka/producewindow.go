package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

const (
	// requestBytes is where a produce request ends, unless its first batch alone is
	// larger. Brokers take 100 MiB by default; smaller ones are answered sooner.
	requestBytes = 1 << 20
	// windowRequests bounds what is encoded at a time for one leader.
	windowRequests = 8
	// maxInFlight batches of a partition can be recognised by the broker when they
	// come again.
	maxInFlight = 5
	// produceVersion is the newest of the older transaction protocol; with the newer
	// one the newest that the broker has is used.
	produceVersion = 11
	// produceTimeoutMillis is what the leader waits for its followers.
	produceTimeoutMillis = 10_000
)

// request is one produce request: at most one batch for each partition, which is
// all that a broker takes.
type request struct {
	parts []part
	size  int
}

type part struct {
	*queue
	batch
}

// window takes from the queues what may be under way at the same time: of a
// partition one batch until the first is acknowledged, then as many as the broker
// can recognise. Answers come in the order of the requests, and the batches of a
// partition lie in requests that follow each other.
//
// The first batch goes alone because it meets the passing refusals (the last
// transaction's markers are not written, the leader has moved). With the older
// protocol a partition without producer state takes any sequence as the first, so
// a second batch might get in before a refused first one.
func window(queues []*queue, pipelined bool) []request {
	depth, requests := 1, 1
	if pipelined {
		depth, requests = maxInFlight, windowRequests
	}
	taken := make([]int, len(queues))
	var out []request
	for len(out) < requests {
		var r request
		for i, q := range queues {
			allowed := depth
			if q.acked == 0 {
				allowed = 1
			}
			if taken[i] == min(allowed, len(q.waiting)) {
				continue
			}
			b := q.waiting[taken[i]]
			if len(r.parts) > 0 && r.size+len(b.raw) > requestBytes {
				continue
			}
			r.parts = append(r.parts, part{q, b})
			r.size += len(b.raw)
			taken[i]++
		}
		if len(r.parts) == 0 {
			break
		}
		out = append(out, r)
	}
	return out
}

func (w *Writer) exchange(ctx context.Context, leader wire.Node, requests []request) ([]*kmsg.ProduceResponse, error) {
	reqs := make([]kmsg.Request, len(requests))
	for i, r := range requests {
		reqs[i] = r.encode(w.id)
	}
	var resps []kmsg.Response
	var err error
	if w.v2 {
		resps, err = w.log.client.Pipeline(ctx, leader, reqs)
	} else {
		resps = make([]kmsg.Response, 1) // window gives the older protocol one request
		resps[0], err = w.log.client.CallAt(ctx, leader, produceVersion, reqs[0])
	}
	if err != nil {
		return nil, err
	}
	answers := make([]*kmsg.ProduceResponse, len(resps))
	for i := range resps {
		answers[i] = resps[i].(*kmsg.ProduceResponse)
	}
	return answers, nil
}

func (r request) encode(id string) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = &id, -1, produceTimeoutMillis
	at := map[string]int{}
	for _, p := range r.parts {
		i, ok := at[p.Topic]
		if !ok {
			i = len(req.Topics)
			at[p.Topic] = i
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = p.Topic, p.topicID // the version decides which is sent
			req.Topics = append(req.Topics, t)
		}
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = p.Partition, p.raw
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	return req
}

// take looks at the answers to a request. Accepted batches leave their queues. It
// returns the first error that cannot be mended, else one that can.
func (r request) take(resp *kmsg.ProduceResponse) error {
	type place struct {
		topic     string
		id        [16]byte
		partition int32
	}
	answers := map[place]*kmsg.ProduceResponseTopicPartition{}
	byID := resp.GetVersion() >= 13
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			at := place{topic: t.Topic, partition: t.Partitions[j].Partition}
			if byID {
				at.topic, at.id = "", t.TopicID
			}
			answers[at] = &t.Partitions[j]
		}
	}
	var refused error
	for _, p := range r.parts {
		at := place{topic: p.Topic, partition: p.Partition}
		if byID {
			at.topic, at.id = "", p.topicID
		}
		answer := answers[at]
		if answer == nil {
			return fmt.Errorf("append to %s: %w: the partition is not in the answer", p.TopicPartition, errDisorder)
		}
		if err := p.take(answer); err != nil && (refused == nil || resendable(refused)) {
			refused = err
		}
	}
	return refused
}

// take looks at the answer for one batch.
func (p part) take(answer *kmsg.ProduceResponseTopicPartition) error {
	q, what := p.queue, "append to "+p.TopicPartition.String()
	err := refused(answer.ErrorCode, answer.ErrorMessage, what, "WRITE on topic "+p.Topic)
	switch {
	case err == nil && q.failed != nil:
		return fmt.Errorf("%s: %w: a batch was accepted behind a refused one (%w)", what, errDisorder, q.failed)
	case err == nil:
		return q.accept(p.batch, answer.BaseOffset)
	case q.failed != nil && wire.Code(answer.ErrorCode) == wire.OutOfOrderSequence:
		return nil // it follows from the refusal before it: both are sent again
	case q.failed == nil:
		q.failed = err
	}
	if errors := len(answer.ErrorRecords); errors > 0 {
		err = fmt.Errorf("%w (%d records, the first is number %d of the batch)", err, errors, answer.ErrorRecords[0].RelativeOffset)
	}
	return err
}

// accept notes where the batch at the front has gone.
func (q *queue) accept(b batch, base int64) error {
	if base < q.got.Next || base < 0 {
		// An old duplicate has offset -1.
		return fmt.Errorf("append to %s: %w: offset %d after %d", q.TopicPartition, errDisorder, base, q.got.Next)
	}
	if b.promised != unpromised && base != b.promised {
		return fmt.Errorf("append to %s: the broker gave offset %d, AppendExclusive had promised %d; somebody else appends to the partition",
			q.TopicPartition, base, b.promised)
	}
	if q.got.Base < 0 {
		q.got.Base = base
	}
	q.got.Next = base + b.records
	q.waiting = q.waiting[1:]
	q.acked++
	return nil
}

// split cuts the sealed bytes of a builder into batches, and refuses those that
// the topic would refuse.
func (w *Writer) split(ctx context.Context, topic string, raw []byte, promised int64) ([]batch, error) {
	var batches []batch
	for len(raw) > 0 {
		b, rest, err := recordbatch.Parse(raw)
		if err != nil {
			return nil, err
		}
		if limit, known := w.limits[topic]; !known || len(b.Raw) > limit {
			if limit, err = w.askLimit(ctx, topic); err != nil {
				return nil, err
			}
			if len(b.Raw) > limit {
				return nil, fmt.Errorf("%w: a batch of %d records takes %d bytes, topic %s takes %d; raise its max.message.bytes",
					commitlog.ErrTooLarge, b.Count, len(b.Raw), topic, limit)
			}
		}
		// A broker takes batches that begin at 0 only; a sealed builder counts on.
		if _, err := recordbatch.Rebase(b.Raw, 0); err != nil {
			return nil, err
		}
		records := int64(b.LastOffsetDelta) + 1
		batches = append(batches, batch{raw: b.Raw, records: records, promised: promised})
		if promised != unpromised {
			promised += records
		}
		raw = rest
	}
	return batches, nil
}
