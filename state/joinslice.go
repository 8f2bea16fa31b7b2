package state

import (
	"sort"
	"unsafe"
)

// joinSlice holds the cached rows of a slice. Rows of a key are chained, the
// newest first, because nearly every record is newer than those before it.
type joinSlice[V any] struct {
	start int64
	keys  table[joinKey]
	rows  []joinRow[V]
	// waits are the rows that wait, the last to come of each key and time, by time and
	// key from head on if sorted. A row that waits no more stays until it is met.
	waits    []uint32
	head     int
	unsorted bool
}

type joinKey struct {
	newest uint32 // position of the newest row plus one; 0: none
	dirty  uint32 // rows in the chain that the next commit writes
	known  bool   // the chain has all rows of the key
}

type joinRow[V any] struct {
	time     int64
	value    V
	sequence uint32
	key      uint32 // position of the key
	older    uint32 // position of the next row plus one
	flags    joinFlags
}

type joinFlags uint8

const (
	joinDirty   joinFlags = 1 << iota // differs from the committed row, or may
	joinWaiting                       // waits
	joinMarked                        // waits or has waited
	joinStored                        // the committed store has or had it
	joinListed                        // stands in the list of those that wait
)

// chain puts a row into the chain of its key.
func (s *joinSlice[V]) chain(r joinRow[V]) (at uint32) {
	at = uint32(len(s.rows))
	link := &s.keys.rows[r.key].value.newest
	for *link != 0 {
		if o := &s.rows[*link-1]; o.time < r.time || o.time == r.time && o.sequence <= r.sequence {
			break
		} else {
			link = &o.older
		}
	}
	r.older, *link = *link, at+1
	s.rows = append(s.rows, r)
	return at
}

// has says whether the chain of a key has a row.
func (s *joinSlice[V]) has(p int, time int64, sequence uint32) bool {
	for next := s.keys.rows[p].value.newest; next != 0; {
		r := &s.rows[next-1]
		if r.time == time && r.sequence == sequence {
			return true
		}
		if r.time < time {
			return false
		}
		next = r.older
	}
	return false
}

// list lets a row stand for all rows of its key and time, unless a newer one does:
// from the newest the others are found along the chain.
func (s *joinSlice[V]) list(at uint32) {
	time := s.rows[at].time
	for next := s.keys.rows[s.rows[at].key].value.newest; next != 0; next = s.rows[next-1].older {
		r := &s.rows[next-1]
		if r.time < time {
			break
		}
		if r.time > time || r.flags&joinListed == 0 {
			continue
		}
		if r.flags&joinWaiting != 0 && r.sequence > s.rows[at].sequence {
			return
		}
		r.flags &^= joinListed
	}
	s.rows[at].flags |= joinListed
	s.waits = append(s.waits, at)
	if n := len(s.waits); n-s.head > 1 && s.waiting(n-2).compare(s.waiting(n-1)) > 0 {
		s.unsorted = true
	}
}

// waiting is an entry of the list.
func (s *joinSlice[V]) waiting(i int) WaitingKey {
	r := &s.rows[s.waits[i]]
	return WaitingKey{Time: r.time, Key: s.keys.keyOf(r.key), row: s.waits[i] + 1}
}

func (s *joinSlice[V]) waitsStill(i int) bool {
	return s.rows[s.waits[i]].flags&(joinWaiting|joinListed) == joinWaiting|joinListed
}

// order sorts the list and cuts both ends to rows that still wait.
func (s *joinSlice[V]) order() {
	for s.head < len(s.waits) && !s.waitsStill(s.head) {
		s.head++
	}
	for s.head < len(s.waits) && !s.waitsStill(len(s.waits)-1) {
		s.waits = s.waits[:len(s.waits)-1]
	}
	if s.head == len(s.waits) {
		s.waits, s.head, s.unsorted = s.waits[:0], 0, false
	}
	if !s.unsorted {
		return
	}
	live := s.waits[:0]
	for i := s.head; i < len(s.waits); i++ {
		if s.waitsStill(i) {
			live = append(live, s.waits[i])
		}
	}
	s.waits, s.head, s.unsorted = live, 0, false
	sort.Sort((*waitOrder[V])(s))
}

// waitOrder sorts the list of a slice.
type waitOrder[V any] joinSlice[V]

func (o *waitOrder[V]) Len() int      { return len(o.waits) }
func (o *waitOrder[V]) Swap(i, j int) { o.waits[i], o.waits[j] = o.waits[j], o.waits[i] }
func (o *waitOrder[V]) Less(i, j int) bool {
	s := (*joinSlice[V])(o)
	return s.waiting(i).compare(s.waiting(j)) < 0
}

// firstFrom returns the first listed key that waits at or behind a point.
func (s *joinSlice[V]) firstFrom(point WaitingKey) (k WaitingKey, ok bool) {
	s.order()
	i := s.head
	if i < len(s.waits) && s.waiting(i).compare(point) < 0 {
		i += sort.Search(len(s.waits)-i, func(n int) bool { return s.waiting(s.head+n).compare(point) >= 0 })
	}
	for ; i < len(s.waits); i++ {
		if s.waitsStill(i) {
			return s.waiting(i), true
		}
	}
	return k, false
}

func (s *joinSlice[V]) bytes() int {
	var r joinRow[V]
	return s.keys.bytes() + cap(s.rows)*int(unsafe.Sizeof(r)) + 4*cap(s.waits)
}
