package topology

// Partitioner places an encoded key (for windowed keys: the inner key) on one of
// n partitions. The name is durable: with another placement the keys of stored
// state would be looked for elsewhere, so a topology with another name is refused.
type Partitioner struct {
	Name  string
	Place func(key []byte, n int32) int32
}

// FNV1a is the partitioner of goka and of kafka-go's Hash balancer: FNV-1a of 32
// bits (Fowler, Noll, Vo), read as a signed number, of which the remainder is
// taken before the sign is dropped. A null key goes to partition 0.
func FNV1a() *Partitioner { return &Partitioner{Name: "fnv1a", Place: fnv1a} }

func fnv1a(key []byte, n int32) int32 {
	if key == nil {
		return 0
	}
	h := uint32(2166136261)
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	p := int32(h) % n
	if p < 0 {
		return -p
	}
	return p
}
