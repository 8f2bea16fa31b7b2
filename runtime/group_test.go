package runtime_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/query"
)

// Processes come, go and crash under load. Whatever happens no tick is lost or
// counted twice, no more tasks move than have to, and those that stay are never
// paused. TIDEMILL_GROUP_SEEDS sets how many runs there are; default 2.
func TestGroupUnderLoad(t *testing.T) {
	for seed := range uint64(groupSeeds()) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { groupUnderLoad(t, seed) })
	}
}

func groupSeeds() int {
	if n, err := strconv.Atoi(os.Getenv("TIDEMILL_GROUP_SEEDS")); err == nil {
		return n
	}
	return 2
}

func groupUnderLoad(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t)
	c.start("n0")
	l := c.load(3 * time.Millisecond)
	owners := c.settle()
	names := 1
	for step := range 10 {
		for _, n := range c.nodes {
			n.pace.begin()
		}
		l.gap.Store(0)
		what, fewest := "", 0
		alive := slices.Sorted(maps.Keys(c.nodes))
		victim := alive[rng.IntN(len(alive))]
		switch {
		case len(alive) == 1 || len(alive) < 4 && rng.IntN(2) == 0:
			what = "start"
			c.start(fmt.Sprintf("n%d", names))
			names++
			fewest = tickPartitions / (len(alive) + 1)
		case rng.IntN(3) == 0:
			what = "stop " + victim
			c.nodes[victim].stop()
		default:
			what = "kill " + victim
			c.nodes[victim].kill()
		}
		after := c.settle()
		moved := 0
		for task, name := range owners {
			if c.nodes[name] != nil && after[task] != name {
				moved++
			}
		}
		if moved > fewest {
			t.Errorf("seed %d, step %d (%s): %d tasks moved away from a node that stayed, %d would do", seed, step, what, moved, fewest)
		}
		c.checkPace(step, what, owners, after, time.Duration(l.gap.Load()))
		owners = after
	}
	if err := c.wrong(l, l.end()); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
}

// The same without waiting in between: nodes come, go, freeze and come back while
// others are still about to join, release, restore or fence. Every seed is a run of
// its own; TIDEMILL_GROUP_SEEDS as above.
func TestGroupChaos(t *testing.T) {
	for seed := range uint64(groupSeeds()) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { groupChaos(t, seed) })
	}
}

func groupChaos(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := newCluster(t)
	c.cfg.SessionTimeout, c.cfg.RebalanceTimeout = 150*time.Millisecond, 250*time.Millisecond
	c.start("n0")
	l := c.load(3 * time.Millisecond)
	var frozen []*node
	thaw := func() {
		for _, n := range frozen {
			n.log.gate.thaw()
			c.nodes[n.name] = n
		}
		frozen = nil
	}
	for range 25 {
		time.Sleep(time.Duration(rng.IntN(120)) * time.Millisecond)
		name := fmt.Sprintf("n%d", rng.IntN(5))
		n := c.nodes[name]
		switch what := rng.IntN(6); {
		case slices.ContainsFunc(frozen, func(n *node) bool { return n.name == name }):
			thaw()
		case n == nil:
			c.start(name)
		case what == 0:
			n.stop()
		case what <= 2:
			n.kill()
		case what == 3:
			n.freeze()
			delete(c.nodes, name)
			frozen = append(frozen, n)
		}
	}
	thaw()
	if len(c.nodes) == 0 {
		c.start("last")
	}
	c.settle()
	if err := c.wrong(l, l.end()); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
}

// checkPace checks that tasks which stayed were processed all the time. How long
// the load itself paused is the machine's fault.
func (c *cluster) checkPace(step int, what string, before, after map[string]string, stalled time.Duration) {
	c.t.Helper()
	for name, n := range c.nodes {
		gaps := n.pace.end()
		for i := range tickKeys {
			key := tickKey(i)
			task := fmt.Sprintf("ticking_%d", commitlog.Murmur2([]byte(key), tickPartitions))
			if before[task] != name || after[task] != name {
				continue
			}
			if gap := gaps[key]; gap > 200*time.Millisecond+stalled {
				c.t.Errorf("step %d (%s): node %s did not process %s for %v although task %s stayed there", step, what, name, key, gap, task)
			}
		}
	}
}

// A node that comes back within the session timeout has its tasks at once; nobody
// else notices.
func TestStaticRestart(t *testing.T) {
	c := newCluster(t)
	c.cfg.SessionTimeout = time.Minute
	c.start("a")
	c.start("b")
	l := c.load(3 * time.Millisecond)
	before := c.settle()
	for range 5 {
		c.nodes["b"].kill()
		began := time.Now()
		c.cfg.Workers = 3 - c.cfg.Workers // the writers of the other worker are left behind
		c.start("b")
		if after := c.settle(); !maps.Equal(before, after) {
			t.Errorf("tasks before the restart %v, after it %v", before, after)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the restart took %v", took)
		}
	}
	if err := c.wrong(l, l.end()); err != nil {
		t.Error(err)
	}
}

// A process that is frozen for so long that others have its tasks commits nothing
// when it goes on, and takes part again.
func TestFrozen(t *testing.T) {
	c := newCluster(t)
	c.start("a")
	frozen := c.start("b")
	l := c.load(3 * time.Millisecond)
	c.settle()
	for range 2 {
		frozen.freeze()
		delete(c.nodes, "b")
		c.settle()
		before := frozen.log.commits.Load()
		time.Sleep(20 * time.Millisecond)
		if n := frozen.log.commits.Load() - before; n != 0 {
			t.Fatalf("%d commits while frozen", n)
		}
		frozen.log.gate.thaw()
		c.nodes["b"] = frozen
		c.settle()
	}
	scrape(t, frozen.app).want(t, 200, `tidemill_restarts_total{reason="`)
	if err := c.wrong(l, l.end()); err != nil {
		t.Error(err)
	}
}

// What a dead process has open is ended before its tasks are read: a commit of its
// that comes late, for instance because its members' check was before it was
// removed, is refused. Without the fencing it would count everything twice.
func TestZombieCommit(t *testing.T) {
	for _, fencing := range []bool{true, false} {
		t.Run(fmt.Sprintf("fencing=%v", fencing), func(t *testing.T) {
			c := newCluster(t)
			// Its membership was checked before it died.
			dead := c.startOn("dead", &nodeLog{Log: c.log, noClaims: true, noMembership: true})
			l := c.load(3 * time.Millisecond)
			c.settle()
			time.Sleep(20 * time.Millisecond)
			dead.log.gate.kill()
			for dead.log.cutOff() == 0 {
				time.Sleep(time.Millisecond)
			}
			dead.kill()
			c.startOn("heir", &nodeLog{Log: c.log, noClaims: true, noFencing: !fencing})
			c.settle()
			time.Sleep(20 * time.Millisecond)
			for _, w := range dead.log.open {
				_, err := w.Commit(t.Context())
				if fencing && !errors.Is(err, commitlog.ErrFenced) {
					t.Errorf("late commit of a dead process: %v, want that it is fenced", err)
				}
			}
			if err := c.wrong(l, l.end()); (err == nil) != fencing {
				t.Errorf("fencing %v: %v", fencing, err)
			}
		})
	}
}

// A process that has lost its tasks without noticing is told by its commits, because
// they show its membership. Without that it would count everything twice.
func TestLostTasks(t *testing.T) {
	for _, shown := range []bool{true, false} {
		t.Run(fmt.Sprintf("membership=%v", shown), func(t *testing.T) {
			c := newCluster(t)
			log := &nodeLog{Log: c.log, noClaims: true, noMembership: !shown}
			deaf := c.startOn("dead", log)
			l := c.load(3 * time.Millisecond)
			c.settle()
			must(t, log.member.Close()) // its session ends, and nothing tells it
			delete(c.nodes, "dead")
			// Nobody fences either: fencing alone would do, too.
			heir := c.startOn("heir", &nodeLog{Log: c.log, noClaims: true, noFencing: true})
			if shown {
				for !strings.Contains(scrape(t, deaf.app).body, `tidemill_restarts_total{reason="not-member"}`) {
					time.Sleep(time.Millisecond)
				}
			} else {
				// The heir may notice on its own, by positions and offsets that differ.
				select {
				case err := <-heir.ended:
					heir.ended <- nil
					t.Logf("noticed: %v", err)
					return
				case <-time.After(time.Second):
				}
			}
			log.gate.kill()
			<-deaf.ended
			c.settle() // it may have come back before
			if err := c.wrong(l, l.end()); (err == nil) != shown {
				t.Errorf("membership shown: %v: %v", shown, err)
			}
		})
	}
}

// A query for a task that runs elsewhere says so.
func TestQueryOfAnotherNode(t *testing.T) {
	c := newCluster(t)
	a, b := c.start("a"), c.start("b")
	owners := c.settle()
	for p := range int32(tickPartitions) {
		owner, other := a, b
		if owners[fmt.Sprintf("ticking_%d", p)] == "b" {
			owner, other = b, a
		}
		v, err := owner.app.Snapshot("tick-count", p)
		must(t, err)
		must(t, v.Snapshot.Close())
		if _, err := other.app.Snapshot("tick-count", p); !errors.Is(err, query.ErrNotActive) {
			t.Errorf("partition %d on the other node: %v", p, err)
		}
	}
}
