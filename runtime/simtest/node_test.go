package simtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/pebbledb"
	"github.com/tidemill/tidemill/topology"
)

var (
	ctx   = context.Background()
	quiet = slog.New(slog.DiscardHandler)
)

// faults are what the controls break on purpose; the zero value breaks nothing.
type faults struct {
	lazy   *atomic.Bool // syncs do nothing while it is set; nil: never
	log    func(commitlog.Log) commitlog.Log
	engine func(state.Engine) state.Engine
}

func (f faults) wrapFS(fs vfs.FS) vfs.FS {
	if f.lazy == nil {
		return fs
	}
	return lazyFS{fs, f.lazy}
}

// syncs switches syncing off, if it is to be broken, or on again.
func (f faults) syncs(on bool) {
	if f.lazy != nil {
		f.lazy.Store(!on)
	}
}

// node is log, stores and workers on one disk, driven from one goroutine. The App
// serves for topics, producers and the face of queries; it does not run.
type node struct {
	app     *runtime.App
	log     *embedded.Log
	workers []*worker.Worker
	engines map[string]state.Engine
	shared  *pebbledb.Shared
	status  map[string]worker.Status
	now     time.Time
	rebuilt int
}

// nodeOptions are drawn anew for each life: none of them may make a difference.
type nodeOptions struct {
	workers    int
	cacheBytes int
	journal    int64
	flushEvery time.Duration
}

func openNode(fs vfs.FS, top *topology.Topology, o nodeOptions, f faults) (_ *node, err error) {
	n := &node{engines: map[string]state.Engine{}, status: map[string]worker.Status{}, now: time.Unix(0, 0).UTC()}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.kill())
		}
	}()
	n.log, err = embedded.Open(embedded.Options{FS: fs, Dir: "node/log", JournalBytes: o.journal, SegmentBytes: o.journal,
		TailBytes: 2 * o.journal, Now: epoch, Logger: quiet})
	if err != nil {
		return n, err
	}
	var log commitlog.Log = n.log
	if f.log != nil {
		log = f.log(log)
	}
	n.app, err = runtime.New(ctx, top, runtime.Config{Dir: "node", FS: fs, Log: log, Now: epoch, Logger: quiet})
	if err != nil {
		return n, err
	}
	n.shared = pebbledb.NewShared(pebbledb.Budget{CacheBytes: 1 << 20, MemTableBytes: 1 << 20})
	tasks := make([][]worker.Assigned, o.workers)
	for _, sub := range top.Subs() {
		for p := range int32(partitions) {
			i := int(p) % o.workers
			tasks[i] = append(tasks[i], worker.Assigned{Sub: sub, Partition: p})
		}
	}
	for i := range tasks {
		w := worker.New(n.workerConfig(fs, log, i, tasks[i], o, f))
		n.workers = append(n.workers, w)
		if err := w.Start(ctx); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (n *node) workerConfig(fs vfs.FS, log commitlog.Log, i int, tasks []worker.Assigned, o nodeOptions, f faults) worker.Config {
	return worker.Config{
		App: "sim", Log: log, WriterID: changelog.WriterID("sim", "0", i), Tasks: tasks, LogID: n.log.ID(),
		OpenEngine: func(task string) (state.Engine, error) {
			db, err := pebbledb.Open(pebbledb.Options{FS: fs, Dir: "node/state/" + task, Shared: n.shared,
				MemTableBytes: 64 << 10, DiskSlowAfter: -1, Logger: quiet, Now: epoch})
			if err != nil {
				return nil, err
			}
			n.engines[task] = db
			if f.engine != nil {
				n.engines[task] = f.engine(db)
			}
			return n.engines[task], nil
		},
		DropEngine: func(task string) error {
			n.rebuilt++
			return pebbledb.Destroy(fs, "node/state/"+task)
		},
		CommitInterval: 20 * time.Millisecond, CommitBytes: math.MaxInt32, CacheBytes: o.cacheBytes, BufferBytes: 4 << 10,
		MaxRecordBytes: 1 << 20, MaxIdle: time.Hour, FlushInterval: o.flushEvery,
		Placement: placement, Now: func() time.Time { return n.now }, Logger: quiet,
		Hooks: worker.Hooks{Status: func(s worker.Status) { n.status[s.Task] = s }},
	}
}

func epoch() time.Time { return time.Unix(0, 0).UTC() }

func placement(t *topology.TopicDecl) (func([]byte, int32) int32, int32) {
	return commitlog.Murmur2, t.Partitions
}

// drain processes and commits until nothing is left to do.
func (n *node) drain() error {
	for {
		busy := false
		for _, w := range n.workers {
			p, err := w.Turn(ctx, 0)
			if err != nil {
				return err
			}
			busy = busy || p.Records > 0 || p.Pending
		}
		if busy {
			continue
		}
		for _, w := range n.workers {
			if err := w.Commit(ctx); err != nil {
				return err
			}
		}
		if idle, err := n.idle(); idle || err != nil {
			return err
		}
	}
}

// idle says that every input is committed to its end.
func (n *node) idle() (bool, error) {
	for _, s := range n.status {
		for topic, next := range s.Inputs {
			b, err := n.log.Bounds(ctx, commitlog.TopicPartition{Topic: topic, Partition: s.Partition})
			if err != nil || next < b.StableEnd {
				return false, err
			}
		}
	}
	return true, nil
}

// kill ends the node without a commit.
func (n *node) kill() error {
	var errs []error
	for _, w := range n.workers {
		errs = append(errs, w.Kill())
	}
	if n.shared != nil {
		n.shared.Close()
	}
	if n.app != nil {
		errs = append(errs, n.app.Close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	return errors.Join(errs...)
}

// backend answers queries from the stores of a node.
type backend struct {
	query.Backend
	node *node
}

// Snapshot implements query.Backend.
func (b backend) Snapshot(store string, partition int32) (*query.View, error) {
	for _, s := range b.node.status {
		for _, spec := range s.Stores {
			if spec.Name != store || s.Partition != partition {
				continue
			}
			snapshot, err := s.Engine.Snapshot()
			if err != nil {
				return nil, err
			}
			p, _, err := changelog.StoredPosition(snapshot)
			if err != nil {
				return nil, errors.Join(err, snapshot.Close())
			}
			v := &query.View{Snapshot: snapshot, Spec: spec, ID: s.StoreIDs[store], Partition: partition, Position: p.Inputs}
			var clocks topology.Clocks
			if len(p.Clocks) > 0 {
				if err := json.Unmarshal(p.Clocks, &clocks); err != nil {
					return nil, errors.Join(err, snapshot.Close())
				}
			}
			v.StreamTime, v.Horizon = int64(p.StreamTime), clocks.Horizon(store)
			return v, nil
		}
	}
	return nil, fmt.Errorf("store %s partition %d: %w", store, partition, query.ErrNotActive)
}
