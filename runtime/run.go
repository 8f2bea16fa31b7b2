package runtime

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

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
	err = a.process(ctx, cancel)
	if err != nil {
		a.setFatal(err)
	}
	return errors.Join(err, stopServing(), a.produced.close(), a.Close())
}

// process runs the tasks between the start and the end of the global tables that
// they read.
func (a *App) process(ctx context.Context, cancel context.CancelFunc) error {
	var failed atomic.Pointer[error]
	stopGlobals, err := a.startGlobals(ctx, func(err error) {
		failed.Store(&err)
		cancel()
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil // it was stopped before it began
		}
		return err
	}
	err = a.runIncarnations(ctx)
	cancel()
	err = errors.Join(err, stopGlobals())
	if cause := failed.Load(); cause != nil {
		err = errors.Join(*cause, err)
	}
	return err
}

// pollWait bounds how long a worker waits for input at a time.
const pollWait = 500 * time.Millisecond

func (a *App) setFatal(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.fatal == nil {
		a.mu.fatal = err
	}
	a.changed.notify()
}

func (a *App) committed(worker string, s CommitStats) {
	a.commits.Add(1)
	a.metrics.committed(worker, s)
	if a.cfg.OnCommit != nil {
		a.cfg.OnCommit(s)
	}
}
