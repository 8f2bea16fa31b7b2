package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"unsafe"
)

// seed makes tables resistant to keys chosen to collide. It never reaches
// anything durable or visible: tables are drained in key order.
var seed = maphash.MakeSeed()

type rowFlags uint8

const (
	rowPresent rowFlags = 1 << iota // the row exists; without it the entry says that it does not
	rowDirty                        // differs from the committed store, or may
)

// row is one entry of a table.
type row[V any] struct {
	time  int64
	value V
	key   ref
	hash  uint32
	flags rowFlags
}

// table is the write-back cache of one store or of one window: an open
// addressing hash table over rows kept in insertion order. It never shrinks; a
// cold table is dropped whole.
type table[V any] struct {
	keys  arena
	rows  []row[V]
	index []uint32 // position in rows plus one; 0 is empty; length a power of two
	dirty []uint32 // positions of dirty rows, each once
	// sorted says that dirty is in key order, so that emission per commit and the
	// drain share one sort.
	sorted bool
	// complete says that the table holds every row that exists, so that a miss
	// needs no read from the store.
	complete bool
}

// find returns the position of key, or -1.
func (t *table[V]) find(key []byte) (position int, hash uint32) {
	hash = uint32(maphash.Bytes(seed, key))
	if len(t.index) == 0 {
		return -1, hash
	}
	mask := uint32(len(t.index) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := t.index[i]
		if slot == 0 {
			return -1, hash
		}
		r := &t.rows[slot-1]
		if r.hash == hash && bytes.Equal(t.keys.get(r.key), key) {
			return int(slot - 1), hash
		}
	}
}

// insert adds a key that find did not find.
func (t *table[V]) insert(key []byte, hash uint32) int {
	if (len(t.rows)+1)*4 > len(t.index)*3 {
		t.grow()
	}
	t.rows = append(t.rows, row[V]{key: t.keys.put(key), hash: hash})
	t.link(uint32(len(t.rows)), hash)
	return len(t.rows) - 1
}

func (t *table[V]) link(slot, hash uint32) {
	mask := uint32(len(t.index) - 1)
	i := hash & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = slot
}

func (t *table[V]) grow() {
	t.index = make([]uint32, max(16, 2*len(t.index)))
	for i := range t.rows {
		t.link(uint32(i+1), t.rows[i].hash)
	}
}

func (t *table[V]) set(position int, v V, time int64) {
	r := &t.rows[position]
	r.value, r.time = v, time
	t.markDirty(position, r.flags|rowPresent)
}

func (t *table[V]) remove(position int) {
	r := &t.rows[position]
	var zero V
	r.value, r.time = zero, 0
	t.markDirty(position, r.flags&^rowPresent)
}

func (t *table[V]) markDirty(position int, flags rowFlags) {
	if flags&rowDirty == 0 {
		t.dirty = append(t.dirty, uint32(position))
		t.sorted = false
	}
	t.rows[position].flags = flags | rowDirty
}

// clean forgets the dirty set after a commit.
func (t *table[V]) clean() {
	for _, p := range t.dirty {
		t.rows[p].flags &^= rowDirty
	}
	t.dirty, t.sorted = t.dirty[:0], false
}

// sortDirty puts the dirty rows into key order.
func (t *table[V]) sortDirty() []uint32 {
	if !t.sorted {
		t.sortPositions(t.dirty)
		t.sorted = true
	}
	return t.dirty
}

// sortPositions orders positions by key. Keys of one store mostly share a
// prefix; behind it eight bytes fit into a word, which settles nearly every
// comparison without touching the arena.
func (t *table[V]) sortPositions(positions []uint32) {
	if len(positions) < 2 {
		return
	}
	type sortKey struct {
		word     uint64
		position uint32
	}
	skip := t.commonPrefix(positions)
	keys := make([]sortKey, len(positions))
	for i, p := range positions {
		keys[i] = sortKey{word: wordAt(t.keyOf(p), skip), position: p}
	}
	slices.SortFunc(keys, func(a, b sortKey) int {
		if a.word != b.word {
			return cmp.Compare(a.word, b.word)
		}
		return bytes.Compare(t.keyOf(a.position), t.keyOf(b.position))
	})
	for i, k := range keys {
		positions[i] = k.position
	}
}

func (t *table[V]) commonPrefix(positions []uint32) int {
	first := t.keyOf(positions[0])
	n := len(first)
	for _, p := range positions[1:] {
		k := t.keyOf(p)
		n = min(n, len(k))
		for i := range n {
			if k[i] != first[i] {
				n = i
				break
			}
		}
		if n == 0 {
			return 0
		}
	}
	return n
}

// wordAt returns the eight bytes of k behind skip as a number that compares like
// them, padded with zeros.
func wordAt(k []byte, skip int) uint64 {
	k = k[skip:]
	if len(k) >= 8 {
		return binary.BigEndian.Uint64(k)
	}
	var w [8]byte
	copy(w[:], k)
	return binary.BigEndian.Uint64(w[:])
}

func (t *table[V]) keyOf(position uint32) []byte { return t.keys.get(t.rows[position].key) }

// bytes is about what the table occupies; memory behind pointers of V is not
// seen.
func (t *table[V]) bytes() int {
	var r row[V]
	return t.keys.size + cap(t.rows)*int(unsafe.Sizeof(r)) + 4*(len(t.index)+cap(t.dirty))
}
