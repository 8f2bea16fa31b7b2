package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/runtime/query"
)

// Health implements query.Backend.
func (a *App) Health() query.Health {
	a.mu.Lock()
	running, closed, fatal := a.mu.running, a.mu.closed, a.mu.fatal
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
	}
	for _, id := range slices.Sorted(maps.Keys(a.statuses)) {
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

func (a *App) status(task string) worker.Status {
	if s := a.statuses[task].Load(); s != nil {
		return *s
	}
	return worker.Status{Task: task}
}

// WaitReady waits until every task is restored and runs.
func (a *App) WaitReady(ctx context.Context) error {
	return a.waitFor(ctx, func() (bool, error) { return a.Health().Ready, nil })
}

// WaitProcessed waits until everything that was in the input topics when it was
// called, and everything that followed from it, is processed and committed.
func (a *App) WaitProcessed(ctx context.Context) error {
	return a.waitFor(ctx, func() (bool, error) { return a.processed(ctx) })
}

// processed reads the positions first and the ends of the topics after them: an
// upstream task that had finished when its position was read has written all its
// results by the time the ends are read.
func (a *App) processed(ctx context.Context) (bool, error) {
	statuses := map[string]worker.Status{}
	for id := range a.statuses {
		s := a.status(id)
		if s.State != worker.Running || s.Pending {
			return false, nil
		}
		statuses[id] = s
	}
	for _, s := range statuses {
		for topic, next := range s.Inputs {
			bounds, err := a.log.Bounds(ctx, topicPartition(topic, s.Partition))
			if err != nil {
				return false, err
			}
			if next < bounds.StableEnd {
				return false, nil
			}
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
