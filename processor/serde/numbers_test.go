package serde_test

import (
	"cmp"
	"math"
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

var int64s = []int64{0, 1, -1, 42, 255, 256, -256, math.MaxInt32, math.MinInt32, 1<<53 + 1, math.MaxInt64, math.MinInt64}

func TestInt64(t *testing.T) {
	serdetest.Run(t, serde.Int64, int64s, nil)
	wantHex(t, serde.Int64, 258, "00 00 00 00 00 00 01 02")
	wantHex(t, serde.Int64, -2, "ff ff ff ff ff ff ff fe")
	wantDecodeError(t, serde.Int64, []byte("seven.."), "have 7 bytes", "want 8")
	wantDecodeError(t, serde.Int64, []byte{}, "have 0 bytes", "want 8")
	wantJSON(t, serde.Int64, math.MinInt64, "-9223372036854775808")
	wantText(t, serde.Int64, "-42", -42)
	wantNull(t, serde.Int64)
	refusesJSON(t, serde.Int64, "", "1.5", "1e3", `"1"`, "9223372036854775808", "1 2", "true")
	refusesText(t, serde.Int64, "", "x", "1.0", "9223372036854775808")
}

func TestInt32(t *testing.T) {
	serdetest.Run(t, serde.Int32, []int32{0, 1, -1, 42, math.MaxInt32, math.MinInt32}, nil)
	wantHex(t, serde.Int32, -2, "ff ff ff fe")
	wantDecodeError(t, serde.Int32, make([]byte, 8), "have 8 bytes", "want 4")
	wantText(t, serde.Int32, "42", 42)
	wantNull(t, serde.Int32)
	refusesJSON(t, serde.Int32, "2147483648", "1.5")
	refusesText(t, serde.Int32, "", "2147483648")
}

func TestBool(t *testing.T) {
	serdetest.Run(t, serde.Bool, []bool{false, true}, nil)
	wantHex(t, serde.Bool, true, "01")
	wantHex(t, serde.Bool, false, "00")
	wantDecodeError(t, serde.Bool, []byte{2}, "0x02")
	wantDecodeError(t, serde.Bool, []byte{0, 1}, "have 2 bytes", "want 1")
	wantJSON(t, serde.Bool, true, "true")
	wantText(t, serde.Bool, "true", true)
	wantText(t, serde.Bool, "false", false)
	wantNull(t, serde.Bool)
	refusesJSON(t, serde.Bool, "1", `"true"`)
	refusesText(t, serde.Bool, "", "1", "TRUE")
}

var float64s = []float64{0, 1, -1, 0.1, 1e-7, 1e21, 123456789, math.MaxFloat64, -math.MaxFloat64,
	math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN()}

// sameFloat tells 0 from -0 and takes every NaN for the same.
func sameFloat(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}

func TestFloat64(t *testing.T) {
	serdetest.Run(t, serde.Float64, append(float64s, math.Copysign(0, -1)), sameFloat)
	wantHex(t, serde.Float64, 1, "3f f0 00 00 00 00 00 00")
	wantHex(t, serde.Float64, math.Copysign(0, -1), "80 00 00 00 00 00 00 00")
	wantHex(t, serde.Float64, math.NaN(), "7f f8 00 00 00 00 00 00")
	wantHex(t, serde.Float64, math.Float64frombits(1<<63|0x7ff0_dead_beef_0001), "7f f8 00 00 00 00 00 00")
	for v, want := range map[float64]string{0: "0", 1e6: "1000000", 1e21: "1e+21", 1e-7: "1e-07", -2.5: "-2.5",
		math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`} {
		wantJSON(t, serde.Float64, v, want)
	}
	wantJSON(t, serde.Float64, math.NaN(), `"NaN"`)
	wantText(t, serde.Float64, "-2.5", -2.5)
	wantText(t, serde.Float64, "NaN", math.NaN())
	wantText(t, serde.Float64, "-Infinity", math.Inf(-1))
	wantNull(t, serde.Float64)
	refusesJSON(t, serde.Float64, "", "1e999", `"1"`, `"nan"`, "NaN", "[]")
	refusesText(t, serde.Float64, "", "x", "1e999")
}

func TestOrderedInt64(t *testing.T) {
	serdetest.Run(t, serde.OrderedInt64, int64s, nil)
	serdetest.RunOrdered(t, serde.OrderedInt64, int64s, cmp.Compare)
	wantHex(t, serde.OrderedInt64, 0, "80 00 00 00 00 00 00 00")
	wantHex(t, serde.OrderedInt64, -1, "7f ff ff ff ff ff ff ff")
	wantJSON(t, serde.OrderedInt64, -42, "-42")
	wantText(t, serde.OrderedInt64, "-42", -42)
	wantNull(t, serde.OrderedInt64)
	refusesJSON(t, serde.OrderedInt64, "1.5")
	refusesText(t, serde.OrderedInt64, "")
}

// nanLast is the order of OrderedFloat64; cmp.Compare puts NaN first.
func nanLast(a, b float64) int {
	switch {
	case a != a || b != b:
		return cmp.Compare(b2i(a != a), b2i(b != b))
	default:
		return cmp.Compare(a, b)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestOrderedFloat64(t *testing.T) {
	serdetest.Run(t, serde.OrderedFloat64, float64s, sameFloat)
	serdetest.RunOrdered(t, serde.OrderedFloat64, append(float64s, math.Copysign(0, -1)), nanLast)
	wantHex(t, serde.OrderedFloat64, 0, "80 00 00 00 00 00 00 00")
	wantHex(t, serde.OrderedFloat64, math.Copysign(0, -1), "80 00 00 00 00 00 00 00")
	wantHex(t, serde.OrderedFloat64, math.NaN(), "ff f8 00 00 00 00 00 00")
	wantHex(t, serde.OrderedFloat64, -1, "40 0f ff ff ff ff ff ff")
	wantDecodeError(t, serde.OrderedFloat64, []byte{0x7f, 255, 255, 255, 255, 255, 255, 255}, "second encoding of -0")
	wantDecodeError(t, serde.OrderedFloat64, make([]byte, 8), "second encoding of NaN")
	wantJSON(t, serde.OrderedFloat64, math.Inf(-1), `"-Infinity"`)
	wantText(t, serde.OrderedFloat64, "-0", 0)
	wantNull(t, serde.OrderedFloat64)
	refusesJSON(t, serde.OrderedFloat64, "x")
	refusesText(t, serde.OrderedFloat64, "x")
}
