package kafka

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/faultproxy"
)

// longEnv makes the fault tests run in their long form: 1,000 transactions.
const longEnv = "TIDEMILL_KAFKA_LONG"

func transactionsToRun() int64 {
	if os.Getenv(longEnv) != "" {
		return 1000
	}
	return 100
}

// transactional are the requests that a transaction is made of.
var transactional = []kmsg.Key{kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn}

// TestFaultAtEveryCall injects one fault at the n-th request of each kind, for
// every n until nothing is left to be injected.
func TestFaultAtEveryCall(t *testing.T) {
	protocols(t, func(t *testing.T, _ bool, opts ...kfake.Opt) {
		for _, key := range transactional {
			for _, action := range []faultproxy.Action{faultproxy.Drop, faultproxy.DropAnswer, faultproxy.Twice} {
				for n := int64(0); ; n++ {
					if injected := faultAt(t, key, action, n, opts); !injected {
						break
					}
				}
			}
		}
	})
}

func faultAt(t *testing.T, key kmsg.Key, action faultproxy.Action, n int64, opts []kfake.Opt) bool {
	t.Helper()
	var seen atomic.Int64
	b := fake(t, func(r kmsg.Request) faultproxy.Verdict {
		if r.Key() == int16(key) && seen.Add(1) == n+1 {
			return faultproxy.Verdict{Action: action}
		}
		return faultproxy.Verdict{}
	}, opts...)
	r := newRedo(b, guards{})
	err := r.run(0, 4)
	if err == nil {
		err = r.check(4)
	}
	if err != nil {
		t.Errorf("%s number %d, action %d: %v", key.Name(), n, action, err)
	}
	_ = b.log.Close()
	b.cluster.Close()
	return seen.Load() > n
}

// TestAppliedButErrored: the broker has done it and says that it timed out.
func TestAppliedButErrored(t *testing.T) {
	protocols(t, func(t *testing.T, _ bool, opts ...kfake.Opt) {
		for _, key := range []kmsg.Key{kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
			b := fake(t, nil, opts...)
			r := newRedo(b, guards{})
			var every atomic.Int64
			b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: kerr.RequestTimedOut, Count: -1, TopLevel: key == kmsg.EndTxn,
				When: func(kmsg.Request) bool { return every.Add(1)%3 == 0 }})
			if err := r.run(0, 12); err != nil {
				t.Errorf("%s: %v", key.Name(), err)
			} else if err := r.check(12); err != nil {
				t.Errorf("%s: %v", key.Name(), err)
			}
		}
	})
}

// chaos does to one in twenty transactional requests what networks do.
type chaos struct {
	mu     sync.Mutex
	rng    *rand.Rand
	replay bool // of EndTxn: only the newer protocol survives it
	counts map[string]int
}

func (c *chaos) decide(r kmsg.Request) faultproxy.Verdict {
	key := kmsg.Key(r.Key())
	if key != kmsg.Produce && key != kmsg.EndTxn && key != kmsg.TxnOffsetCommit {
		return faultproxy.Verdict{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	actions := []faultproxy.Action{faultproxy.Pass, faultproxy.Drop, faultproxy.DropAnswer, faultproxy.Twice, faultproxy.Late}
	if c.replay {
		actions = append(actions, faultproxy.Replay)
	}
	if c.rng.IntN(20) > 0 {
		return faultproxy.Verdict{}
	}
	action := actions[c.rng.IntN(len(actions))]
	c.counts[fmt.Sprint(key.Name(), " ", action)]++
	return faultproxy.Verdict{Action: action, Delay: time.Duration(c.rng.IntN(20)) * time.Millisecond}
}

func newChaos(t *testing.T, replay bool) *chaos {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TIDEMILL_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("seed %d (TIDEMILL_SEED)", seed)
	return &chaos{rng: rand.New(rand.NewPCG(seed, 0)), replay: replay, counts: map[string]int{}}
}

// TestProxyTransactions: under delays, losses and duplicates of produce and
// end-transaction requests no transaction is torn, lost, or visible after an
// abort. Requests that are answered and delivered again later are in it with the
// newer protocol only: with the older one such an end-transaction commits whatever
// transaction is open by then, and no client can prevent it.
func TestProxyTransactions(t *testing.T) {
	protocols(t, func(t *testing.T, v2 bool, opts ...kfake.Opt) {
		c := newChaos(t, v2)
		r := newRedo(fake(t, c.decide, opts...), guards{})
		n := transactionsToRun()
		r.runAndCheck(t, n)
		t.Logf("%d transactions, %d more refused, %d unknown outcomes, injected %v", n, r.refused, r.unknown, c.counts)
		if r.unknown == 0 {
			t.Error("nothing went wrong: the proxy does not do its work")
		}
	})
}

func TestProxyTransactionsReal(t *testing.T) {
	c := newChaos(t, true)
	r := newRedo(realKafka(t, c.decide), guards{})
	n := transactionsToRun()
	r.runAndCheck(t, n)
	t.Logf("%d transactions, %d more refused, %d unknown outcomes, injected %v", n, r.refused, r.unknown, c.counts)
}
