package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/internal/task"
	"github.com/tidemill/tidemill/topology"
)

// commands are what others want of a worker. They wait until it is between two
// turns, because nothing else may touch tasks.
type commands struct {
	sync.Mutex
	queue []command
	ended bool
}

// command is one of them. done is told when do has returned, unless that has said
// with errLater that it sees to it; or that it came too late.
type command struct {
	do   func(ctx context.Context) error
	drop func() error // instead of do, if the worker has ended
	done func(error)
}

var errLater = errors.New("done is told later")

// ErrEnded is what a command is answered that the worker does not carry out,
// because it has ended or ends over it. Why it ended is told by Turn.
var ErrEnded = errors.New("the worker has ended")

// Attach makes the worker run a prepared task. done is told when it does. After an
// error it never will, and the task is closed, or will be with the worker. It may
// be called from any goroutine.
func (w *Worker) Attach(p *Prepared, done func(error)) {
	w.command(command{
		do: func(ctx context.Context) error {
			if err := w.attach(ctx, p.slot); err != nil {
				return fmt.Errorf("task %s: %w", p.slot.id, err)
			}
			return nil
		},
		drop: p.Close, done: done,
	})
}

// Release makes the worker commit, and give a task up. done is told when its store
// is closed: the task may then run elsewhere. The other tasks do not wait for the
// store. After [ErrEnded] the task goes with the worker; any other error is the
// store's. It may be called from any goroutine.
func (w *Worker) Release(id string, done func(error)) {
	w.command(command{
		do: func(ctx context.Context) error {
			s, err := w.detach(ctx, id)
			if err != nil {
				return err
			}
			w.closing.Go(func() { done(s.closeStore(true)) })
			return errLater
		},
		drop: func() error { return nil },
		done: done,
	})
}

func (w *Worker) command(c command) {
	w.commands.Lock()
	ended := w.commands.ended
	if !ended {
		w.commands.queue = append(w.commands.queue, c)
	}
	w.commands.Unlock()
	if ended {
		c.giveUp()
		return
	}
	w.Wake()
}

func (c command) giveUp() {
	if err := c.drop(); err != nil {
		c.done(err)
		return
	}
	c.done(ErrEnded)
}

// obey carries out what was commanded since the last turn.
func (w *Worker) obey(ctx context.Context) error {
	w.commands.Lock()
	queue := w.commands.queue
	w.commands.queue = nil
	w.commands.Unlock()
	for i, c := range queue {
		err := c.do(ctx)
		if errors.Is(err, errLater) {
			continue
		}
		if err != nil {
			c.done(ErrEnded)
			for _, left := range queue[i+1:] {
				left.giveUp()
			}
			return err
		}
		c.done(nil)
	}
	return nil
}

// refuse answers all commands that are left, and those that come.
func (w *Worker) refuse() {
	w.commands.Lock()
	queue := w.commands.queue
	w.commands.queue, w.commands.ended = nil, true
	w.commands.Unlock()
	for _, c := range queue {
		c.giveUp()
	}
}

// attach takes a restored task in. From here on its store is closed with the
// worker.
func (w *Worker) attach(ctx context.Context, s *slot) error {
	w.slots = append(w.slots, s)
	for _, spec := range s.assigned.Sub.Stores {
		tp := w.changelogOf(s, spec)
		if _, err := w.writer.OpenExclusive(ctx, tp); err != nil {
			return fmt.Errorf("claim changelog %s: %w", tp, err)
		}
	}
	for _, source := range s.assigned.Sub.Sources {
		w.byInput[commitlog.TopicPartition{Topic: source.Name, Partition: s.assigned.Partition}] = s
	}
	if err := w.newTask(s); err != nil {
		return err
	}
	now := w.cfg.Now()
	s.commit, s.flushed = now, now
	s.state = transition(s.state, Running)
	w.report(s)
	return nil
}

// detach commits what all tasks have done and takes one of them out.
func (w *Worker) detach(ctx context.Context, id string) (*slot, error) {
	if err := w.Commit(ctx); err != nil {
		return nil, err
	}
	for i, s := range w.slots {
		if s.id != id {
			continue
		}
		for tp := range s.task.Inputs() {
			w.reader.Unassign(tp)
			delete(w.byInput, tp)
		}
		w.slots = append(w.slots[:i:i], w.slots[i+1:]...)
		s.state = Closed
		errs := []error{s.task.Close()}
		for _, spec := range s.assigned.Sub.Stores {
			errs = append(errs, w.writer.CloseExclusive(w.changelogOf(s, spec)))
		}
		w.report(s)
		if err := errors.Join(errs...); err != nil {
			return nil, errors.Join(fmt.Errorf("task %s: close: %w", id, err), s.closeStore(true))
		}
		return s, nil
	}
	return nil, fmt.Errorf("task %s is to be released by worker %s, which does not run it", id, w.cfg.WriterID)
}

// newTask wires the task on its store, at the committed position, and points the
// reader at its inputs.
func (w *Worker) newTask(s *slot) error {
	t, err := task.New(task.Config{
		App: w.cfg.App, Sub: s.assigned.Sub, Partition: s.assigned.Partition, Engine: s.engine, StoreIDs: s.ids,
		Position: s.position, Start: s.start, Ends: s.stable, CacheBytes: w.cfg.CacheBytes, MaxRecordBytes: w.cfg.MaxRecordBytes,
		Placement: w.cfg.Placement, Now: w.cfg.Now, RowFailed: w.rowFailed(s), Released: w.Wake,
	})
	var node *topology.NodeError
	if errors.As(err, &node) {
		return &TaskError{Task: s.id, Node: node.Node, Err: node}
	}
	if err != nil {
		return err
	}
	if len(s.excluded) > 0 {
		t.Exclude(s.leftOut)
	}
	s.task, s.waits = t, false
	for tp, offset := range t.Inputs() {
		if err := w.reader.Assign(tp, offset); err != nil {
			return fmt.Errorf("read %s from offset %d: %w", tp, offset, err)
		}
		// A move keeps the pause, but the queue for which it was made is gone.
		w.reader.Resume(tp)
	}
	clear(s.paused)
	return nil
}
