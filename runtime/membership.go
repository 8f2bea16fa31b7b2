package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/assign"
)

// membership gives this process's workers the tasks that its group assigns, and
// takes them away again. Everything in it belongs to one goroutine, the loop in
// run, which never waits for anything in particular: joins, restores and what
// workers do go on elsewhere and report to the mailbox. So a process that restores
// or commits for long still answers its group in time.
type membership struct {
	*incarnation
	app  *App
	mail *mailbox
	// joinCtx outlives the stop of the App: workers that commit at the end may need
	// a new generation for it.
	joinCtx context.Context
	leave   context.CancelFunc // ends joinCtx

	generation int32 // the newest seen
	joinedOnce bool
	joining    bool
	wantJoin   bool
	again      int              // joins in a row that brought nothing to act on
	later      <-chan time.Time // not nil while the next join has to wait
	assigned   map[string]assign.Task
	told       map[string]assign.Task // assigned as it was last logged
	held       map[string]*held
	live       atomic.Pointer[map[string]bool] // writers of all members
	pending    int                             // reports to come, but for those of workers
	stopping   bool
	dropping   bool    // workers end without a commit
	cause      error   // why it stops, nil if it is told to
	errs       []error // what else went wrong
}

// held is a task that this process has, from its assignment until its store is
// closed.
type held struct {
	assign.Task
	runner    *runner
	cancel    context.CancelFunc // of preparing
	attached  bool               // it was handed to the worker
	releasing bool
}

func newMembership(inc *incarnation) *membership {
	m := &membership{incarnation: inc, app: inc.app, mail: newMailbox(), generation: newcomer, wantJoin: true,
		assigned: map[string]assign.Task{}, held: map[string]*held{}}
	m.live.Store(&map[string]bool{})
	return m
}

// run returns when all workers have ended: with why, and whether the process means
// to come back at once.
func (m *membership) run(ctx context.Context) (restart bool, err error) {
	m.joinCtx, m.leave = context.WithCancel(context.WithoutCancel(ctx))
	defer m.leave()
	for i, r := range m.workers {
		m.start(ctx, i, r)
	}
	stop := ctx.Done()
	for !m.over() {
		if m.wantJoin && !m.joining && m.later == nil {
			m.join()
		}
		select {
		case <-stop:
			stop = nil
			m.end(nil)
		case <-m.member.Changed():
			m.wantJoin = true
		case <-m.mail.ready:
			m.mail.run()
		case <-m.later:
			m.later = nil
		}
	}
	m.app.setMine(nil, false)
	restart = restartReason(m.cause) != ""
	if err := m.part(restart); err != nil {
		m.errs = append(m.errs, err)
	}
	return restart, errors.Join(append([]error{m.cause}, m.errs...)...)
}

// over says that nothing is left to wait for. The last join is cut off.
func (m *membership) over() bool {
	for _, r := range m.workers {
		if !r.ended {
			return false
		}
	}
	m.leave()
	return m.pending == 0
}

// start starts a worker's goroutine. It ends by m.end, or by a failure, which ends
// all others too.
func (m *membership) start(ctx context.Context, i int, r *runner) {
	// Not ctx itself: the loop decides how workers are stopped.
	own, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	r.stop = stop
	go func() {
		err := m.app.runWorker(own, r.worker)
		m.mail.post(func() {
			r.ended = true
			stop(nil)
			for id, h := range m.held {
				if h.runner == r && h.attached {
					delete(m.held, id) // it went with its worker
				}
			}
			if err != nil {
				m.end(err)
			}
		})
	}()
}

// end stops all workers. err is why, nil if the App is stopped. Workers commit
// first, unless their tasks may have new owners.
func (m *membership) end(err error) {
	if m.stopping {
		if err != nil {
			m.errs = append(m.errs, err)
		}
		return
	}
	m.stopping, m.cause = true, err
	var how error
	if restartReason(err) != "" {
		m.dropping, how = true, errDropped
		m.place.lose(err)
	}
	for _, h := range m.held {
		h.cancel()
	}
	for _, r := range m.workers {
		r.stop(how)
	}
}

// part leaves the group at once, so that nobody waits for this process; unless it
// means to come back to the same place.
func (m *membership) part(restart bool) error {
	var errs []error
	if !restart && !errors.Is(m.cause, commitlog.ErrUnreachable) && !errors.Is(m.cause, commitlog.ErrFenced) {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := m.member.Leave(ctx); err != nil && !errors.Is(err, commitlog.ErrNotMember) && !errors.Is(err, commitlog.ErrClosed) {
			errs = append(errs, fmt.Errorf("leave group %s: %w", m.app.App(), err))
		}
	}
	return errors.Join(append(errs, m.member.Close())...)
}

// apply carries an assignment out.
func (m *membership) apply(a assignment, settled bool) {
	m.assigned = map[string]assign.Task{}
	for _, t := range a.Tasks.tasks() {
		if m.app.statuses[t.String()] == nil {
			m.end(fmt.Errorf("group %s: the leader assigned task %s, which this program's topology does not have; "+
				"run the same topology on all instances", m.app.App(), t))
			return
		}
		m.assigned[t.String()] = t
	}
	if settled && !maps.Equal(m.assigned, m.told) {
		m.told = m.assigned
		m.app.cfg.Logger.Info("tasks assigned", "group", m.app.App(), "instance", m.app.cfg.Instance, "generation", m.generation,
			"tasks", slices.Sorted(maps.Keys(m.assigned)))
	}
	m.app.metrics.assigned.Set(float64(len(m.assigned)))
	m.app.setMine(m.assigned, settled)
	for _, id := range slices.Sorted(maps.Keys(m.held)) {
		if _, stays := m.assigned[id]; !stays {
			m.release(m.held[id])
		}
	}
	m.spread()
}
