package commitlog_test

import (
	"math/rand/v2"
	"testing"

	kafka "github.com/segmentio/kafka-go"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// The oracle is kafka-go's balancer, which is tested against the Java client.
func TestMurmur2AgreesWithKafkaGo(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	oracle := kafka.Murmur2Balancer{Consistent: true}
	partitions := []int{0, 1, 2, 3, 4, 5, 6}
	for range 10_000 {
		key := make([]byte, 1+rng.IntN(40))
		for i := range key {
			key[i] = byte(rng.Uint32())
		}
		n := 1 + rng.IntN(len(partitions))
		want := oracle.Balance(kafka.Message{Key: key}, partitions[:n]...)
		if got := commitlog.Murmur2(key, int32(n)); int(got) != want {
			t.Fatalf("seed %d: Murmur2(%x, %d) = %d, kafka-go says %d", seed, key, n, got, want)
		}
	}
}
