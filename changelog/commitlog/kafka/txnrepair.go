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

// markersVersion of WriteTxnMarkers.
const markersVersion = 2

// Plan is how a hanging transaction is to be ended, the same way on all its
// partitions: half of it committed would be a torn transaction.
type Plan struct {
	ProducerID int64
	Epoch      int16
	Commit     bool
	Reason     string
	Partitions []Transaction
}

// String tells an operator what will be done, and why.
func (p Plan) String() string {
	decision := "ABORT"
	if p.Commit {
		decision = "COMMIT"
	}
	places := make([]string, len(p.Partitions))
	for i, t := range p.Partitions {
		places[i] = fmt.Sprintf("%s from offset %d", t.TopicPartition, t.StartOffset)
	}
	return fmt.Sprintf("%s the transaction of producer %d (epoch %d) on %s: %s", decision, p.ProducerID, p.Epoch, strings.Join(places, ", "), p.Reason)
}

// ErrNotHanging: the transaction does not hang (any more). Whoever holds it will
// end it, or its coordinator when it times out.
var ErrNotHanging = errors.New("the transaction does not hang")

// Repair ends a hanging transaction on every partition where it hangs, by writing
// the markers that its coordinator forgot. With dryRun it only returns the plan.
// Needs the permission CLUSTER_ACTION (writing) and READ on all topics.
//
// The decision follows the coordinator's log, where it still has it: a writer that
// was told of its commit may have taken a new epoch since, and then the
// coordinator itself shows nothing. Otherwise what the coordinator remembers, then
// the markers on the partitions that got theirs. Without any of these the
// transaction is aborted: no part of it is visible anywhere, its group offsets
// included, and a redo is exact.
func (l *Log) Repair(ctx context.Context, t Transaction, dryRun bool) (Plan, error) {
	open, err := l.Transactions(ctx)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{ProducerID: t.ProducerID, Epoch: t.Epoch}
	for _, o := range open {
		if o.Hanging && o.ProducerID == t.ProducerID && o.Epoch == t.Epoch {
			plan.Partitions = append(plan.Partitions, o)
		}
	}
	if len(plan.Partitions) == 0 {
		return plan, fmt.Errorf("repair producer %d (epoch %d): %w", t.ProducerID, t.Epoch, ErrNotHanging)
	}
	if plan.Commit, plan.Reason, err = l.decide(ctx, plan.Partitions); err != nil {
		return plan, fmt.Errorf("repair producer %d (epoch %d): %w", t.ProducerID, t.Epoch, err)
	}
	if dryRun {
		return plan, nil
	}
	return plan, l.writeMarkers(ctx, plan)
}

// decide finds out how the transaction ended, and refuses to end it in two ways.
func (l *Log) decide(ctx context.Context, hanging []Transaction) (commit bool, reason string, err error) {
	for i, t := range hanging {
		c, r, err := l.decideOne(ctx, t)
		if err != nil {
			return false, "", err
		}
		if i > 0 && c != commit {
			return false, "", fmt.Errorf("%s: %s, but %s: %s; these are two transactions, end them by hand with kafka-transactions.sh",
				hanging[0].TopicPartition, reason, t.TopicPartition, r)
		}
		commit, reason = c, r
	}
	return commit, reason, nil
}

func (l *Log) decideOne(ctx context.Context, t Transaction) (commit bool, reason string, err error) {
	commit, known, err := l.recorded(ctx, t)
	if err != nil {
		return false, "", err
	}
	// The newer protocol gives the next epoch with the decision, the older keeps it.
	same := t.current == t.Epoch || l.newerTransactions() && t.current == t.Epoch+1
	switch {
	case known && commit:
		return true, "the coordinator's log has the decision to commit", nil
	case known:
		return false, "the coordinator's log has the decision to abort", nil
	case t.State == "CompleteCommit" && same:
		return true, "the coordinator says CompleteCommit", nil
	case t.State == "CompleteAbort" && same:
		return false, "the coordinator says CompleteAbort", nil
	}
	where, committed, err := l.findMarker(ctx, t)
	switch {
	case err != nil:
		return false, "", err
	case committed:
		return true, fmt.Sprintf("the coordinator has forgotten (%q), %s has its commit marker", t.State, where), nil
	}
	return false, fmt.Sprintf("the coordinator has forgotten (%q), and no partition has a commit marker of it", t.State), nil
}

// writeMarkers ends the transaction at the leaders of its partitions. Repeating it
// is harmless: a leader that has the marker sees no open transaction.
func (l *Log) writeMarkers(ctx context.Context, plan Plan) error {
	byLeader := map[wire.Node][]Transaction{}
	for _, t := range plan.Partitions {
		leader, err := l.client.Leader(ctx, t.Topic, t.Partition)
		if err != nil {
			return err
		}
		byLeader[leader] = append(byLeader[leader], t)
	}
	var failed error
	for leader, theirs := range byLeader {
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		for _, t := range theirs {
			m := kmsg.NewWriteTxnMarkersRequestMarker()
			m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = t.ProducerID, t.Epoch, plan.Commit, t.coordinatorEpoch
			topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			topic.Topic, topic.Partitions = t.Topic, []int32{t.Partition}
			m.Topics = append(m.Topics, topic)
			req.Markers = append(req.Markers, m)
		}
		failed = errors.Join(failed, l.writeMarkersTo(ctx, leader, req))
	}
	if failed != nil {
		return fmt.Errorf("not all markers are written, repair once more: %w", failed)
	}
	return nil
}

func (l *Log) writeMarkersTo(ctx context.Context, leader wire.Node, req *kmsg.WriteTxnMarkersRequest) error {
	version, err := l.client.Version(req)
	if err != nil {
		return err
	}
	resp, err := l.client.CallAt(ctx, leader, min(version, markersVersion), req)
	if err != nil {
		return err
	}
	var failed error
	for _, m := range resp.(*kmsg.WriteTxnMarkersResponse).Markers {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				tp := commitlog.TopicPartition{Topic: t.Topic, Partition: p.Partition}
				failed = errors.Join(failed, refused(p.ErrorCode, nil, "write the transaction marker to "+tp.String(), "CLUSTER_ACTION on the cluster"))
			}
		}
	}
	return failed
}
