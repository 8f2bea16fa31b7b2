package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
)

// TestOnBrokerKill9 is TestKill9 on a real Kafka, with one process, and with three
// that share the work. What another client reads from the cluster, read_committed,
// must equal the offline result.
//
//	TIDEMILL_KILLS=300   kills, for one process and for three each; default 15
//	TIDEMILL_SEED=...    repeats a run
func TestOnBrokerKill9(t *testing.T) {
	addr := kafkatest.Address(t)
	for _, processes := range []int{1, 3} {
		t.Run(fmt.Sprintf("processes=%d", processes), func(t *testing.T) {
			k, seed := newKiller(t)
			kills := int(environment(t, "TIDEMILL_KILLS", 15))
			for round := 0; kills > 0 && !t.Failed(); round++ {
				n := min(kills, 5)
				kills -= n
				k.roundOnKafka(addr, []string{"update", "close", "commit"}[round%3], processes, n)
			}
			t.Logf("kill9-kafka seed=%d acked=%d %v", seed, k.acked, k.found)
			t.Logf("%d processes, %d kills; %d starts found an import half done", processes, k.kills, k.halfway)
		})
	}
}

// roundOnKafka kills n times, each time some process, and then lets all finish.
func (k *killer) roundOnKafka(addr, emit string, processes, n int) {
	f := newFleet(k, addr, emit)
	more := map[string][]string{"n0": {"-readings", "sample"}}
	for i := range processes {
		name := fmt.Sprintf("n%d", i)
		f.start(name, more[name]...)
	}
	for range n {
		name := fmt.Sprintf("n%d", k.random.IntN(processes))
		p := f.nodes[name]
		if k.random.IntN(4) > 0 { // else it may still be starting
			f.await("process "+name+" serves", func() bool { return closed(p.serving) })
			if p.resumed > 0 && p.resumed < 52_417 {
				k.halfway++
			}
		}
		time.Sleep(time.Duration(k.random.IntN(700)) * time.Millisecond)
		p.kill()
		k.kills++
		f.start(name, more[name]...)
	}
	f.finish()
}

// finish lets the import and the processing come to their ends, and compares.
func (f *fleet) finish() {
	f.t.Helper()
	f.await("everything is processed", func() bool { return closed(f.nodes["n0"].processed) && f.caughtUp() })
	f.stop()
	f.judged()
}

func closed[T any](c <-chan T) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestOnBrokerDown kills the broker itself, while it has transactions open, and
// starts it again. Kafka may then leave a transaction that nobody ends: the
// coordinator had answered that it was committed, and has forgotten its markers.
// That is recognised by name, ended by 'tidemill txn repair', and counted.
//
//	TIDEMILL_BROKER_KILLS=100   default 10
func TestOnBrokerDown(t *testing.T) {
	kafkatest.Address(t)
	k, seed := newKiller(t)
	program := buildTidemill(t)
	broker := kafkatest.Own(t, kafkatest.Options{})
	kills := int(environment(t, "TIDEMILL_BROKER_KILLS", 10))
	repaired := 0
	for round := 0; round < kills && !t.Failed(); round++ {
		f := newFleet(k, broker.Addr(), []string{"update", "close", "commit"}[round%3])
		processes := 1 + 2*(round%2)
		f.start("n0", "-readings", "sample")
		for i := 1; i < processes; i++ {
			f.start(fmt.Sprintf("n%d", i))
		}
		f.await("the import begins", func() bool { return closed(f.nodes["n0"].serving) })
		time.Sleep(time.Duration(k.random.IntN(1500)) * time.Millisecond)
		if err := broker.Kill(); err != nil {
			t.Fatal(err)
		}
		k.kills++
		if err := broker.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.recover(program)
		f.await("everything is processed", func() bool { return closed(f.nodes["n0"].processed) && f.caughtUp() })
		f.stop()
		f.repair(program) // results may hang too
		f.judged()
		repaired += f.repaired
		f.end()
	}
	t.Logf("kill9-kafka-broker seed=%d acked=%d %v hanging-repaired=%d", seed, k.acked, k.found, repaired)
	t.Logf("%d kills of the broker", k.kills)
}

// recover waits until everything is processed after the broker is back, and ends
// hanging transactions meanwhile. A process that has ended because of one is started
// again.
func (f *fleet) recover(program string) {
	f.t.Helper()
	looked := time.Now()
	for deadline := time.Now().Add(settlePatience); !closed(f.nodes["n0"].processed); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return // finish says what is wrong
		}
		for name, p := range f.nodes {
			if !closed(p.read) {
				continue
			}
			err := p.cmd.Wait()
			if !strings.Contains(p.errors.String(), " hangs at offset ") {
				f.t.Fatalf("process %s has ended: %v\n%s%s", name, err, &p.output, &p.errors)
			}
			f.repair(program)
			if name == "n0" {
				f.start(name, "-readings", "sample")
			} else {
				f.start(name)
			}
		}
		if time.Since(looked) > 10*time.Second {
			f.repair(program)
			looked = time.Now()
		}
	}
}

// repair ends the transactions that hang.
func (f *fleet) repair(program string) {
	f.t.Helper()
	if list := f.tidemill(program, "txn", "list", "--hanging", "-o", "json"); strings.TrimSpace(list) == "[]" {
		return
	}
	done := f.tidemill(program, "txn", "repair", "--yes", "-o", "json")
	f.t.Logf("hanging transactions: %s", done)
	f.repaired += strings.Count(done, `"done":true`)
}
