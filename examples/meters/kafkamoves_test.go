package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
)

// fed judges a fleet by what a feed has sent, instead of the sample.
func (f *fleet) fed(d *feed) {
	f.t.Helper()
	f.want = compute(f.t, d.end(), f.want.partitions)
	f.await("everything is processed", f.caughtUp)
	f.stop()
	f.judged()
}

// TestOnBrokerFrozen stops a process for longer than its session and its
// transactions last, so that another one has its tasks, and lets it go on. It must
// commit nothing of what it had in hand: it rejoins, or ends with an error.
//
//	TIDEMILL_FREEZES=20   default 2
func TestOnBrokerFrozen(t *testing.T) {
	addr := kafkatest.Address(t)
	k, seed := newKiller(t)
	f := newFleet(k, addr, "update")
	f.start("a")
	f.await("the topics are there", func() bool { return closed(f.nodes["a"].serving) })
	f.start("b")
	d := f.feed()
	f.settle()
	rejoined, ended := 0, 0
	for range environment(t, "TIDEMILL_FREEZES", 2) {
		frozen := f.nodes["b"]
		time.Sleep(time.Duration(k.random.IntN(300)) * time.Millisecond)
		if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		delete(f.nodes, "b")
		f.settle() // on a alone
		time.Sleep(fleetTransaction)
		if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		f.nodes["b"] = frozen
		if _, ok := f.thawed(frozen); ok {
			rejoined++
			continue
		}
		ended++
		err := frozen.cmd.Wait()
		if said := frozen.errors.String(); err == nil || !strings.Contains(said, "meters: ") {
			t.Errorf("the frozen process has ended with %v and said %q", err, said)
		}
		f.start("b")
		f.settle()
	}
	said := f.nodes["b"].errors.String()
	f.fed(d)
	t.Logf("frozen-kafka seed=%d acked=%d %v", seed, k.acked, k.found)
	t.Logf("%d times rejoined, %d times ended with an error", rejoined, ended)
	if rejoined > 0 && !strings.Contains(said, "starting over") {
		t.Errorf("a process that has lost its tasks does not say so: %q", said)
	}
}

// thawed waits until a process has its part again, or has ended.
func (f *fleet) thawed(p *process) (owners map[string]string, rejoined bool) {
	f.t.Helper()
	for deadline := time.Now().Add(settlePatience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if closed(p.read) {
			return nil, false
		}
		// What it says before it has noticed does not count.
		if owners, even := f.owners(); even && strings.Contains(p.errors.String(), "starting over") {
			return owners, true
		}
	}
	f.t.Fatalf("after %v a frozen process has neither rejoined nor ended: %+v\n%s", settlePatience, f.health(p), &p.errors)
	return nil, false
}

// Moves of the tasks of three processes, of which one is killed and another one
// added, again and again, under load.
//
//	TIDEMILL_MOVES=20   default 3
func TestOnBrokerMoves(t *testing.T) {
	addr := kafkatest.Address(t)
	k, seed := newKiller(t)
	k.want = &offline{partitions: 8}
	f := newFleet(k, addr, "update", "-partitions", "8")
	f.start("n0")
	f.await("the topics are there", func() bool { return closed(f.nodes["n0"].serving) })
	f.start("n1")
	f.start("n2")
	d := f.feed()
	p := f.pace()
	owners := f.settle()
	m := &moves{fleet: f, pace: p}
	for step := range int(environment(t, "TIDEMILL_MOVES", 3)) {
		alive := slices.Sorted(maps.Keys(f.nodes))
		victim := alive[k.random.IntN(len(alive))]
		owners = m.step("kill "+victim, owners, 0, func() {
			f.nodes[victim].kill()
			delete(f.nodes, victim)
		})
		name := fmt.Sprintf("n%d", step+3)
		owners = m.step("add "+name, owners, int(k.want.partitions)/3, func() { f.start(name) })
	}
	f.fed(d)
	t.Logf("moves-kafka seed=%d acked=%d %v", seed, k.acked, k.found)
	t.Logf("%d tasks moved away from processes that stayed, the least; longest pause of a task that stayed %v beyond what the load and the machine paused (commits every 100 ms included)",
		m.moved, m.longest.Round(time.Millisecond))
}

// moves checks what happens to the tasks of processes that stay.
type moves struct {
	*fleet
	pace    *pace
	moved   int
	longest time.Duration
}

// pauseAllowed is what a task that stays may pause, and commitEvery how often it
// commits anyway.
const (
	pauseAllowed = 200 * time.Millisecond
	commitsEvery = 100 * time.Millisecond
)

func (m *moves) step(what string, before map[string]string, fewest int, do func()) (after map[string]string) {
	m.t.Helper()
	// A task that has just moved has a pause behind it.
	settled, out := time.Now(), m.prefix+"meter-hourly-average"
	m.await("results come from every task", func() bool { return m.pace.flowing(out, m.want.partitions, settled) })
	m.pace.begin()
	do()
	after = m.settle()
	gaps, lag := m.pace.end()
	moved := 0
	for task, name := range before {
		if m.nodes[name] == nil {
			continue
		}
		if after[task] != name {
			moved++
			continue
		}
		partition := task[strings.LastIndex(task, "_")+1:]
		gap := gaps[m.prefix+"meter-hourly-average-"+partition] - gaps[m.prefix+"meter-readings-"+partition] - lag
		m.longest = max(m.longest, gap)
		if gap > pauseAllowed+commitsEvery {
			m.t.Errorf("%s: task %s stayed on %s and paused for %v beyond what the load (%v) and the machine (%v) did", what, task, name, gap,
				gaps[m.prefix+"meter-readings-"+partition], lag)
		}
	}
	if m.moved += moved; moved > fewest {
		m.t.Errorf("%s: %d tasks moved away from processes that stayed, %d would do: %v, then %v", what, moved, fewest, before, after)
	}
	return after
}
