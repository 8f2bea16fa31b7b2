package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/assign"
	"github.com/tidemill/tidemill/runtime/internal/worker"
)

// spread gives the assigned tasks to workers. A task that one of them has stays
// there, unless the workers would differ by more than one; then it is released and
// comes back here, as one does that was assigned again while it was released.
func (m *membership) spread() {
	byID := map[string]*runner{}
	for _, r := range m.workers {
		byID[r.worker.ID()] = r
	}
	previous := map[string][]assign.Task{}
	for id, h := range m.held {
		if _, assigned := m.assigned[id]; assigned && !h.releasing {
			previous[h.runner.worker.ID()] = append(previous[h.runner.worker.ID()], h.Task)
		}
	}
	plan := assign.Plan(m.writerIDs(), slices.Collect(maps.Values(m.assigned)), previous)
	var added []*held
	for _, id := range slices.Sorted(maps.Keys(plan)) {
		for _, t := range plan[id] {
			switch h := m.held[t.String()]; {
			case h == nil:
				h = &held{Task: t, runner: byID[id]}
				m.held[t.String()] = h
				added = append(added, h)
			case h.runner != byID[id]:
				m.release(h)
			}
		}
	}
	if len(added) > 0 {
		m.add(added)
	}
}

// add prepares tasks beside those that run, and hands them to their workers. What
// dead writers may still do is ended before anything of the tasks is read.
func (m *membership) add(tasks []*held) {
	ctx, cancel := context.WithCancel(m.joinCtx)
	own := make([]context.Context, len(tasks))
	for i, h := range tasks {
		own[i], h.cancel = context.WithCancel(ctx)
	}
	m.pending += len(tasks)
	go func() {
		groups, err := m.takeOver(ctx)
		slots := make(chan struct{}, max(2, len(m.workers)))
		var wg sync.WaitGroup
		for i, h := range tasks {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				p, err := m.prepare(own[i], h, groups, err)
				m.mail.post(func() {
					m.pending--
					m.prepared(h, p, err)
				})
			})
		}
		wg.Wait()
		cancel()
	}()
}

// takeOver fences the dead and then reads the offsets of the group, which covers
// their last commits.
func (m *membership) takeOver(ctx context.Context) (map[commitlog.TopicPartition]commitlog.GroupOffset, error) {
	fenced, err := m.app.registry.takeOver(ctx, m.dead)
	if err != nil {
		return nil, fmt.Errorf("take over from dead writers: %w", err)
	}
	if len(fenced) > 0 {
		m.app.metrics.fenced.Add(float64(len(fenced)))
		m.app.cfg.Logger.Info("fenced writers that belong to no member of the group", "writers", fenced)
	}
	groups, err := m.app.log.GroupOffsets(ctx, m.app.App())
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %s: %w", m.app.App(), err)
	}
	return groups, nil
}

func (m *membership) prepare(ctx context.Context, h *held, groups map[commitlog.TopicPartition]commitlog.GroupOffset, failed error) (*worker.Prepared, error) {
	if failed != nil {
		return nil, failed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i := slices.Index(m.workers, h.runner)
	return worker.Prepare(ctx, m.app.workerConfig(i, m.place), m.app.assignedTask(h.Task), groups)
}

// prepared hands a restored task to its worker, or drops it if it is not wanted any
// more.
func (m *membership) prepared(h *held, p *worker.Prepared, err error) {
	unwanted := h.releasing || m.stopping
	switch {
	case err != nil && !unwanted:
		m.gone(h)
		m.end(err)
	case err != nil:
		m.gone(h)
	case unwanted:
		m.pending++
		go func() {
			err := p.Close()
			m.mail.post(func() {
				m.pending--
				m.gone(h)
				if err != nil {
					m.end(fmt.Errorf("task %s: close: %w", h.Task, err))
				}
			})
		}()
	default:
		h.attached = true
		h.runner.worker.Attach(p, func(err error) {
			if err != nil && !errors.Is(err, worker.ErrEnded) {
				m.mail.post(func() { m.end(fmt.Errorf("task %s: close: %w", h.Task, err)) })
			}
		})
	}
}

// release makes a task end here, with a commit if it runs.
func (m *membership) release(h *held) {
	if h.releasing {
		return
	}
	h.releasing = true
	if !h.attached {
		h.cancel()
		return
	}
	h.runner.worker.Release(h.Task.String(), func(err error) {
		if errors.Is(err, worker.ErrEnded) {
			return // the task goes with its worker
		}
		m.mail.post(func() {
			m.gone(h)
			if err != nil {
				m.end(fmt.Errorf("task %s: release: %w", h.Task, err))
			}
		})
	})
}

// gone follows the end of a task here. If it is still, or again, to run here it is
// added anew. Otherwise the group has to hear of it, once all that were to be
// released are.
func (m *membership) gone(h *held) {
	if m.held[h.Task.String()] != h {
		return
	}
	delete(m.held, h.Task.String())
	if m.stopping {
		return
	}
	if _, assigned := m.assigned[h.Task.String()]; assigned {
		m.spread()
		return
	}
	for id := range m.held {
		if _, stays := m.assigned[id]; !stays {
			return
		}
	}
	m.wantJoin = true
}

// assignedTask is a task as a worker takes it.
func (a *App) assignedTask(t assign.Task) worker.Assigned {
	for _, s := range a.subs {
		if s.Name == t.Sub {
			s.Globals = a.globals
			return worker.Assigned{Sub: s, Partition: t.Partition}
		}
	}
	return worker.Assigned{}
}
