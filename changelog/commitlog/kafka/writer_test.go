package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/faultproxy"
)

func oldVersions() *kversion.Versions { return kversion.V3_8_0() }

// protocols runs a test with both transaction protocols.
func protocols(t *testing.T, test func(t *testing.T, v2 bool, opts ...kfake.Opt)) {
	t.Run("newer", func(t *testing.T) { test(t, true) })
	t.Run("older", func(t *testing.T) { test(t, false, oldProtocol()) })
}

func TestWriterCommitsAndAborts(t *testing.T) {
	protocols(t, func(t *testing.T, v2 bool, opts ...kfake.Opt) {
		b := fake(t, nil, opts...)
		a := b.topic("a", 2)
		w := b.writer("w")
		if w.v2 != v2 {
			t.Fatalf("newer protocol: %v, want %v", w.v2, v2)
		}
		epoch := w.Epoch()
		for i := range 3 {
			ranges, err := b.transaction(w, at(a, 0), fmt.Sprint(i), fmt.Sprint(i, "'"))
			if err != nil {
				t.Fatal(err)
			}
			// Two records and a marker each.
			if want := (commitlog.Range{Base: int64(3 * i), Next: int64(3*i + 2)}); ranges[at(a, 0)] != want || len(ranges) != 1 {
				t.Errorf("transaction %d: %v, want %v", i, ranges, want)
			}
		}
		if err := errors.Join(w.Begin(), w.Append(at(a, 0), records("dropped")), w.Abort()); err != nil {
			t.Fatal(err)
		}
		b.expect(at(a, 0), "0", "0'", "1", "1'", "2", "2'")
		if grown := w.Epoch() > epoch; grown != v2 {
			t.Errorf("the epoch grew with the transactions: %v", grown)
		}
		if s := w.Stats(); s.Committed != 3 || s.Aborted != 1 || s.Commit <= 0 || s.Epoch != w.Epoch() {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestWriterManyBatches pipelines: many batches for few partitions, in requests
// of a megabyte, over several leaders that move.
func TestWriterManyBatches(t *testing.T) {
	protocols(t, func(t *testing.T, _ bool, opts ...kfake.Opt) {
		b := fake(t, nil, append(opts, kfake.NumBrokers(3))...)
		a := b.topic("a", 5)
		w := b.writer("w")
		want := map[int32][]string{}
		for round := range 4 {
			if err := w.Begin(); err != nil {
				t.Fatal(err)
			}
			for i := range 60 {
				p := int32(i % 5)
				values := []string{fmt.Sprintf("%d.%d", round, i), strings.Repeat("x", 50_000)}
				if err := w.Append(at(a, p), records(values...)); err != nil {
					t.Fatal(err)
				}
				want[p] = append(want[p], values...)
			}
			if round > 0 {
				b.cluster.ShufflePartitionLeaders()
			}
			if _, err := w.Commit(b.ctx); err != nil {
				t.Fatal(err)
			}
		}
		for p, values := range want {
			b.expect(at(a, p), values...)
		}
	})
}

func TestWriterExclusive(t *testing.T) {
	protocols(t, func(t *testing.T, _ bool, opts ...kfake.Opt) {
		b := fake(t, nil, opts...)
		log := at(b.topic("changelog", 1), 0)
		w, other := b.writer("w"), b.writer("other")
		if _, err := w.OpenExclusive(b.ctx, log); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := w.Begin(); err != nil {
				t.Fatal(err)
			}
			first, err := w.AppendExclusive(log, records("a", "b"))
			if err != nil {
				t.Fatal(err)
			}
			second, err := w.AppendExclusive(log, records("c"))
			if err != nil || first != int64(4*i) || second != first+2 {
				t.Fatalf("promised %d and %d, %v", first, second, err)
			}
			if ranges, err := w.Commit(b.ctx); err != nil || ranges[log] != (commitlog.Range{Base: first, Next: first + 3}) {
				t.Fatalf("%v, %v", ranges, err)
			}
		}
		if _, err := b.transaction(other, log, "intruder"); err != nil {
			t.Fatal(err)
		}
		if err := w.Begin(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.AppendExclusive(log, records("wrong place")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(b.ctx); err == nil || !strings.Contains(err.Error(), "somebody else appends") {
			t.Fatalf("a broken promise gave %v", err)
		}
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
		// The claim finds its place again.
		if err := w.Begin(); err != nil {
			t.Fatal(err)
		}
		base, err := w.AppendExclusive(log, records("right place"))
		if err != nil {
			t.Fatal(err)
		}
		if ranges, err := w.Commit(b.ctx); err != nil || ranges[log].Base != base {
			t.Fatalf("promised %d, %v, %v", base, ranges, err)
		}
		b.expect(log, "a", "b", "c", "a", "b", "c", "a", "b", "c", "intruder", "right place")
	})
}

// TestWriterRefusals: definite refusals are errors that name what to do, and leave
// nothing behind.
func TestWriterRefusals(t *testing.T) {
	refusals := map[string]struct {
		fault kfake.Fault
		want  error
	}{
		"denied":         {kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed}, commitlog.ErrDenied},
		"denied group":   {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.GroupAuthorizationFailed}, commitlog.ErrDenied},
		"too large":      {kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge}, commitlog.ErrTooLarge},
		"old generation": {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration}, commitlog.ErrStaleGeneration},
		"rebalance":      {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RebalanceInProgress}, commitlog.ErrStaleGeneration},
		"no member":      {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.UnknownMemberID}, commitlog.ErrNotMember},
		"replaced":       {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.FencedInstanceID}, commitlog.ErrNotMember},
		"timed out":      {kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidProducerEpoch}, commitlog.ErrUnknownOutcome},
		"abortable":      {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.TransactionAbortable}, commitlog.ErrUnknownOutcome},
	}
	protocols(t, func(t *testing.T, _ bool, opts ...kfake.Opt) {
		b := fake(t, nil, opts...)
		a := b.topic("a", 2)
		w := b.writer("w")
		var want []string
		for name, c := range refusals {
			h := b.cluster.Fault(c.fault)
			err := errors.Join(w.Begin(), w.Append(at(a, 0), records(name)), w.Append(at(a, 1), records(name)),
				w.Offsets(b.name, commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{at(a, 0): {Offset: 99}}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(b.ctx); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
			if err := w.Abort(); err != nil {
				t.Errorf("%s: abort: %v", name, err)
			}
			h.Remove()
			if _, err := b.transaction(w, at(a, 0), "after "+name); err != nil {
				t.Fatalf("after %s: %v", name, err)
			}
			want = append(want, "after "+name)
		}
		b.expect(at(a, 0), want...)
		b.expect(at(a, 1))
		if offsets, err := b.log.GroupOffsets(b.ctx, b.name); err != nil || len(offsets) != 0 {
			t.Errorf("offsets of refused transactions: %v, %v", offsets, err)
		}
	})
}

// TestWriterResends: passing refusals are waited out with the same bytes.
func TestWriterResends(t *testing.T) {
	protocols(t, func(t *testing.T, _ bool, opts ...kfake.Opt) {
		for key, codes := range map[kmsg.Key][]*kerr.Error{
			kmsg.Produce: {kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.NotEnoughReplicas, kerr.ConcurrentTransactions,
				kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend},
			kmsg.TxnOffsetCommit: {kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RequestTimedOut, kerr.ConcurrentTransactions},
			kmsg.EndTxn:          {kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.ConcurrentTransactions},
			kmsg.InitProducerID:  {kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.ConcurrentTransactions},
		} {
			for _, code := range codes {
				b := fake(t, nil, opts...)
				a := b.topic("a", 2)
				b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: code, Count: 2, TopLevel: key == kmsg.EndTxn || key == kmsg.InitProducerID})
				w := b.writer("w")
				err := errors.Join(w.Begin(), w.Append(at(a, 0), records("x")), w.Append(at(a, 1), records("y")),
					w.Offsets(b.name, commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{at(a, 0): {Offset: 1}}))
				if err == nil {
					_, err = w.Commit(b.ctx)
				}
				if err != nil {
					t.Errorf("%s with %v: %v", key.Name(), code, err)
					continue
				}
				b.expect(at(a, 0), "x")
				b.expect(at(a, 1), "y")
			}
		}
	})
}

// TestWriterTooLargeNamesSizes: refused before it is sent.
func TestWriterTooLargeNamesSizes(t *testing.T) {
	var produced atomic.Int64
	b := fake(t, func(r kmsg.Request) faultproxy.Verdict {
		if _, ok := r.(*kmsg.ProduceRequest); ok {
			produced.Add(1)
		}
		return faultproxy.Verdict{}
	})
	a := b.topic("a", 1)
	w := b.writer("w")
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	err := w.Append(at(a, 0), records(strings.Repeat("x", 2<<20)))
	if !errors.Is(err, commitlog.ErrTooLarge) || !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), "1048588") || !strings.Contains(err.Error(), "2097") {
		t.Errorf("got %v, want an error that names topic and sizes", err)
	}
	if produced.Load() > 0 {
		t.Error("it was sent")
	}
}

// TestWriterCancelled: a commit whose context ends is settled by Abort.
func TestWriterCancelled(t *testing.T) {
	protocols(t, func(t *testing.T, _ bool, opts ...kfake.Opt) {
		var slow atomic.Int32
		slow.Store(-1)
		b := fake(t, func(r kmsg.Request) faultproxy.Verdict {
			if r.Key() == int16(slow.Load()) {
				return faultproxy.Verdict{Delay: 300 * time.Millisecond}
			}
			return faultproxy.Verdict{}
		}, opts...)
		a := b.topic("a", 1)
		w := b.writer("w")
		for _, key := range []kmsg.Key{kmsg.Produce, kmsg.EndTxn} {
			slow.Store(int32(key))
			ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
			err := errors.Join(w.Begin(), w.Append(at(a, 0), records("slow "+key.Name())))
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Commit(ctx)
			cancel()
			if !errors.Is(err, commitlog.ErrUnknownOutcome) {
				t.Errorf("%s: got %v, want an unknown outcome", key.Name(), err)
			}
			if err := w.Begin(); err == nil {
				t.Error("a second transaction was begun in an unsettled one")
			}
			slow.Store(-1)
			if err := w.Abort(); err != nil {
				t.Fatal(err)
			}
			if _, err := b.transaction(w, at(a, 0), "after "+key.Name()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(400 * time.Millisecond) // what was slow has arrived by now, if it was not lost
		for _, v := range b.values(at(a, 0)) {
			if v == "slow Produce" {
				t.Error("an aborted record is visible")
			}
		}
	})
}
