package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/runtime/assign"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/state/pebbledb"
	"github.com/tidemill/tidemill/topology"
)

// App is a topology with its log and its stores.
type App struct {
	topology   *topology.Topology
	cfg        Config
	log        commitlog.Log
	ownLog     bool
	lock       io.Closer // of the directory, unless the log holds one
	shared     *pebbledb.Shared
	partitions map[string]int32 // by topic
	subs       []topology.Sub
	tasks      []assign.Task    // all of the topology
	globals    topology.Globals // set by Run before any task starts; nil without global tables
	registry   *registry
	commits    atomic.Int64
	storeSub   map[string]int                            // index in subs, by store
	statuses   map[string]*atomic.Pointer[worker.Status] // by task id; the map never changes
	changed    *broadcast                                // told after every commit and status
	metrics    *metrics
	handler    http.Handler
	produced   producers

	mu struct {
		sync.Mutex
		running bool
		closed  bool
		addr    net.Addr
		fatal   error
		// mine are the tasks assigned to this process. joined says that the group has
		// had a say in it; restart why the last incarnation ended, while none lives.
		mine    map[string]assign.Task
		joined  bool
		restart error
	}
}

// Run builds the topology and runs it until ctx ends or it fails. It is New
// followed by [App.Run].
func Run(ctx context.Context, build func() (*topology.Topology, error), cfg Config) error {
	t, err := build()
	if err != nil {
		return err
	}
	app, err := New(ctx, t, cfg)
	if err != nil {
		return err
	}
	return app.Run(ctx)
}

// New opens the log, checks that the topology fits what is stored, and creates
// the topics. Processing begins with [App.Run], which also closes the App; an App
// that is not run has to be closed with [App.Close].
func New(ctx context.Context, t *topology.Topology, cfg Config) (*App, error) {
	cfg, err := cfg.withDefaults(t.App())
	if err != nil {
		return nil, err
	}
	a := &App{topology: t, cfg: cfg, log: cfg.Log, partitions: map[string]int32{}, storeSub: map[string]int{},
		subs: t.Subs(), statuses: map[string]*atomic.Pointer[worker.Status]{}, changed: newBroadcast()}
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.registry = &registry{app: t.App(), log: a.log, now: cfg.Now}
	if err := a.prepare(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// open takes the directory and opens the log.
func (a *App) open(ctx context.Context) (err error) {
	cfg := &a.cfg
	if cfg.Kafka == nil && cfg.Log == nil {
		a.log, err = embedded.Open(embedded.Options{FS: cfg.FS, Dir: filepath.Join(cfg.Dir, "log"), Now: cfg.Now, Logger: cfg.Logger})
		a.ownLog = err == nil
		if err != nil {
			a.log = nil // not a nil *Log in the interface
		}
		return err
	}
	if a.lock, err = lockDir(cfg.FS, cfg.Dir); err != nil {
		return err
	}
	if cfg.Instance == "" {
		if cfg.Instance, err = loadInstance(cfg.FS, cfg.Dir); err != nil {
			return err
		}
	}
	if cfg.Log != nil {
		return nil
	}
	brokers := *cfg.Kafka
	setDefault(&brokers.Logger, cfg.Logger)
	setDefault(&brokers.TransactionTimeout, min(10*time.Second, cfg.SessionTimeout/2))
	if brokers.Now == nil {
		brokers.Now = cfg.Now
	}
	l, err := kafka.Open(ctx, brokers)
	if err != nil {
		return err
	}
	a.log, a.ownLog = l, true
	return nil
}

// prepare does what can fail before anything runs.
func (a *App) prepare(ctx context.Context) error {
	if err := a.prepareTopics(ctx); err != nil {
		return err
	}
	if err := a.checkShape(ctx); err != nil {
		return err
	}
	for i, s := range a.subs {
		for _, spec := range s.Stores {
			a.storeSub[spec.Name] = i
		}
		n := a.partitions[s.Sources[0].Name]
		for p := range n {
			a.statuses[changelog.TaskID(s.Name, p)] = &atomic.Pointer[worker.Status]{}
			a.tasks = append(a.tasks, assign.Task{Sub: s.Name, Partition: p})
		}
	}
	tasks := len(a.tasks)
	a.shared = pebbledb.NewShared(pebbledb.Budget{MemTableBytes: int64(tasks) * 2 * memTableBytes(tasks)})
	a.metrics = newMetrics(a)
	a.handler = a.newHandler()
	return nil
}

// Log is the log of the application.
func (a *App) Log() commitlog.Log { return a.log }

// Handler serves queries, topics, health and metrics, for mounting in a mux of
// the user's own. It checks neither host nor token: see query.Guard.
func (a *App) Handler() http.Handler { return a.handler }

// Addr is the address of the HTTP server, nil while there is none.
func (a *App) Addr() net.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.addr
}

// Close closes the log and what else New has opened. Run does it by itself.
func (a *App) Close() error {
	a.mu.Lock()
	if a.mu.closed {
		a.mu.Unlock()
		return nil
	}
	a.mu.closed = true
	a.mu.Unlock()
	a.changed.notify()
	var errs []error
	if a.ownLog && a.log != nil {
		errs = append(errs, a.log.Close())
	}
	if a.shared != nil {
		a.shared.Close()
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", a.topology.App(), err)
	}
	return nil
}

// memTablesBytes bounds the memtables of all stores together, two for each.
const memTablesBytes = 128 << 20

// memTableBytes is a task's share of that. Large memtables take in several
// commits' versions of a row before it is written to a table; too small ones
// (below 4 MiB) only make work.
func memTableBytes(tasks int) int64 {
	return min(max(memTablesBytes/int64(2*max(tasks, 1)), 4<<20), 64<<20)
}
