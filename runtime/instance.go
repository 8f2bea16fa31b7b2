package runtime

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/internal/worker"
)

// incarnation is one life of this process's workers: they open their writers, which
// fences their predecessors, the process asks its group for tasks, and all of it
// ends together. An App that loses its place in the group, or does not know the
// outcome of a commit, ends its incarnation and begins another one.
type incarnation struct {
	app     *App
	workers []*runner
	epochs  map[string]int64 // of the workers' writers
	place   *place
	member  commitlog.Member
}

// runner is a worker with its goroutine.
type runner struct {
	worker *worker.Worker
	stop   context.CancelCauseFunc // with errDropped: without a commit
	ended  bool                    // belongs to the membership loop
}

// live is one incarnation from beginning to end. restart says that another one may
// go on where it stopped.
func (a *App) live(ctx context.Context) (restart bool, err error) {
	inc := &incarnation{app: a, epochs: map[string]int64{}, place: newPlace(a.cfg.RebalanceTimeout)}
	if err := inc.open(ctx); err != nil {
		if ctx.Err() != nil {
			err = nil // it was stopped before it began
		}
		return false, errors.Join(err, inc.kill())
	}
	restart, err = newMembership(inc).run(ctx)
	if !restart || ctx.Err() != nil {
		return false, err
	}
	id, elsewhere, lookErr := a.registry.heldElsewhere(ctx, inc.epochs)
	if lookErr != nil {
		return false, errors.Join(err, lookErr)
	}
	if elsewhere {
		return false, &IdentityError{App: a.App(), Instance: a.cfg.Instance, Writers: []string{id}, Err: err}
	}
	return true, err
}

// open does everything that has to come before the process asks for tasks.
func (inc *incarnation) open(ctx context.Context) error {
	a := inc.app
	for i := range a.cfg.Workers {
		w := worker.New(a.workerConfig(i, inc.place))
		inc.workers = append(inc.workers, &runner{worker: w})
		if err := w.Start(ctx); err != nil {
			return err
		}
		inc.epochs[w.ID()] = w.Epoch()
		a.metrics.epoch.WithLabelValues(w.ID()).Set(float64(w.Epoch()))
	}
	if err := a.registry.enter(ctx, a.cfg.Instance, inc.epochs); err != nil {
		return fmt.Errorf("register the writers of instance %s: %w", a.cfg.Instance, err)
	}
	var err error
	inc.member, err = a.log.OpenMember(ctx, commitlog.GroupConfig{Group: a.App(), Instance: a.cfg.Instance,
		SessionTimeout: a.cfg.SessionTimeout, RebalanceTimeout: a.cfg.RebalanceTimeout})
	if err != nil {
		return fmt.Errorf("group %s: %w", a.App(), err)
	}
	return nil
}

// kill ends what open has opened, if it came to nothing.
func (inc *incarnation) kill() error {
	var errs []error
	for _, r := range inc.workers {
		errs = append(errs, r.worker.Kill())
	}
	if inc.member != nil {
		errs = append(errs, inc.member.Close())
	}
	return errors.Join(errs...)
}

// writerIDs are the identities of the workers.
func (inc *incarnation) writerIDs() []string {
	ids := make([]string, len(inc.workers))
	for i, r := range inc.workers {
		ids[i] = r.worker.ID()
	}
	return ids
}

// runWorker runs a worker until ctx ends or it fails. It commits at the end, unless
// it has failed or ctx ended with errDropped.
func (a *App) runWorker(ctx context.Context, w *worker.Worker) (err error) {
	// A thread of its own makes the CPU time of commits measurable, and costs
	// nothing but the hand-over at a wait.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	stop := context.AfterFunc(ctx, w.Wake)
	defer stop()
	for err == nil && ctx.Err() == nil {
		_, err = w.Turn(ctx, pollWait)
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		// A commit was interrupted: the next start finds out whether it is durable.
		err = nil
	}
	if err != nil || errors.Is(context.Cause(ctx), errDropped) {
		return errors.Join(err, w.Kill())
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err = w.Close(closing)
	if errors.Is(err, commitlog.ErrStaleGeneration) || errors.Is(err, commitlog.ErrNotMember) {
		// Nothing is lost: whoever has the tasks now does this work again.
		a.cfg.Logger.Warn("the last commit was refused, because the group has moved on", "worker", w.ID(), "error", err.Error())
		return nil
	}
	return err
}

func (a *App) workerConfig(i int, group worker.Group) worker.Config {
	stores := 0
	for _, s := range a.subs {
		stores += len(s.Stores) * int(a.partitions[s.Sources[0].Name])
	}
	id := changelog.WriterID(a.topology.App(), a.cfg.Instance, i)
	return worker.Config{
		App: a.topology.App(), Log: a.log, WriterID: id, Group: group,
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
			Committed: func(s CommitStats) { a.committed(id, s) },
			Aborted:   a.metrics.aborted(id),
			Fetched:   a.metrics.fetched(id),
			Poisoned:  a.metrics.poisoned,
		},
	}
}
