package topology

import (
	"encoding/binary"
	"math"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// spanCloser is what closer is for time windows, for windows with ends of their
// own: it emits final results by end, start and key, and lets rows expire.
type spanCloser[G, A any] struct {
	n     *node
	inst  *Instance
	spans state.Spans[A]
	store state.Materialized[G, A]
	next  emit[G, change[A]]
	clock *OperatorClock // ClosedThrough is an end here, Closing.Start too
	lag   int64          // from the end of a window to its close
	keep  int64          // from the end of a window to its expiry
	emits bool
}

// advance is called when stream time has moved.
func (c *spanCloser[G, A]) advance() {
	if c.emits && c.due() {
		c.inst.closing = true
		return
	}
	c.expire()
}

// closedThrough is the largest end of a closed window.
func (c *spanCloser[G, A]) closedThrough() int64 { return c.clock.StreamTime - c.lag - 1 }

// due says whether a result waits to be emitted. An error of the store counts:
// whoever then wants to emit meets it again.
func (c *spanCloser[G, A]) due() bool {
	through := c.closedThrough()
	if through <= c.clock.ClosedThrough {
		return false
	}
	end, ok, err := c.spans.NextEnd(c.reached())
	if err != nil || ok && end <= through {
		return true
	}
	c.clock.ClosedThrough, c.clock.Closing = through, ClosingPoint{}
	return false
}

// reached is the place up to which results have left.
func (c *spanCloser[G, A]) reached() state.EndPoint {
	if after := c.clock.Closing.AfterKey; len(after) >= 8 {
		return state.EndPoint{End: c.clock.Closing.Start, Start: int64(binary.BigEndian.Uint64(after)), Key: after[8:]}
	}
	return state.EndPoint{End: c.clock.ClosedThrough, Start: math.MaxInt64}
}

func (c *spanCloser[G, A]) expire() {
	end := c.clock.StreamTime - c.keep
	if c.emits {
		end = min(end, c.clock.ClosedThrough+1)
	}
	c.spans.ExpireBelow(end)
}

// drain emits up to budget results of closed windows and returns how much of the
// budget is left: none if there is more to do.
func (c *spanCloser[G, A]) drain(budget int) (left int, err error) {
	if !c.emits {
		return budget, nil
	}
	through := c.closedThrough()
	for through > c.clock.ClosedThrough {
		cell, ok, err := c.spans.Next(c.reached())
		if err != nil {
			return 0, &NodeError{Node: c.n.name, Err: err}
		}
		if !ok || cell.End > through {
			c.clock.ClosedThrough, c.clock.Closing = through, ClosingPoint{}
			break
		}
		if budget == 0 {
			return 0, nil
		}
		budget--
		after := append(binary.BigEndian.AppendUint64(nil, uint64(cell.Start)), cell.Key...)
		c.clock.Closing = ClosingPoint{Start: cell.End, AfterKey: after}
		if err := c.emit(cell); err != nil {
			return 0, err
		}
	}
	c.expire()
	return budget, nil
}

func (c *spanCloser[G, A]) emit(cell state.SpanCell[A]) error {
	c.inst.at = c.n
	key, err := c.store.ResultKey(cell.Start, cell.Key, cell.End-cell.Start)
	if err != nil {
		return &NodeError{Node: c.n.name, Err: err}
	}
	return c.next(processor.Record[G, change[A]]{Key: key, Time: processor.Timestamp(cell.Time),
		Value: change[A]{New: processor.Opt[A]{Value: cell.Value, OK: cell.Present}}})
}

// emitDirty is emission per commit. A session that is gone comes out with its end
// as time, as it would have at once; a sliding window with its end too, because
// the time of its records is not kept.
func (c *spanCloser[G, A]) emitDirty() error { return c.spans.EachDirty(c.emit) }
