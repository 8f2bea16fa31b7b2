package topology

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
	index   []uint32 // position in entries plus one; 0 is empty
	raw     []byte   // encoded keys, one behind the other
	null    *K

	lookups int // since the last start
	bypass  int // lookups left without remembering
}

type internedKey[K any] struct {
	hash     uint32
	start, n uint32 // the encoded key in raw
	key      K
}

func (c *interner[K]) lookup(raw []byte) (K, error) {
	if raw == nil {
		return c.lookupNull()
	}
	if c.bypass > 0 {
		c.bypass--
		return c.decode(raw)
	}
	c.lookups++
	hash := uint32(hashBytes(raw))
	if len(c.index) > 0 {
		mask := uint32(len(c.index) - 1)
		for i := hash & mask; c.index[i] != 0; i = (i + 1) & mask {
			e := &c.entries[c.index[i]-1]
			if e.hash == hash && string(c.raw[e.start:e.start+e.n]) == string(raw) {
				return e.key, nil
			}
		}
	}
	return c.insert(raw, hash)
}

func (c *interner[K]) insert(raw []byte, hash uint32) (K, error) {
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
	c.entries = append(c.entries, internedKey[K]{hash: hash, start: uint32(len(c.raw)), n: uint32(len(raw)), key: k})
	c.raw = append(c.raw, raw...)
	c.link(uint32(len(c.entries)), hash)
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
	c.index = make([]uint32, max(64, 2*len(c.index)))
	for i := range c.entries {
		c.link(uint32(i+1), c.entries[i].hash)
	}
}

func (c *interner[K]) link(position, hash uint32) {
	mask := uint32(len(c.index) - 1)
	i := hash & mask
	for c.index[i] != 0 {
		i = (i + 1) & mask
	}
	c.index[i] = position
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
