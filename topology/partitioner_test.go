package topology

import (
	"math/rand/v2"
	"testing"

	kafka "github.com/segmentio/kafka-go"
)

// The oracle is kafka-go's balancer. The key is the one whose hash is the
// smallest signed number, which has no positive counterpart.
func TestFNV1aAgreesWithKafkaGo(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	partitions := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	keys := [][]byte{[]byte("c2609kr0"), {}}
	for range 10_000 {
		key := make([]byte, 1+rng.IntN(40))
		for i := range key {
			key[i] = byte(rng.Uint32())
		}
		keys = append(keys, key)
	}
	for _, key := range keys {
		for _, n := range []int{1, 3, 10} {
			var oracle kafka.Hash
			want := oracle.Balance(kafka.Message{Key: key}, partitions[:n]...)
			if got := FNV1a().Place(key, int32(n)); int(got) != want {
				t.Fatalf("seed %d: FNV1a(%x, %d) = %d, kafka-go says %d", seed, key, n, got, want)
			}
		}
	}
	if got := FNV1a().Place([]byte("c2609kr0"), 10); got != 8 {
		t.Errorf("the smallest signed hash goes to partition %d, goka's producer puts it on 8", got)
	}
	if got := FNV1a().Place(nil, 10); got != 0 {
		t.Errorf("a null key goes to partition %d", got)
	}
}
