//go:build !unix

package bench

import (
	"errors"
	"time"
)

func processCPU() (time.Duration, error) {
	return 0, errors.New("this system does not tell the CPU time of a process; run the benchmark on Linux or macOS")
}

func peakRSS() int64 { return 0 }

func deviceBytes() int64 { return 0 }
