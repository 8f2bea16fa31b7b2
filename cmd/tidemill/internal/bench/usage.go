package bench

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// usage is what the process has used so far.
type usage struct {
	at     time.Time
	cpu    time.Duration // user and system, all threads
	device int64         // bytes sent to storage
	allocs uint64
}

func measureUsage() (usage, error) {
	cpu, err := processCPU()
	if err != nil {
		return usage{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{at: time.Now(), cpu: cpu, device: deviceBytes(), allocs: m.Mallocs}, nil
}

// meter measures the part of a phase between start and stop, with profiles.
type meter struct {
	before  usage
	profile *os.File
}

// startMeter collects garbage first: what a phase needed to prepare is not to be
// paid for by what is measured.
func startMeter(j Job) (*meter, error) {
	m := &meter{}
	runtime.GC()
	if j.CPUProfile != "" {
		f, err := os.Create(j.CPUProfile)
		if err != nil {
			return nil, fmt.Errorf("CPU profile: %w", err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, fmt.Errorf("CPU profile: %w", err)
		}
		m.profile = f
	}
	var err error
	m.before, err = measureUsage()
	return m, err
}

// stop writes what was used into the outcome.
func (m *meter) stop(j Job, out *Outcome) error {
	after, err := measureUsage()
	if err != nil {
		return err
	}
	out.WallSeconds = after.at.Sub(m.before.at).Seconds()
	out.CPUSeconds = (after.cpu - m.before.cpu).Seconds()
	out.Allocations = after.allocs - m.before.allocs
	out.DeviceBytes = after.device - m.before.device
	out.PeakRSSBytes = peakRSS()
	if m.profile != nil {
		pprof.StopCPUProfile()
		if err := m.profile.Close(); err != nil {
			return fmt.Errorf("CPU profile: %w", err)
		}
	}
	if j.MemProfile == "" {
		return nil
	}
	f, err := os.Create(j.MemProfile)
	if err != nil {
		return fmt.Errorf("memory profile: %w", err)
	}
	if err := pprof.Lookup("allocs").WriteTo(f, 0); err != nil {
		return fmt.Errorf("memory profile: %w", err)
	}
	return f.Close()
}
