package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// Versions of TxnOffsetCommit: the newer transaction protocol begins at 5.
const (
	offsetsVersion   = 4
	offsetsVersionV2 = 5
)

// commitOffsets puts the group offsets into the transaction, one group after the
// other.
func (w *Writer) commitOffsets(ctx context.Context, tx *transaction) error {
	for group, offsets := range tx.offsets {
		what := "commit offsets of group " + group
		err := w.log.atCoordinator(ctx, wire.GroupCoordinator, group, what, w.offsetsRepeatable, func(node wire.Node) error {
			return w.commitOffsetsOnce(ctx, node, group, offsets)
		})
		if err != nil {
			return named(err, "READ on group "+group)
		}
	}
	return nil
}

func (w *Writer) commitOffsetsOnce(ctx context.Context, node wire.Node, group string, offsets *groupOffsets) error {
	version := int16(offsetsVersion)
	if w.v2 {
		version = offsetsVersionV2
	}
	resp, err := w.log.client.CallAt(ctx, node, version, w.offsetsRequest(group, offsets))
	if err != nil {
		return err
	}
	var first error
	for _, t := range resp.(*kmsg.TxnOffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if err := membershipError(p.ErrorCode, group, t.Topic, offsets.as); err != nil && first == nil {
				first = fmt.Errorf("%s-%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return first
}

// membershipError makes an error of the group coordinator's verdict.
func membershipError(code int16, group, topic string, as commitlog.Membership) error {
	permission := "READ on group " + group
	if wire.Code(code) == wire.TopicAuthorizationFailed { // whoever commits a position must be allowed to read there
		permission = "READ on topic " + topic
	}
	err := refused(code, nil, "the group's coordinator", permission)
	switch wire.Code(code) {
	case wire.IllegalGeneration, wire.RebalanceInProgress:
		return fmt.Errorf("%w: generation %d of group %s: %w", commitlog.ErrStaleGeneration, as.Generation, group, err)
	case wire.UnknownMember, wire.FencedInstanceID:
		return fmt.Errorf("%w: member %q, instance %q, group %s: %w", commitlog.ErrNotMember, as.Member, as.Instance, group, err)
	}
	return err
}

func (w *Writer) offsetsRequest(group string, offsets *groupOffsets) *kmsg.TxnOffsetCommitRequest {
	p := w.producer.Load()
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = w.id, group, p.id, p.epoch
	// Generation 0 would be one; without a member there is none.
	req.Generation = -1
	if as := offsets.as; as != (commitlog.Membership{}) {
		req.Generation, req.MemberID = as.Generation, as.Member
		if as.Instance != "" { // without it a replaced member passes for an unknown one
			req.InstanceID = &as.Instance
		}
	}
	at := map[string]int{}
	for tp, offset := range offsets.offsets {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.LeaderEpoch, part.Metadata = tp.Partition, offset.Offset, -1, &offset.Metadata
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, part)
	}
	return req
}

// offsetsRepeatable: the same offsets once more change nothing, so an answer that
// promises better times later is enough.
func (w *Writer) offsetsRepeatable(err error) bool {
	code, ok := codeOf(err)
	return ok && code.Retriable()
}
