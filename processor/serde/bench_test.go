package serde_test

import (
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
)

// bench measures Append, Decode and, where there is one, DecodeAlias.
func bench[T any](b *testing.B, name string, s serde.Serde[T], v T) {
	buf := encode(b, s, v)
	b.Run(name+"/append", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 256)
		for b.Loop() {
			if _, err := s.Append(dst, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	decoders := map[string]func([]byte) (T, error){"decode": s.Decode}
	if a, ok := s.(serde.Aliaser[T]); ok {
		decoders["alias"] = a.DecodeAlias
	}
	for kind, decode := range decoders {
		b.Run(name+"/"+kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decode(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSerde(b *testing.B) {
	bench(b, "string", serde.String, "meter-000017")
	bench(b, "int64", serde.Int64, 17)
	bench(b, "float64", serde.Float64, 2.5)
	bench(b, "ordered-float64", serde.OrderedFloat64, 2.5)
	bench(b, "json", jsonReading, reading{Meter: "meter-000017", KWh: 2.5})
	bench(b, "time-windowed", hourly, windowKey{Key: "meter-000017", Start: 0, End: 3_600_000})
	bench[orderKey](b, "tuple", orderKeys, serde.MakeTuple2("meter-000017", int64(17)))
}
