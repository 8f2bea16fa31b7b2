package state

import (
	"cmp"
	"math"
	"slices"
)

// Span is a row of a store of spans: a session or a sliding window of a key, or an
// update that waits under the time it is due at.
type Span[V any] struct {
	Start, End int64
	Time       int64
	Value      V
}

func (s *Span[V]) sameBounds(o bounds) bool { return s.Start == o.start && s.End == o.end }

type bounds struct{ start, end int64 }

// Spans is a store of spans as an operator uses it: the rows of one key in the
// order of their ends, and all rows in that order.
type Spans[V any] interface {
	Instance
	// Of finds the rows of a key whose end is at least from. It is valid until the
	// next call of a method of the store.
	Of(key []byte, hash uint32, from int64) (KeySpans[V], error)
	// Touch reads what the next Of is likely to read; see [Cells].
	Touch(hash uint32) uint64
	// EachDirty visits what changed since the last commit by key, of each key first
	// the rows that are gone, then the others by end.
	EachDirty(visit func(SpanCell[V]) error) error
	// Ordered lets NextEnd and Next find rows. It is called before the first change.
	Ordered()
	// NextEnd is the end of the first row behind a point; ok is false if there is
	// none. It is cheap.
	NextEnd(after EndPoint) (end int64, ok bool, err error)
	// Next is the first row behind a point, by end, start and key. Points may only
	// move forward between commits, except that rows passed must not be asked for
	// again if they were removed.
	Next(after EndPoint) (cell SpanCell[V], ok bool, err error)
	// Stored counts the rows of the committed store, and the bytes of their keys and
	// values.
	Stored() (rows, bytes int64, err error)
	// ExpireBelow hides the rows that end before end, from now on.
	ExpireBelow(end int64)
	// Remember is how far behind the newest end of a key its rows are worth keeping
	// in memory.
	Remember(back int64)
}

// SpanCell is one row. Key is never written to again.
type SpanCell[V any] struct {
	Key []byte
	Span[V]
	Present bool // false: the row is gone
}

// EndPoint is a place in the order of ends. The zero EndPoint lies before every
// row but one that starts and ends at 0 and has an empty key.
type EndPoint struct {
	End, Start int64
	Key        []byte
}

func (p EndPoint) compare(end, start int64, key []byte) int {
	return cmp.Or(cmp.Compare(p.End, end), cmp.Compare(p.Start, start), slices.Compare(p.Key, key))
}

// BeforeAll lies before every row.
func BeforeAll() EndPoint { return EndPoint{End: -1, Start: -1} }

type spanFlags uint8

const (
	spanStored spanFlags = 1 << iota // the committed store has a row with these bounds
	spanDirty                        // the row differs from the committed one, or may
)

type cachedSpan[V any] struct {
	Span[V]
	flags spanFlags
}

// keySpans is what the cache knows of a key.
type keySpans[V any] struct {
	// from: every row whose end is at least from is in the list.
	from int64
	list []cachedSpan[V] // by end, then start
	// dead are the rows of the committed store that are gone since.
	dead []bounds
}

const (
	allSpans = math.MinInt64 // all rows of the key are in the list
	noSpans  = math.MaxInt64 // none has been read yet
)

// search returns the first row that ends at end or later.
func (k *keySpans[V]) search(end int64) int {
	// Most questions are about the newest rows.
	n := len(k.list)
	for i := n; i > max(0, n-4); i-- {
		if k.list[i-1].End < end {
			return i
		}
	}
	return searchEnd(k.list[:max(0, n-4)], end)
}

func searchEnd[V any](list []cachedSpan[V], end int64) int {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := (lo + hi) / 2
		if list[mid].End < end {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// find returns the position of the row with exactly these bounds, or -1.
func (k *keySpans[V]) find(b bounds) int {
	for i := k.search(b.end); i < len(k.list) && k.list[i].End == b.end; i++ {
		if k.list[i].Start == b.start {
			return i
		}
	}
	return -1
}

// KeySpans are the rows of one key.
type KeySpans[V any] struct {
	cells    *spanCells[V]
	position uint32
}

func (s KeySpans[V]) row() *keySpans[V] { return &s.cells.young.rows[s.position].value }

// Key returns the key as the cache keeps it. It is never written to again.
func (s KeySpans[V]) Key() []byte { return s.cells.young.keyOf(s.position) }

// Len is the number of rows in memory; those at Search and behind count.
func (s KeySpans[V]) Len() int { return len(s.row().list) }

// Search returns the position of the first row that ends at end or later and has
// not expired.
func (s KeySpans[V]) Search(end int64) int { return s.row().search(max(end, s.cells.horizon)) }

// Find returns the position of the row with exactly these bounds that has not
// expired, or -1.
func (s KeySpans[V]) Find(start, end int64) int {
	if end < s.cells.horizon {
		return -1
	}
	return s.row().find(bounds{start, end})
}

// At returns a row, to be read until the next change.
func (s KeySpans[V]) At(i int) *Span[V] { return &s.row().list[i].Span }

// Set changes the value of a row.
func (s KeySpans[V]) Set(i int, v V, time int64) {
	row := &s.row().list[i]
	row.Value, row.Time = v, time
	row.flags |= spanDirty
	s.cells.changed(s.position)
}

// Remove removes the rows i to j.
func (s KeySpans[V]) Remove(i, j int) {
	if i == j {
		return
	}
	row := s.row()
	for _, gone := range row.list[i:j] {
		if gone.flags&spanStored != 0 {
			row.dead = append(row.dead, bounds{gone.Start, gone.End})
		}
	}
	row.list = slices.Delete(row.list, i, j)
	s.cells.changed(s.position)
}

// Replace puts one row in the place of the rows i to j, or in their place in the
// order if there are none (i = j).
func (s KeySpans[V]) Replace(i, j int, span Span[V]) {
	row := s.row()
	put := cachedSpan[V]{Span: span, flags: spanDirty}
	for _, gone := range row.list[i:j] {
		if gone.flags&spanStored == 0 {
			continue
		}
		b := bounds{gone.Start, gone.End}
		if span.sameBounds(b) {
			put.flags |= spanStored
			continue
		}
		row.dead = append(row.dead, b)
	}
	// A row that was removed and comes back is a change of the committed one.
	isNew := put.flags&spanStored == 0
	if back := slices.Index(row.dead, bounds{span.Start, span.End}); back >= 0 {
		row.dead = slices.Delete(row.dead, back, back+1)
		put.flags |= spanStored
	}
	if i == j {
		for i > 0 && compareSpans(&row.list[i-1], &put) > 0 {
			i--
		}
		for i < len(row.list) && compareSpans(&row.list[i], &put) < 0 {
			i++
		}
		before := cap(row.list)
		row.list = slices.Insert(row.list, i, put)
		s.cells.grew(cap(row.list) - before)
	} else {
		row.list[i] = put
		row.list = slices.Delete(row.list, i+1, j)
	}
	s.cells.changed(s.position)
	if isNew {
		s.cells.order.push(span.End, span.Start, s.position)
	}
}

func compareSpans[V any](a, b *cachedSpan[V]) int {
	return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Start, b.Start))
}
