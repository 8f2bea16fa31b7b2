package streamtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/runtime/internal/globals"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/topology"
)

// Driver runs one topology in one mode. All its methods, and those of its inputs
// and outputs, belong to the goroutine of the test; what goes wrong in the engine
// fails the test there and then.
type Driver struct {
	t        TB
	cfg      Config
	mode     Mode
	topology *topology.Topology
	topics   topics
	log      *embedded.Log
	producer commitlog.Writer
	disk     disk
	worker   *worker.Worker
	tasks    []worker.Assigned
	globals  *globals.Tables // nil if the topology has no global table
	tapes    map[string]*tape
	random   *rand.Rand
	now      time.Time
	failed   error
}

// limit stands for "never" in bytes and records.
const limit = math.MaxInt32

// never is longer than any test moves the clock: commits are the driver's
// business, and an input that has more records is waited for, never overtaken.
const never = 100 * 365 * 24 * time.Hour

// open starts everything; what it has opened is closed when the test ends.
func open(t TB, cfg Config, declared *topology.Topology, mode Mode) (*Driver, error) {
	d := &Driver{
		t: t, cfg: cfg, mode: mode, topology: declared, tapes: map[string]*tape{},
		random: rand.New(rand.NewPCG(mode.Seed, 0)), now: time.Unix(0, 0).UTC(),
	}
	var err error
	d.log, err = embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "/log", TailBytes: limit, Now: epoch, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	t.Cleanup(d.close)
	if d.topics, err = createTopics(d.log, declared, cfg); err != nil {
		return nil, err
	}
	if d.producer, err = d.log.OpenWriter(context.Background(), declared.App()+"-streamtest"); err != nil {
		return nil, err
	}
	for _, sub := range declared.Subs() {
		for p := range d.topics.count(sub.Sources[0].Name) {
			d.tasks = append(d.tasks, worker.Assigned{Sub: sub, Partition: p})
		}
	}
	d.disk = newDisk(mode.Engine, cfg)
	if err := d.start(); err != nil {
		return nil, err
	}
	// What initialising has done is committed in any case: a wall-clock
	// punctuation is due one interval after the first start, crash or no crash.
	return d, d.sync()
}

// epoch is the clock of parts that only stamp files with it. They may do so from
// goroutines of their own, so they do not share the clock of the test.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// start starts a worker on what is durable.
func (d *Driver) start() error {
	app := d.topology.App()
	if err := d.startGlobals(); err != nil {
		return err
	}
	d.worker = worker.New(worker.Config{
		App: app, Log: d.log, WriterID: changelog.WriterID(app, "0", 0), Tasks: d.tasks,
		OpenEngine: d.disk.open, DropEngine: d.disk.drop, LogID: "streamtest",
		CommitInterval: never, CommitBytes: limit, CacheBytes: d.mode.cacheBytes(), BufferBytes: limit,
		MaxRecordBytes: 1 << 20, MaxIdle: never, FlushInterval: never,
		Poison: d.cfg.Poison, DeadLetter: d.cfg.DeadLetterTopic,
		Placement: d.topics.placement, Now: d.Clock, Logger: d.cfg.Logger,
	})
	if err := d.worker.Start(context.Background()); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// Clock is the wall clock, which begins at the epoch and moves only with
// [Driver.Advance].
func (d *Driver) Clock() time.Time { return d.now }

// Mode is the mode of the driver, with the seed in use.
func (d *Driver) Mode() Mode { return d.mode }

// Advance moves the wall clock forward at once, runs the wall-clock punctuations
// that are due then, and what follows from them.
func (d *Driver) Advance(by time.Duration) {
	d.t.Helper()
	if by < 0 {
		d.t.Fatalf("Advance by %v: the clock cannot go back", by)
	}
	d.must(d.advance(by))
}

// Commit commits everything, until nothing is left to do.
func (d *Driver) Commit() {
	d.t.Helper()
	d.must(d.sync())
}

// Restart crashes the process: what is not committed is lost, and of the stores
// what they have not synced. The new process restores, and processes again what
// the old one had not committed.
func (d *Driver) Restart() {
	d.t.Helper()
	d.must(d.restart())
	d.must(d.settle())
}

// must fails the test.
func (d *Driver) must(err error) {
	d.t.Helper()
	if err != nil {
		d.failed = err
		d.t.Fatalf("streamtest %s: %v", d.mode, err)
	}
}

// usable fails a test that goes on after an error that it was handed.
func (d *Driver) usable() {
	d.t.Helper()
	if d.failed != nil {
		d.t.Fatalf("streamtest %s: the worker has stopped before: %v", d.mode, d.failed)
	}
}

// close ends everything. What is uncommitted is committed first, so that an error
// which only a commit shows does not stay hidden.
func (d *Driver) close() {
	d.t.Helper()
	var errs []error
	if d.worker != nil && d.failed == nil {
		errs = append(errs, d.worker.Close(context.Background()))
	} else if d.worker != nil {
		errs = append(errs, d.worker.Kill())
	}
	if d.producer != nil {
		errs = append(errs, d.producer.Close())
	}
	errs = append(errs, d.stopGlobals())
	if d.disk != nil {
		d.disk.close()
	}
	if err := errors.Join(append(errs, d.log.Close())...); err != nil {
		d.t.Errorf("streamtest %s: close: %v", d.mode, err)
	}
}
