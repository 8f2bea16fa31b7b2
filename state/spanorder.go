package state

import (
	"bytes"
	"cmp"
	"fmt"
	"unsafe"
)

// endOrder finds the rows of a store by their ends: those of the committed store
// through its entries of ends, in chunks; those with bounds that are new since the
// commit through a heap. Entries of rows that have changed since are passed over
// when they come up, so a change costs nothing but the push.
type endOrder[V any] struct {
	cells *spanCells[V]
	on    bool
	heap  []endEntry
	// stored are the next committed rows behind the last question; more says that
	// others follow them.
	stored []storedEnd
	more   bool
	loaded bool
	last   EndPoint // of the last chunk
	chunk  int
}

// endEntry says where a row with these bounds was put. It may be gone.
type endEntry struct {
	end, start int64
	position   uint32
}

type storedEnd struct {
	end, start int64
	key        []byte
}

const (
	firstEnds = 16
	mostEnds  = 1024
)

func (o *endOrder[V]) push(end, start int64, position uint32) {
	if !o.on {
		return
	}
	o.heap = append(o.heap, endEntry{end, start, position})
	for i := len(o.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !o.less(i, parent) {
			return
		}
		o.heap[i], o.heap[parent] = o.heap[parent], o.heap[i]
		i = parent
	}
}

func (o *endOrder[V]) less(i, j int) bool {
	a, b := &o.heap[i], &o.heap[j]
	if a.end != b.end || a.start != b.start {
		return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.start, b.start)) < 0
	}
	young := o.cells.young
	return bytes.Compare(young.keyOf(a.position), young.keyOf(b.position)) < 0
}

func (o *endOrder[V]) pop() {
	last := len(o.heap) - 1
	o.heap[0] = o.heap[last]
	o.heap = o.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return
		}
		if child+1 < last && o.less(child+1, child) {
			child++
		}
		if !o.less(child, i) {
			return
		}
		o.heap[i], o.heap[child] = o.heap[child], o.heap[i]
		i = child
	}
}

func (o *endOrder[V]) bytes() int { return cap(o.heap) * int(unsafe.Sizeof(endEntry{})) }

// reset is called after a commit: every row is a committed one now.
func (o *endOrder[V]) reset() {
	o.heap, o.stored, o.loaded, o.chunk = o.heap[:0], nil, false, firstEnds
	o.last = BeforeAll()
}

// fresh brings the first row of the heap that exists and lies behind a point to
// its top. A committed row that was removed and came back is there too.
func (o *endOrder[V]) fresh(after EndPoint) (e endEntry, row *cachedSpan[V], ok bool) {
	young := o.cells.young
	for len(o.heap) > 0 {
		e = o.heap[0]
		k := &young.rows[e.position].value
		if at := k.find(bounds{e.start, e.end}); at >= 0 &&
			after.compare(e.end, e.start, young.keyOf(e.position)) < 0 {
			return e, &k.list[at], true
		}
		o.pop()
	}
	return e, nil, false
}

// committed brings the first committed row behind a point that still exists to
// the front of stored.
func (o *endOrder[V]) committed(after EndPoint) (e *storedEnd, ok bool, err error) {
	for {
		for len(o.stored) > 0 {
			e = &o.stored[0]
			if after.compare(e.end, e.start, e.key) < 0 && o.lives(e) {
				return e, true, nil
			}
			o.stored = o.stored[1:]
		}
		if o.loaded && !o.more {
			return nil, false, nil
		}
		if err := o.load(after); err != nil {
			return nil, false, fmt.Errorf("store %s: scan: %w", o.cells.spec.Name, err)
		}
	}
}

// lives says whether a committed row has not been removed since.
func (o *endOrder[V]) lives(e *storedEnd) bool {
	k, known := o.cells.cached(e.key)
	return !known || k.from > e.end || k.find(bounds{e.start, e.end}) >= 0
}

// load reads the next entries behind a point.
func (o *endOrder[V]) load(after EndPoint) error {
	c := o.cells
	if after.compare(o.last.End, o.last.Start, o.last.Key) < 0 {
		after = o.last // what came before has been passed: it is gone, or in the heap again
	}
	from := c.seekEnd(after.End)
	// Sliding windows are found by start alone, which says nothing if it is not that
	// of a window with this end.
	if after.End >= 0 && (!c.spec.Kind.byStart() || after.Start == after.End-c.spec.WindowSize.Milliseconds()) {
		from = c.spec.AppendEndKey(nil, c.id, max(0, after.Start), after.End, after.Key)
	}
	_, upper := StoreRange(c.id)
	it, err := c.view.Iter(from, upper, false)
	if err != nil {
		return err
	}
	defer it.Close()
	o.chunk = min(max(o.chunk, firstEnds)*2, mostEnds)
	o.stored, o.loaded, o.more = nil, true, false
	for it.Next() {
		start, end, key, err := c.spec.splitEndKey(it.Key())
		if err != nil {
			return err
		}
		if after.compare(end, start, key) >= 0 {
			continue
		}
		if len(o.stored) == o.chunk {
			o.more = true
			break
		}
		o.stored = append(o.stored, storedEnd{end, start, bytes.Clone(key)})
		o.last = EndPoint{end, start, o.stored[len(o.stored)-1].key}
	}
	return it.Err()
}

// cached returns what the cache knows of a key.
func (c *spanCells[V]) cached(key []byte) (k *keySpans[V], known bool) {
	hash := HashKey(key)
	if p := c.young.find(key, hash); p >= 0 {
		return &c.young.rows[p].value, true
	}
	if c.old != nil {
		if p := c.old.find(key, hash); p >= 0 {
			return &c.old.rows[p].value, true
		}
	}
	return nil, false
}

// Ordered implements Spans.
func (c *spanCells[V]) Ordered() { c.order.on = true }

// NextEnd implements Spans.
func (c *spanCells[V]) NextEnd(after EndPoint) (end int64, ok bool, err error) {
	stored, ok, err := c.order.committed(after)
	if err != nil {
		return 0, false, err
	}
	e, _, added := c.order.fresh(after)
	switch {
	case ok && (!added || stored.end < e.end):
		return stored.end, true, nil
	case added:
		return e.end, true, nil
	}
	return 0, false, nil
}

// Next implements Spans.
func (c *spanCells[V]) Next(after EndPoint) (cell SpanCell[V], ok bool, err error) {
	stored, ok, err := c.order.committed(after)
	if err != nil {
		return cell, false, err
	}
	e, row, added := c.order.fresh(after)
	if !ok && !added {
		return cell, false, nil
	}
	if added {
		key := c.young.keyOf(e.position)
		point := EndPoint{End: e.end, Start: e.start, Key: key}
		if !ok || point.compare(stored.end, stored.start, stored.key) < 0 {
			return SpanCell[V]{Key: key, Span: row.Span, Present: true}, true, nil
		}
	}
	spans, err := c.Of(stored.key, HashKey(stored.key), stored.end)
	if err != nil {
		return cell, false, err
	}
	at := spans.row().find(bounds{stored.start, stored.end})
	if at < 0 {
		return cell, false, fmt.Errorf("store %s: the row of an entry of ends is missing; rebuild the store from its changelog", c.spec.Name)
	}
	return SpanCell[V]{Key: spans.Key(), Span: *spans.At(at), Present: true}, true, nil
}
