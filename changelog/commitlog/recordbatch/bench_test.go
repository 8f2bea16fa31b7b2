package recordbatch

import (
	"fmt"
	"testing"
)

// The benchmarks report one record per op, so that ns/op is ns a record.

var benchmarkSizes = []struct{ key, value int }{{8, 8}, {20, 48}, {20, 512}}

func BenchmarkAppend(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("key=%d/value=%d", size.key, size.value), func(b *testing.B) {
			key, value := make([]byte, size.key), make([]byte, size.value)
			var builder Builder
			b.ReportAllocs()
			b.SetBytes(int64(size.key + size.value))
			timeMs := int64(1_700_000_000_000)
			for b.Loop() {
				if builder.Size() > 1<<20 {
					builder.Reset()
				}
				timeMs++
				builder.Append(timeMs, key, value, nil)
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	var builder Builder
	fillForBenchmark(&builder, 8, 8)
	b.ReportAllocs()
	b.SetBytes(int64(builder.Size()))
	for b.Loop() {
		builder.Seal(NoProducer, false)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("key=%d/value=%d", size.key, size.value), func(b *testing.B) {
			var builder Builder
			fillForBenchmark(&builder, size.key, size.value)
			batch, _, err := Parse(builder.Seal(NoProducer, false))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(size.key + size.value))
			it := batch.Records()
			for b.Loop() {
				if !it.Next() {
					it = batch.Records()
				}
			}
			if it.Err() != nil {
				b.Fatal(it.Err())
			}
		})
	}
}

// BenchmarkParse is the cost of a batch apart from its records.
func BenchmarkParse(b *testing.B) {
	var builder Builder
	fillForBenchmark(&builder, 8, 8)
	raw := builder.Seal(NoProducer, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func fillForBenchmark(builder *Builder, keySize, valueSize int) {
	key, value := make([]byte, keySize), make([]byte, valueSize)
	for i := range 2000 {
		builder.Append(int64(1_700_000_000_000+i), key, value, nil)
	}
}
