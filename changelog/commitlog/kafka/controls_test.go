package kafka

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/faultproxy"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// A writer with one guard switched off must be caught; the same writer with the
// guard on passes the same faults. Otherwise the tests above would prove nothing.

// lateEnds lets every third EndTxn arrive 10 ms after its connection ended, and
// slows down what comes between the data and the end of the next transaction.
func lateEnds() func(kmsg.Request) faultproxy.Verdict {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, 2))
	return func(r kmsg.Request) faultproxy.Verdict {
		mu.Lock()
		defer mu.Unlock()
		switch kmsg.Key(r.Key()) {
		case kmsg.EndTxn:
			if rng.IntN(3) == 0 {
				return faultproxy.Verdict{Action: faultproxy.Late, Delay: 10 * time.Millisecond}
			}
		case kmsg.TxnOffsetCommit:
			return faultproxy.Verdict{Delay: 8 * time.Millisecond}
		}
		return faultproxy.Verdict{}
	}
}

func TestControlRepeatedEnd(t *testing.T) {
	run := func(off guards) error {
		r := newRedo(fake(t, lateEnds(), oldProtocol()), off)
		if err := r.run(0, 60); err != nil {
			return err
		}
		return r.check(60)
	}
	if err := run(guards{}); err != nil {
		t.Errorf("the writer: %v", err)
	}
	if err := run(guards{onceOnlyEnd: true}); err == nil {
		t.Error("a writer that repeats an end-transaction without an answer passes")
	} else {
		t.Log("caught:", err)
	}
}

// resequence gives the batches that are sent again the sequence after those that
// were sent, as a writer would that takes them for new.
func resequence(w *Writer, queues []*queue) {
	p := w.producer.Load()
	for _, q := range queues {
		for i := range q.waiting {
			parsed, _, err := recordbatch.Parse(q.waiting[i].raw)
			if err != nil {
				return
			}
			fresh := &recordbatch.Builder{}
			for it := parsed.Records(); it.Next(); {
				fresh.Append(it.Time, it.Key, it.Value, nil)
			}
			sequence := parsed.Producer.Sequence + parsed.Count
			q.waiting[i].raw = fresh.Seal(recordbatch.Producer{ID: p.id, Epoch: p.epoch, Sequence: sequence}, true)
		}
	}
}

func TestControlNewSequence(t *testing.T) {
	run := func(off guards) error {
		b := fake(t, nil)
		r := newRedo(b, off)
		b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 3})
		if err := r.run(0, 10); err != nil {
			return err
		}
		return r.check(10)
	}
	if err := run(guards{}); err != nil {
		t.Errorf("the writer: %v", err)
	}
	if err := run(guards{sameBytes: resequence}); err == nil {
		t.Error("a writer that sends again with a new sequence passes")
	} else {
		t.Log("caught:", err)
	}
}

func TestControlPlainBatches(t *testing.T) {
	run := func(t *testing.T, b *bench) {
		r := newRedo(b, guards{transactionalBit: true})
		err := r.run(0, 10)
		if err == nil {
			err = r.check(10)
		}
		if err == nil {
			t.Error("a writer without the transactional bit passes")
		} else {
			t.Log("caught:", err)
		}
	}
	t.Run("emulator", func(t *testing.T) { run(t, fake(t, nil)) })
	t.Run("broker", func(t *testing.T) { run(t, realKafka(t, nil)) })
}

// TestReplayedEndOlderProtocol is the reason for the newer protocol: an
// end-transaction that was answered and arrives once more commits the transaction
// that is open by then, and nothing a client does prevents it. The newer protocol
// passes the same faults.
func TestReplayedEndOlderProtocol(t *testing.T) {
	replay := func(r kmsg.Request) faultproxy.Verdict {
		switch kmsg.Key(r.Key()) {
		case kmsg.EndTxn:
			return faultproxy.Verdict{Action: faultproxy.Replay, Delay: 6 * time.Millisecond}
		case kmsg.TxnOffsetCommit:
			return faultproxy.Verdict{Delay: 8 * time.Millisecond}
		}
		return faultproxy.Verdict{}
	}
	run := func(opts ...kfake.Opt) error {
		r := newRedo(fake(t, replay, opts...), guards{})
		if err := r.run(0, 30); err != nil {
			return err
		}
		return r.check(30)
	}
	if err := run(); err != nil {
		t.Errorf("newer protocol: %v", err)
	}
	if err := run(oldProtocol()); err == nil {
		t.Error("older protocol: the emulator no longer shows the hole; the documentation says that there is one")
	} else {
		t.Log("older protocol, as expected:", err)
	}
}
