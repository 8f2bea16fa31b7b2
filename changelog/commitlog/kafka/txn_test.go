package kafka

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

func TestTransactionsListsOpenOnes(t *testing.T) {
	b := fake(t, nil)
	listOpen(b)
}

func TestTransactionsListsOpenOnesReal(t *testing.T) { listOpen(realKafka(t, nil)) }

// listOpen: an open transaction is listed, is not taken for hanging, and is not
// repaired.
func listOpen(b *bench) {
	a := b.topic("a", 2)
	if open := b.openHere(); len(open) != 0 {
		b.Fatalf("nothing is open, listed %+v", open)
	}
	w := b.writer("w")
	err := errors.Join(w.Begin(), w.Append(at(a, 1), records("x")),
		w.Offsets(b.name, commitlog.Membership{Member: "nobody", Generation: 3}, map[commitlog.TopicPartition]commitlog.GroupOffset{at(a, 0): {Offset: 1}}))
	if err != nil {
		b.Fatal(err)
	}
	w.tx.started = true
	if err := errors.Join(w.enlist(b.ctx, w.tx), w.produce(b.ctx, w.tx)); err != nil {
		b.Fatal(err)
	}
	open := b.openHere()
	if len(open) != 1 {
		b.Fatalf("listed %+v, want one", open)
	}
	p := w.producer.Load()
	if o := open[0]; o.TopicPartition != at(a, 1) || o.ProducerID != p.id || o.Epoch != p.epoch || o.TransactionalID != w.id || o.State != "Ongoing" ||
		o.StartOffset != 0 || o.Age < 0 || o.Age > time.Minute || o.Hanging {
		b.Errorf("listed as %+v", o)
	}
	if h, err := b.log.hanging(b.ctx, at(a, 1)); h != nil || err != nil {
		b.Errorf("an open transaction is said to hang: %v, %v", h, err)
	}
	if _, err := b.log.Repair(b.ctx, open[0], false); !errors.Is(err, ErrNotHanging) {
		b.Errorf("repair of an open transaction gave %v", err)
	}
	if err := w.Abort(); err != nil {
		b.Fatal(err)
	}
	if _, err := b.log.Settled(b.ctx, []commitlog.TopicPartition{at(a, 1)}); err != nil {
		b.Fatal(err)
	}
	if open := b.openHere(); len(open) != 0 {
		b.Errorf("after the abort, listed %+v", open)
	}
}

// openHere lists the open transactions of this test.
func (b *bench) openHere() []Transaction {
	b.Helper()
	open, err := b.log.Transactions(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	var here []Transaction
	for _, o := range open {
		if strings.HasPrefix(o.Topic, b.name) {
			here = append(here, o)
		}
	}
	return here
}

// TestRepair makes transactions hang on a broker that does not verify, in each of
// the states that a repair decides from.
func TestRepair(t *testing.T) {
	broker := kafkatest.Own(t, kafkatest.Options{Properties: map[string]string{"transaction.partition.verification.enable": "false"}})
	b := onBroker(t, broker.Addr(), nil, false)
	for name, c := range map[string]struct {
		commit bool   // a transaction of the same epoch before
		again  bool   // the writer takes a new epoch: the coordinator forgets
		want   bool   // COMMIT
		reason string // of the plan
	}{
		"never known":               {again: true, reason: "no partition has a commit marker"},
		"committed":                 {commit: true, want: true, reason: "CompleteCommit"},
		"committed, then forgotten": {commit: true, again: true, want: true, reason: "has its commit marker"},
	} {
		t.Run(name, func(t *testing.T) {
			topic := b.topic(strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", ""), 2)
			w := b.writer(name)
			p := *w.producer.Load()
			if c.commit {
				if _, err := b.transaction(w, at(topic, 0), "sound"); err != nil {
					t.Fatal(err)
				}
				b.expect(at(topic, 0), "sound") // its marker is there
			}
			b.makeHang(w.id, at(topic, 1), p)
			if c.again {
				w = b.writer(name)
			}
			// What hangs must not become part of the writer's next transaction.
			var hangs *commitlog.HangingTransactionError
			if _, err := b.transaction(w, at(topic, 1), "after"); !errors.As(err, &hangs) || hangs.ProducerID != p.id {
				t.Fatalf("commit behind a hanging transaction gave %v", err)
			}
			if err := w.Abort(); err != nil {
				t.Fatal(err)
			}
			found, err := b.log.hanging(b.ctx, at(topic, 1))
			if err != nil || found == nil || found.FirstOffset != 0 || found.ProducerID != p.id {
				t.Fatalf("found %+v, %v", found, err)
			}
			open := b.openHere()
			if len(open) != 1 || !open[0].Hanging || open[0].TransactionalID != w.id {
				t.Fatalf("listed %+v", open)
			}
			for _, dry := range []bool{true, false} {
				plan, err := b.log.Repair(b.ctx, open[0], dry)
				if err != nil || plan.Commit != c.want || len(plan.Partitions) != 1 || !strings.Contains(plan.String(), c.reason) {
					t.Fatalf("plan %v, %v; want commit %v for %q", plan, err, c.want, c.reason)
				}
				if still := len(b.openHere()) == 1; still != dry {
					t.Fatalf("dry run %v, still hanging: %v", dry, still)
				}
			}
			if _, err := b.transaction(w, at(topic, 1), "after"); err != nil {
				t.Fatal(err)
			}
			if c.want {
				b.expect(at(topic, 1), "hanging", "after")
			} else {
				b.expect(at(topic, 1), "after")
			}
			if _, err := b.log.Repair(b.ctx, open[0], false); !errors.Is(err, ErrNotHanging) {
				t.Errorf("a second repair gave %v", err)
			}
		})
	}
}

// makeHang appends to a partition in the name of a producer without the
// coordinator's knowledge.
func (b *bench) makeHang(id string, tp commitlog.TopicPartition, p producer) {
	b.Helper()
	leader, err := b.log.client.Leader(b.ctx, tp.Topic, tp.Partition)
	if err != nil {
		b.Fatal(err)
	}
	builder := records("hanging")
	req := request{parts: []part{{queue: &queue{TopicPartition: tp},
		batch: batch{raw: builder.Seal(recordbatch.Producer{ID: p.id, Epoch: p.epoch}, true)}}}}.encode(id)
	resp, err := b.log.client.CallAt(b.ctx, leader, produceVersion, req)
	if err != nil {
		b.Fatal(err)
	}
	if err := wire.CodeError(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); err != nil {
		b.Fatal(err)
	}
}

func TestJavaHash(t *testing.T) {
	for s, want := range map[string]int32{"": 0, "a": 97, "hello": 99162322, "é😀": 233*961 + 0xd83d*31 + 0xde00} {
		if got := javaHash(s); got != want {
			t.Errorf("hash of %q is %d, want %d", s, got, want)
		}
	}
}
