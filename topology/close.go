package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// rowEmitter passes stored rows on as results.
type rowEmitter[G, A any] struct {
	n     *node
	inst  *Instance
	cells state.Cells[A]
	store state.Materialized[G, A]
	next  emit[G, change[A]]
	size  int64
}

func (e *rowEmitter[G, A]) emit(c state.Cell[A]) error {
	e.inst.at = e.n
	key, err := e.store.ResultKey(c.Start, c.Key, e.size)
	if err != nil {
		return &NodeError{Node: e.n.name, Err: err}
	}
	return e.next(processor.Record[G, change[A]]{
		Key: key, Time: processor.Timestamp(c.Time),
		Value: change[A]{New: processor.Opt[A]{Value: c.Value, OK: c.Present}},
	})
}

// emitDirty is emission per commit. A row that was deleted has no time left, and
// its tombstone gets the stream time of the task.
func (e *rowEmitter[G, A]) emitDirty() error {
	return e.cells.EachDirty(func(c state.Cell[A]) error {
		if !c.Present {
			c.Time = int64(e.inst.streamTime)
		}
		return e.emit(c)
	})
}

// closer watches the closing of windows: it emits their results if asked to, and
// lets rows expire, never before their result has left.
//
// Closing is not done inside the record that causes it but right behind it,
// before the next record of the task, and in portions: the clock holds how far it
// came, so that closing a million windows may span several commits.
type closer[G, A any] struct {
	rows      *rowEmitter[G, A]
	clock     *OperatorClock
	math      windowMath
	retention int64
	emits     bool
}

// advance is called when stream time has moved.
func (c *closer[G, A]) advance() {
	if !c.emits {
		c.expire()
		return
	}
	if c.closedThrough() > c.clock.ClosedThrough {
		c.rows.inst.closing = true
	}
}

// closedThrough is the start of the newest window that is closed, rounded to
// where a window can start, so that closing runs once per window and not with
// every record.
func (c *closer[G, A]) closedThrough() int64 {
	through := c.math.closedThrough(c.clock.StreamTime)
	if through < 0 {
		return -1
	}
	return through - through%c.math.advance
}

func (c *closer[G, A]) expire() {
	if c.math.unlimited {
		return
	}
	c.rows.cells.ExpireBelow(c.clock.StreamTime - c.retention + 1)
}

// drain emits up to budget results of closed windows and returns how much of the
// budget is left: none if there is more to do.
func (c *closer[G, A]) drain(budget int) (left int, err error) {
	if !c.emits || c.closedThrough() <= c.clock.ClosedThrough {
		return budget, nil
	}
	through := c.closedThrough()
	for _, start := range c.rows.cells.Starts(c.clock.ClosedThrough+1, through+1) {
		var after []byte
		if start == c.clock.Closing.Start {
			after = c.clock.Closing.AfterKey
		}
		err := c.rows.cells.EachRow(start, after, func(cell state.Cell[A]) (bool, error) {
			if budget == 0 {
				return false, nil
			}
			budget--
			c.clock.Closing = ClosingPoint{Start: start, AfterKey: cell.Key}
			return true, c.rows.emit(cell)
		})
		if err != nil || budget == 0 {
			return 0, err
		}
		c.clock.ClosedThrough, c.clock.Closing = start, ClosingPoint{}
	}
	c.clock.ClosedThrough = through
	c.expire()
	return budget, nil
}
