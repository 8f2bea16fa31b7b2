package runtime

import (
	"context"
	"errors"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/runtime/internal/worker"
)

// TaskError is why Run ended, if it was user code or a record: it names the task,
// the node and the record.
type TaskError = worker.TaskError

// closeTimeout bounds the last commit when an App stops.
const closeTimeout = 10 * time.Second

// Run processes until ctx ends, which is no error, or until something fails. It
// closes the App.
func (a *App) Run(ctx context.Context) error {
	a.mu.Lock()
	if a.mu.running || a.mu.closed {
		a.mu.Unlock()
		return errors.New("runtime: an App runs only once; make a new one")
	}
	a.mu.running = true
	a.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopServing, err := a.serve(cancel)
	if err != nil {
		a.setFatal(err)
		return errors.Join(err, a.Close())
	}
	errs := a.runWorkers(ctx, cancel)
	errs = append(errs, stopServing(), a.produced.close(), a.Close())
	return errors.Join(errs...)
}

// runWorkers runs all workers to their end. The first failure stops the others.
func (a *App) runWorkers(ctx context.Context, cancel context.CancelFunc) []error {
	assigned := a.assign()
	errs := make([]error, len(assigned))
	var wg sync.WaitGroup
	for i, tasks := range assigned {
		w := worker.New(a.workerConfig(i, tasks))
		wg.Go(func() {
			errs[i] = a.runWorker(ctx, w)
			if errs[i] != nil {
				a.setFatal(errs[i])
				cancel()
			}
		})
	}
	wg.Wait()
	return errs
}

func (a *App) runWorker(ctx context.Context, w *worker.Worker) (err error) {
	// A thread of its own makes the CPU time of commits measurable, and costs
	// nothing but the hand-over at a wait.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	if err := w.Start(ctx); err != nil {
		if ctx.Err() != nil {
			err = nil
		}
		return errors.Join(err, w.Kill())
	}
	stop := context.AfterFunc(ctx, w.Wake)
	defer stop()
	for err == nil && ctx.Err() == nil {
		_, err = w.Turn(ctx, pollWait)
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		// A commit was interrupted: the next start finds out whether it is durable.
		err = nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err != nil {
		return errors.Join(err, w.Kill())
	}
	return w.Close(closing)
}

// pollWait bounds how long a worker waits for input at a time.
const pollWait = 500 * time.Millisecond

// assign spreads the tasks over the workers, partition by partition, so that the
// partitions of one sub-topology run side by side.
func (a *App) assign() [][]worker.Assigned {
	out := make([][]worker.Assigned, a.cfg.Workers)
	i := 0
	for _, s := range a.subs {
		for p := range a.partitions[s.Sources[0].Name] {
			out[i%len(out)] = append(out[i%len(out)], worker.Assigned{Sub: s, Partition: p})
			i++
		}
	}
	var used [][]worker.Assigned
	for _, tasks := range out {
		if len(tasks) > 0 {
			used = append(used, tasks)
		}
	}
	return used
}

func (a *App) workerConfig(i int, tasks []worker.Assigned) worker.Config {
	stores := 0
	for _, s := range a.subs {
		stores += len(s.Stores) * int(a.partitions[s.Sources[0].Name])
	}
	return worker.Config{
		App: a.topology.App(), Log: a.log, WriterID: changelog.WriterID(a.topology.App(), a.cfg.Instance, i), Tasks: tasks,
		OpenEngine: a.openEngine, DropEngine: a.dropEngine, LogID: a.log.ID(),
		CommitInterval: a.cfg.CommitInterval, CommitBytes: a.cfg.CommitBytes, CacheBytes: a.cfg.CacheBytes / max(stores, 1),
		BufferBytes: a.cfg.BufferBytes, MaxRecordBytes: a.cfg.MaxRecordBytes, MaxIdle: a.cfg.MaxIdle,
		FlushInterval: a.cfg.FlushInterval, Poison: a.cfg.Poison, DeadLetter: a.cfg.DeadLetterTopic,
		Placement: a.placement, Now: a.cfg.Now, ThreadCPU: threadCPU, Logger: a.cfg.Logger,
		Hooks: worker.Hooks{
			Status: func(s worker.Status) {
				a.statuses[s.Task].Store(&s)
				a.changed.notify()
			},
			Committed: a.committed,
			Poisoned:  a.metrics.poisoned,
		},
	}
}

func (a *App) setFatal(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.fatal == nil {
		a.mu.fatal = err
	}
	a.changed.notify()
}

func (a *App) committed(s CommitStats) {
	a.metrics.committed(s)
	if a.cfg.OnCommit != nil {
		a.cfg.OnCommit(s)
	}
}
