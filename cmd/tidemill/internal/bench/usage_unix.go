//go:build unix

package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func processCPU() (time.Duration, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("CPU time of the process: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// peakRSS is in bytes. On Linux it comes from /proc, because there the figure of
// getrusage is inherited from the parent process.
func peakRSS() int64 {
	if kb, ok := procField("/proc/self/status", "VmHWM"); ok {
		return kb << 10
	}
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(r.Maxrss)
	}
	return int64(r.Maxrss) << 10
}

// deviceBytes is 0 where the system does not say.
func deviceBytes() int64 {
	n, _ := procField("/proc/self/io", "write_bytes")
	return n
}

// procField reads the number of a line "name: number".
func procField(path, name string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if rest, ok := bytes.CutPrefix(lines.Bytes(), []byte(name+":")); ok {
			fields := bytes.Fields(rest)
			if len(fields) == 0 {
				return 0, false
			}
			n, err := strconv.ParseInt(string(fields[0]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
