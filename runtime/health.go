package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/assign"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/runtime/query"
)

// Health implements query.Backend. It is about the tasks of this process: those
// that other processes of the application run are no reason for not being ready.
func (a *App) Health() query.Health {
	a.mu.Lock()
	running, closed, fatal, joined, restart := a.mu.running, a.mu.closed, a.mu.fatal, a.mu.joined, a.mu.restart
	a.mu.Unlock()
	h := query.Health{Live: fatal == nil && !closed, Ready: true}
	unready := func(format string, args ...any) {
		h.Ready = false
		h.Reason = append(h.Reason, fmt.Sprintf(format, args...))
	}
	if fatal != nil {
		unready("stopped: %v", fatal)
	}
	if !running || closed {
		unready("not running")
	} else if restart != nil {
		unready("starting over: %v", restart)
	} else if !joined {
		unready("waiting for the group to assign tasks")
	}
	for _, id := range a.mine() {
		s := a.status(id)
		t := query.TaskHealth{Task: id, State: s.State.String(), Restored: s.Restored, ToGo: s.ToGo, Lag: s.Lag()}
		if !s.CommittedAt.IsZero() {
			t.Seconds = a.cfg.Now().Sub(s.CommittedAt).Seconds()
		}
		h.Tasks = append(h.Tasks, t)
		if s.State != worker.Running {
			unready("task %s is %s, %d changelog records replayed, %d to go", id, s.State, s.Restored, s.ToGo)
		}
	}
	return h
}

// mine are the ids of the tasks that are assigned to this process, in order.
func (a *App) mine() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.mu.mine))
}

// setMine publishes them. settled says that the group had all it needs to know of
// this process when it assigned them.
func (a *App) setMine(tasks map[string]assign.Task, settled bool) {
	a.mu.Lock()
	a.mu.mine = tasks
	a.mu.joined = tasks != nil && (a.mu.joined || settled)
	a.mu.Unlock()
	a.changed.notify()
}

func (a *App) isMine(task string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.mu.mine[task]
	return ok
}

func (a *App) status(task string) worker.Status {
	if s := a.statuses[task].Load(); s != nil {
		return *s
	}
	return worker.Status{Task: task}
}

// WaitReady waits until this process has its place in the group, and every task
// that it was assigned is restored and runs.
func (a *App) WaitReady(ctx context.Context) error {
	return a.waitFor(ctx, func() (bool, error) { return a.Health().Ready, nil })
}

// WaitProcessed waits until everything that was in the input topics when it was
// called, and everything that followed from it, is processed and committed by the
// tasks of this process. Where several processes share the tasks, each sees its own
// part only.
func (a *App) WaitProcessed(ctx context.Context) error {
	return a.waitFor(ctx, func() (bool, error) { return a.processed(ctx) })
}

// processed reads the positions first and the ends of the topics after them: an
// upstream task that had finished when its position was read has written all its
// results by the time the ends are read.
func (a *App) processed(ctx context.Context) (bool, error) {
	statuses := map[string]worker.Status{}
	a.mu.Lock()
	joined := a.mu.joined
	a.mu.Unlock()
	if !joined {
		return false, nil
	}
	for _, id := range a.mine() {
		s := a.status(id)
		if s.State != worker.Running || s.Pending {
			return false, nil
		}
		statuses[id] = s
	}
	positions := map[commitlog.TopicPartition]int64{}
	for _, s := range statuses {
		for topic, next := range s.Inputs {
			positions[topicPartition(topic, s.Partition)] = next
		}
	}
	// Settled ends: what is appended but not decided yet is in the topic too, and on
	// Kafka a commit is acknowledged before readers see it.
	ends, err := a.log.Settled(ctx, slices.Collect(maps.Keys(positions)))
	if err != nil {
		return false, err
	}
	for tp, next := range positions {
		if next < ends[tp].StableEnd {
			return false, nil
		}
	}
	return true, nil
}

func (a *App) waitFor(ctx context.Context, done func() (bool, error)) error {
	for {
		changed := a.changed.wait()
		ok, err := done()
		if ok || err != nil {
			return err
		}
		a.mu.Lock()
		fatal, closed := a.mu.fatal, a.mu.closed
		a.mu.Unlock()
		if fatal != nil || closed {
			return errors.Join(ErrNotRunning, fatal)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
