package runtime_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

const tickPartitions = 8

var (
	ticks = topology.Topic[string, int64]{Name: "ticks", Partitions: tickPartitions, Key: serde.String, Value: serde.Int64}
	// Every tick has exactly one count, so that the counts of a key must be 1, 2, 3
	// and so on: a lost tick leaves one out, a repeated one shows twice.
	tickCounts = topology.Topic[string, int64]{Name: "tick-counts", Partitions: tickPartitions, Key: serde.String, Value: serde.Int64}
	tickCount  = state.KeyValue("tick-count", serde.String, serde.Int64)
)

// cluster is several Apps in this process on one log.
type cluster struct {
	t     *testing.T
	log   commitlog.Log
	fs    vfs.FS
	cfg   runtime.Config // of all nodes, but for what makes them different
	nodes map[string]*node
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	l, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "log"})
	must(t, err)
	return newClusterOn(t, l)
}

// newClusterOn takes the log over.
func newClusterOn(t *testing.T, l commitlog.Log) *cluster {
	t.Helper()
	c := &cluster{t: t, log: l, fs: vfs.NewMem(), nodes: map[string]*node{}, cfg: runtime.Config{
		CommitInterval: 4 * time.Millisecond, SessionTimeout: 400 * time.Millisecond, RebalanceTimeout: 600 * time.Millisecond,
		Workers: 2, Logger: slog.New(slog.DiscardHandler),
	}}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
		must(t, l.Close())
	})
	return c
}

// node is one App with its view of the log.
type node struct {
	c      *cluster
	name   string
	app    *runtime.App
	log    *nodeLog
	cancel context.CancelFunc
	ended  chan error
	pace   *pace
}

// start starts an App as an instance, with the directory that it had before, if any.
func (c *cluster) start(name string) *node { return c.startOn(name, &nodeLog{Log: c.log}) }

// startOn starts it on a log of its own.
func (c *cluster) startOn(name string, log *nodeLog) *node {
	c.t.Helper()
	n := &node{c: c, name: name, log: log, ended: make(chan error, 1), pace: &pace{last: map[string]time.Time{}}}
	n.begin(c.cfg)
	c.nodes[name] = n
	return n
}

func (n *node) begin(cfg runtime.Config) {
	t := n.c.t
	t.Helper()
	cfg.Dir, cfg.FS, cfg.Instance, cfg.Log = n.name, n.c.fs, n.name, n.log
	b := topology.New("ticking")
	in := topology.Source(b, ticks).Filter(func(k string, _ int64) bool { n.pace.mark(k); return true })
	topology.Count(in.GroupByKey(), tickCount).ToStream().To(tickCounts)
	top, err := b.Build()
	must(t, err)
	n.app, err = runtime.New(t.Context(), top, cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.ended <- n.app.Run(ctx) }()
}

// stop ends an App in good order.
func (n *node) stop() {
	n.c.t.Helper()
	delete(n.c.nodes, n.name)
	n.cancel()
	if err := <-n.ended; err != nil {
		n.c.t.Errorf("node %s: %v", n.name, err)
	}
}

var errKilled = errors.New("the process was killed")

// kill ends an App as a crash would: from now on nothing that it does reaches the
// log, and it does not leave the group. Its transactions stay open.
func (n *node) kill() {
	n.c.t.Helper()
	delete(n.c.nodes, n.name)
	n.log.gate.kill()
	n.cancel() // one without tasks would not notice
	if err := <-n.ended; err != nil && !errors.Is(err, errKilled) {
		n.c.t.Errorf("killed node %s: %v", n.name, err)
	}
}

// tasks are the tasks that run on a node.
func (n *node) tasks() (ids []string) {
	for _, t := range n.app.Health().Tasks {
		if t.State == "running" {
			ids = append(ids, t.Task)
		}
	}
	return ids
}

// settle waits until all tasks run, spread evenly, each on one node.
func (c *cluster) settle() map[string]string {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		owners, even := map[string]string{}, true
		total := 0
		for name, n := range c.nodes {
			ids := n.tasks()
			total += len(ids)
			even = even && n.app.Health().Ready && len(ids) >= tickPartitions/len(c.nodes) && len(ids) <= (tickPartitions-1)/len(c.nodes)+1
			for _, id := range ids {
				owners[id] = name
			}
		}
		if even && total == tickPartitions && len(owners) == tickPartitions {
			return owners
		}
		if time.Now().After(deadline) {
			for name, n := range c.nodes {
				c.t.Logf("%s: %+v", name, n.app.Health())
			}
			c.t.Fatalf("the tasks do not settle: %v", owners)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
