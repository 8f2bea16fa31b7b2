package topology

import "encoding/binary"

const (
	// internMax and internBytes bound the decoded keys that a source remembers.
	internMax   = 1 << 16
	internBytes = 4 << 20
	// internBypass is for how many lookups a source does without remembering, when
	// its keys hardly ever come again.
	internBypass = 16 * internMax
)

// interner remembers decoded keys, so that a key which comes again costs a hash
// and a comparison and no allocation. Keys are shared between records, which is
// why they must not be changed.
//
// It is an open-addressing table over entries in order of arrival. When it is
// full it starts afresh, which a set of keys that fits never sees; where most
// lookups miss, it stands aside for a while.
type interner[K any] struct {
	decode  func([]byte) (K, error)
	entries []internedKey[K]
	index   []uint64 // hash, then position in entries plus one; 0 is empty
	raw     []byte   // encoded keys, one behind the other
	null    *K

	lookups int // since the last start
	bypass  int // lookups left without remembering
}

// internedKey holds the first sixteen bytes of the encoded key itself: most keys
// are compared without a look into raw, which is a cache miss.
type internedKey[K any] struct {
	key      K
	head     [2]uint64
	start, n uint32 // the encoded key in raw
}

// headOf returns the first sixteen bytes of raw, padded with zeros.
func headOf(raw []byte) (head [2]uint64) {
	if len(raw) >= 8 {
		head[0] = binary.LittleEndian.Uint64(raw)
		raw = raw[8:]
		if len(raw) >= 8 {
			head[1] = binary.LittleEndian.Uint64(raw)
			return head
		}
		head[1] = tail(raw)
		return head
	}
	head[0] = tail(raw)
	return head
}

func tail(raw []byte) uint64 {
	var b [8]byte
	copy(b[:], raw)
	return binary.LittleEndian.Uint64(b[:])
}

// touch reads what a lookup of that hash will read.
func (c *interner[K]) touch(hash uint32) uint64 {
	if len(c.index) == 0 || c.bypass > 0 {
		return 0
	}
	slot := c.index[hash&uint32(len(c.index)-1)]
	if slot == 0 {
		return 0
	}
	return c.entries[uint32(slot)-1].head[0]
}

func (c *interner[K]) lookup(raw []byte, hash uint32) (K, error) {
	if raw == nil {
		return c.lookupNull()
	}
	if c.bypass > 0 {
		c.bypass--
		return c.decode(raw)
	}
	c.lookups++
	head := headOf(raw)
	if len(c.index) > 0 {
		mask := uint32(len(c.index) - 1)
		for i := hash & mask; c.index[i] != 0; i = (i + 1) & mask {
			if uint32(c.index[i]>>32) != hash {
				continue
			}
			e := &c.entries[uint32(c.index[i])-1]
			if e.head == head && int(e.n) == len(raw) && (len(raw) <= 16 || string(c.raw[e.start:e.start+e.n]) == string(raw)) {
				return e.key, nil
			}
		}
	}
	return c.insert(raw, head, hash)
}

func (c *interner[K]) insert(raw []byte, head [2]uint64, hash uint32) (K, error) {
	k, err := c.decode(raw)
	if err != nil {
		return k, err
	}
	if len(c.entries) >= internMax || len(c.raw)+len(raw) > internBytes {
		c.restart()
		return k, nil
	}
	if (len(c.entries)+1)*2 > len(c.index) {
		c.grow()
	}
	c.entries = append(c.entries, internedKey[K]{key: k, head: head, start: uint32(len(c.raw)), n: uint32(len(raw))})
	c.raw = append(c.raw, raw...)
	c.link(uint64(hash)<<32 | uint64(len(c.entries)))
	return k, nil
}

// restart forgets everything. If fewer than half of the lookups found their key,
// remembering costs more than it saves.
func (c *interner[K]) restart() {
	if c.lookups < 2*len(c.entries) {
		c.bypass = internBypass
	}
	clear(c.entries) // let go of what the keys refer to
	c.entries, c.raw, c.lookups = c.entries[:0], c.raw[:0], 0
	clear(c.index)
}

func (c *interner[K]) grow() {
	old := c.index
	c.index = make([]uint64, max(64, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			c.link(slot)
		}
	}
}

func (c *interner[K]) link(slot uint64) {
	mask := uint32(len(c.index) - 1)
	i := uint32(slot>>32) & mask
	for c.index[i] != 0 {
		i = (i + 1) & mask
	}
	c.index[i] = slot
}

func (c *interner[K]) lookupNull() (K, error) {
	if c.null != nil {
		return *c.null, nil
	}
	k, err := c.decode(nil)
	if err == nil {
		c.null = &k
	}
	return k, err
}
