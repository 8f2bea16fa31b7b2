package state

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/processor"
)

// Sessions is a session store inside a processor. It is valid during the call
// whose context it came from.
type Sessions[K, V any] struct {
	handle SessionStore[K, V]
	cells  *spanCells[V]
	buf    []byte
}

// SessionsOf gives a processor its session store, by handle.
func SessionsOf[K, V any](ctx processor.TaskContext, h SessionStore[K, V]) (*Sessions[K, V], error) {
	cells, _, err := cellsOf[*spanCells[V]](ctx, h)
	if err != nil {
		return nil, err
	}
	return &Sessions[K, V]{handle: h, cells: cells}, nil
}

func (s *Sessions[K, V]) of(k K, from processor.Timestamp) (spans KeySpans[V], err error) {
	if s.buf, err = s.handle.key.Append(s.buf[:0], k); err != nil {
		return spans, fmt.Errorf("store %s: key does not encode as %s: %w", s.handle.name, s.handle.key.Name(), err)
	}
	return s.cells.Of(s.buf, HashKey(s.buf), int64(from))
}

// Get returns the row of a key whose session has exactly these bounds.
func (s *Sessions[K, V]) Get(k K, start, end processor.Timestamp) (v V, ok bool, err error) {
	err = s.Overlapping(k, end, end, func(from, to processor.Timestamp, found V) bool {
		if from == start && to == end {
			v, ok = found, true
		}
		return !ok
	})
	return v, ok, err
}

// Overlapping visits the sessions of a key that have a moment in [from, to], both
// included, by end, then start. visit must not use the store.
func (s *Sessions[K, V]) Overlapping(k K, from, to processor.Timestamp, visit func(start, end processor.Timestamp, v V) bool) error {
	spans, err := s.of(k, from)
	if err != nil {
		return err
	}
	for i := spans.Search(int64(from)); i < spans.Len(); i++ {
		row := spans.At(i)
		if row.Start > int64(to) {
			continue // sessions that a processor writes may overlap
		}
		if !visit(processor.Timestamp(row.Start), processor.Timestamp(row.End), row.Value) {
			return nil
		}
	}
	return nil
}

// All visits all sessions of a key, by end, then start. visit must not use the
// store.
func (s *Sessions[K, V]) All(k K, visit func(start, end processor.Timestamp, v V) bool) error {
	return s.Overlapping(k, 0, math.MaxInt64, visit)
}

// Put writes the session [start, end], end included. One that has expired already
// is not written, and Put returns false. Writing a later session moves the store's
// clock, so that sessions which ended longer ago than the retention expire.
func (s *Sessions[K, V]) Put(k K, start, end processor.Timestamp, v V) (bool, error) {
	if start < 0 || end < start {
		return false, fmt.Errorf("store %s: a session from %d to %d is none; give 0 <= start <= end", s.handle.name, start, end)
	}
	if r := s.cells.spec.Retention.Milliseconds(); r > 0 {
		s.cells.ExpireBelow(int64(end) - r)
	}
	if int64(end) < s.cells.horizon {
		return false, nil
	}
	spans, err := s.of(k, end)
	if err != nil {
		return false, err
	}
	if i := spans.row().find(bounds{int64(start), int64(end)}); i >= 0 {
		spans.Set(i, v, int64(end))
		return true, nil
	}
	i := spans.Search(int64(end))
	spans.Replace(i, i, Span[V]{Start: int64(start), End: int64(end), Time: int64(end), Value: v})
	return true, nil
}

// Delete removes the session with exactly these bounds, if there is one.
func (s *Sessions[K, V]) Delete(k K, start, end processor.Timestamp) error {
	spans, err := s.of(k, end)
	if err != nil {
		return err
	}
	if i := spans.row().find(bounds{int64(start), int64(end)}); i >= 0 && int64(end) >= s.cells.horizon {
		spans.Remove(i, i+1)
	}
	return nil
}
