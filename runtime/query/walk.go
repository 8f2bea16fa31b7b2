package query

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/state"
)

// idBytes is what the store id takes at the front of an engine key. A row key
// without it is the same on all partitions.
const idBytes = 2

// span is a range of row keys; a nil bound is the end of the store.
type span struct{ lower, upper []byte }

// walk merges the rows of several partitions in the order (row key, partition),
// or the reverse of it. It holds a snapshot of each partition: close it soon.
type walk struct {
	sources heap.Interface
	order   *mergeOrder
	views   []*View
	current *source // whose row was returned last
	err     error
}

type source struct {
	view *View
	it   state.Iterator
}

func (s *source) rowKey() []byte { return s.it.Key()[idBytes:] }

// openWalk opens the given partitions. rows tells the range of each, since the
// horizon of a window store is each partition's own. after is the last row of
// the page before, or nil.
func openWalk(b Backend, st store, partitions []int32, rows func(*View) span, after *place, reverse bool) (*walk, error) {
	w := &walk{order: &mergeOrder{reverse: reverse}}
	w.sources = w.order
	for _, p := range partitions {
		v, err := st.view(b, p)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.views = append(w.views, v)
	}
	for _, v := range w.views {
		if err := w.add(v, rows(v).after(after, v.Partition, reverse)); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	heap.Init(w.sources)
	return w, nil
}

// after narrows a span to what follows a place.
func (s span) after(at *place, partition int32, reverse bool) span {
	if at == nil {
		return s
	}
	if reverse {
		upper := at.rowKey
		if partition < at.partition {
			upper = successor(upper)
		}
		if s.upper == nil || bytes.Compare(upper, s.upper) < 0 {
			s.upper = upper
		}
		return s
	}
	lower := at.rowKey
	if partition <= at.partition {
		lower = successor(lower)
	}
	if bytes.Compare(lower, s.lower) > 0 {
		s.lower = lower
	}
	return s
}

// successor is the smallest key above key.
func successor(key []byte) []byte { return append(bytes.Clone(key), 0) }

func (w *walk) add(v *View, rows span) error {
	if rows.upper != nil && bytes.Compare(rows.lower, rows.upper) >= 0 {
		return nil
	}
	lower := append(binary.BigEndian.AppendUint16(nil, v.ID), rows.lower...)
	_, upper := state.StoreRange(v.ID)
	if rows.upper != nil {
		upper = append(binary.BigEndian.AppendUint16(nil, v.ID), rows.upper...)
	}
	it, err := v.Iter(lower, upper, w.order.reverse)
	if err != nil {
		return fmt.Errorf("store %s, partition %d: open iterator: %w", v.Spec.Name, v.Partition, err)
	}
	s := &source{view: v, it: it}
	if it.Next() {
		w.order.sources = append(w.order.sources, s)
		return nil
	}
	return errors.Join(it.Err(), it.Close())
}

// next moves to the next row of all partitions.
func (w *walk) next() bool {
	if w.err != nil {
		return false
	}
	if s := w.current; s != nil {
		w.current = nil
		if s.it.Next() {
			heap.Fix(w.sources, 0)
		} else {
			heap.Pop(w.sources)
			w.err = errors.Join(s.it.Err(), s.it.Close())
		}
	}
	if w.err != nil || w.sources.Len() == 0 {
		return false
	}
	w.current = w.order.sources[0]
	return true
}

// row returns the current row, whose slices are valid until next.
func (w *walk) row() (row, error) {
	return splitRow(w.current.view, w.current.it.Key(), w.current.it.Value())
}

// place returns where the walk stands.
func (w *walk) place() place {
	return place{rowKey: bytes.Clone(w.current.rowKey()), partition: w.current.view.Partition}
}

func (w *walk) position() Position {
	p := make(Position, len(w.views))
	for _, v := range w.views {
		p[v.Partition] = v.Position
	}
	return p
}

// close releases iterators before the snapshots that they read.
func (w *walk) close() error {
	var errs []error
	for _, s := range w.order.sources {
		errs = append(errs, s.it.Close())
	}
	for _, v := range w.views {
		errs = append(errs, v.Close())
	}
	w.order.sources, w.views, w.current = nil, nil, nil
	return errors.Join(errs...)
}

// mergeOrder is a heap of the sources that have a row.
type mergeOrder struct {
	sources []*source
	reverse bool
}

func (m *mergeOrder) Len() int { return len(m.sources) }

func (m *mergeOrder) Less(i, j int) bool {
	a, b := m.sources[i], m.sources[j]
	c := bytes.Compare(a.rowKey(), b.rowKey())
	if c == 0 {
		c = int(a.view.Partition) - int(b.view.Partition)
	}
	return c < 0 != m.reverse && c != 0
}

func (m *mergeOrder) Swap(i, j int) { m.sources[i], m.sources[j] = m.sources[j], m.sources[i] }

func (m *mergeOrder) Push(x any) { m.sources = append(m.sources, x.(*source)) }

func (m *mergeOrder) Pop() any {
	last := len(m.sources) - 1
	s := m.sources[last]
	m.sources = m.sources[:last]
	return s
}
