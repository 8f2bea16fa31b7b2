package simtest

import (
	"os"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets garbage lie longer: thousands of nodes come and go. In the end no
// goroutine of any of them is left.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}
