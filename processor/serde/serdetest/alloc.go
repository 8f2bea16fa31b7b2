package serdetest

import (
	"runtime"
	"testing"
)

// allocBase and allocFactor bound what decoding may allocate: 4 MiB and eight
// times its input. A decoder that trusts a length in its input exceeds that.
const (
	allocBase   = 4 << 20
	allocFactor = 8
)

// Bounded runs a decoder over an input of that many bytes and fails the test if it
// allocates more than 4 MiB and eight times the input. It counts the allocations
// of all goroutines, so nothing else may run meanwhile: it is for fuzz targets.
func Bounded(t testing.TB, input int, decode func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decode()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > allocBase+allocFactor*uint64(input) {
		t.Errorf("decoding %d bytes allocated %d bytes; check lengths against what is left before making room", input, got)
	}
}
