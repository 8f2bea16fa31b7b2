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

// row is one entry of a table. word holds the first eight bytes of the key: most
// comparisons end there, without a look into the arena, which is a cache miss.
type row[V any] struct {
	time  int64
	word  uint64
	value V
	key   ref
	flags rowFlags
}

// table is the write-back cache of one store or of one window: an open
// addressing hash table over rows kept in insertion order. It never shrinks; a
// cold table is dropped whole.
type table[V any] struct {
	keys  arena
	rows  []row[V]
	index []uint64 // hash, then position in rows plus one; 0 is empty; length a power of two
	dirty []uint32 // positions of dirty rows, each once
	// sorted says that dirty is in key order, so that emission per commit and the
	// drain share one sort.
	sorted bool
	// complete says that the table holds every row that exists, so that a miss
	// needs no read from the store.
	complete bool
}

// HashKey is the hash under which the stores of this process find a key.
func HashKey(key []byte) uint32 { return uint32(maphash.Bytes(seed, key)) }

// touch reads what a lookup of that hash will read first, so that the lookups of
// several records, soon to follow, wait for memory at the same time.
func (t *table[V]) touch(hash uint32) uint64 {
	if len(t.index) == 0 {
		return 0
	}
	slot := t.index[hash&uint32(len(t.index)-1)]
	if slot == 0 {
		return 0
	}
	return t.rows[uint32(slot)-1].word
}

// find returns the position of key, or -1.
func (t *table[V]) find(key []byte, hash uint32) (position int) {
	if len(t.index) == 0 {
		return -1
	}
	word := wordAt(key, 0)
	mask := uint32(len(t.index) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := t.index[i]
		if slot == 0 {
			return -1
		}
		if uint32(slot>>32) != hash {
			continue
		}
		r := &t.rows[uint32(slot)-1]
		if r.word == word && int(r.key.n) == len(key) && (len(key) <= wordBytes || bytes.Equal(t.keys.get(r.key), key)) {
			return int(uint32(slot) - 1)
		}
	}
}

// insert adds a key that find did not find.
func (t *table[V]) insert(key []byte, hash uint32) int {
	if (len(t.rows)+1)*4 > len(t.index)*3 {
		t.grow()
	}
	t.rows = append(t.rows, row[V]{key: t.keys.put(key), word: wordAt(key, 0)})
	t.link(uint64(hash)<<32 | uint64(len(t.rows)))
	return len(t.rows) - 1
}

func (t *table[V]) link(slot uint64) {
	mask := uint32(len(t.index) - 1)
	i := uint32(slot>>32) & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = slot
}

func (t *table[V]) grow() {
	old := t.index
	t.index = make([]uint64, max(16, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			t.link(slot)
		}
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

// sortPositions orders positions by key. The first eight bytes of a key lie in its
// row. Where all keys share them, as they do under a long common prefix, the eight
// bytes behind that prefix take their place. Either settles nearly every
// comparison between two numbers.
func (t *table[V]) sortPositions(positions []uint32) {
	if len(positions) < 2 {
		return
	}
	type sortKey struct {
		word     uint64
		position uint32
	}
	keys := make([]sortKey, len(positions))
	same := true
	for i, p := range positions {
		keys[i] = sortKey{word: t.rows[p].word, position: p}
		same = same && keys[i].word == keys[0].word
	}
	if same {
		skip := t.commonPrefix(positions)
		for i, p := range positions {
			keys[i].word = wordAt(t.keyOf(p), skip)
		}
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

const wordBytes = 8

// wordAt returns the eight bytes of k behind skip as a number that compares like
// them, padded with zeros.
func wordAt(k []byte, skip int) uint64 {
	k = k[skip:]
	if len(k) >= wordBytes {
		return binary.BigEndian.Uint64(k)
	}
	var w [wordBytes]byte
	copy(w[:], k)
	return binary.BigEndian.Uint64(w[:])
}

func (t *table[V]) keyOf(position uint32) []byte { return t.keys.get(t.rows[position].key) }

// bytes is about what the table occupies; memory behind pointers of V is not
// seen.
func (t *table[V]) bytes() int {
	var r row[V]
	return t.keys.size + cap(t.rows)*int(unsafe.Sizeof(r)) + 8*len(t.index) + 4*cap(t.dirty)
}
