//go:build !linux

package runtime

import "time"

// threadCPU is not known here; shares of CPU time are reported as 0.
func threadCPU() time.Duration { return 0 }
