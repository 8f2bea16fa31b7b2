package bench

import (
	"fmt"
	"time"
)

// The workloads. W3 is W2 followed by a restore.
const (
	Hourly  = "W1"
	Count   = "W2"
	Restore = "W3"
)

// When results are emitted.
const (
	EmitUpdate = "update"
	EmitCommit = "commit"
	EmitClose  = "close"
)

// Job says what to run. It is complete: a phase needs nothing else.
type Job struct {
	Workload string
	// Keys is the number of meters, or of distinct keys.
	Keys int
	// N is the number of rounds of W1, and of records of W2 and W3.
	N              int
	Partitions     int
	Workers        int
	Emit           string
	CommitInterval time.Duration
	// Retention is how long W1 keeps its windows; 0 is as long as lateness requires.
	Retention time.Duration
	// CommitRecords is how many records the handwritten loop collects before it
	// lets go of its outputs: the mean of the engine's commits.
	CommitRecords int64
	// Dir holds the log in log/ and the stores in state/.
	Dir string
	// CPUProfile and MemProfile are files for profiles of the processing, "" for none.
	CPUProfile, MemProfile string
}

const (
	maxKeys    = 10_000_000 // a key has seven digits
	maxRecords = 200_000_000
)

// Check returns what is wrong with the job, in the words of the flags.
func (j Job) Check() error {
	keys, n := "--keys", "--records"
	if j.Workload == Hourly {
		keys, n = "--meters", "--rounds"
	}
	switch {
	case j.Keys < 1 || j.Keys > maxKeys:
		return fmt.Errorf("%s is %d: want 1 to %d", keys, j.Keys, maxKeys)
	case j.N < 1 || j.N > maxRecords:
		return fmt.Errorf("%s is %d: want 1 to %d", n, j.N, maxRecords)
	case j.Records() > maxRecords:
		return fmt.Errorf("%d records are too many for the memory of the check: want at most %d", j.Records(), maxRecords)
	case j.Retention != 0 && j.Retention < windowSize+windowGrace:
		return fmt.Errorf("--retention is %v: want at least %v, window size plus grace, or 0 for just that", j.Retention, windowSize+windowGrace)
	case j.Partitions < 1 || j.Partitions > 1024:
		return fmt.Errorf("--partitions is %d: want 1 to 1024", j.Partitions)
	case j.Workers < 1 || j.Workers > 1024:
		return fmt.Errorf("--workers is %d: want 1 to 1024", j.Workers)
	case j.CommitInterval <= 0:
		return fmt.Errorf("--commit-interval is %v: want more than 0", j.CommitInterval)
	}
	switch {
	case j.Emit == EmitUpdate, j.Emit == EmitCommit, j.Emit == EmitClose && j.Workload == Hourly:
		return nil
	case j.Workload == Hourly:
		return fmt.Errorf("--emit is %q: want update, commit or close", j.Emit)
	}
	return fmt.Errorf("--emit is %q: want update or commit", j.Emit)
}

// Records is the number of records of the workload, without flush records.
func (j Job) Records() int64 {
	if j.Workload == Hourly {
		return int64(j.Keys) * int64(j.N)
	}
	return int64(j.N)
}

// inputRecords is the number of records in the input topic.
func (j Job) inputRecords() int64 {
	if j.Workload == Hourly {
		return j.Records() + int64(j.Partitions)
	}
	return j.Records()
}

// Outcome is what a phase reports. Each fills in what it knows.
type Outcome struct {
	Records          int64   // processed
	WallSeconds      float64 // of the measured part, as the rest of these
	CPUSeconds       float64
	CommitCPUSeconds float64
	Commits          int64
	OutputRecords    int64
	ChangelogRecords int64
	BytesWritten     int64
	Fsyncs           int64
	DeviceBytes      int64 // that the process sent to storage, stores included
	Allocations      uint64
	PeakRSSBytes     int64
	// Problems are the first few differences from the expected result.
	Problems []string
}
