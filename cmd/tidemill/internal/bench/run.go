package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Line is one result, as it is printed.
type Line struct {
	Workload            string  `json:"workload"`
	Engine              string  `json:"engine"`
	Emit                string  `json:"emit"`
	Meters              int     `json:"meters"` // or keys
	Partitions          int     `json:"partitions"`
	Workers             int     `json:"workers"`
	Records             int64   `json:"records"`
	WallSeconds         float64 `json:"wall_seconds"`
	CPUSeconds          float64 `json:"cpu_seconds"`
	RecordsPerSecond    float64 `json:"records_per_second"`
	RecordsPerCPUSecond float64 `json:"records_per_cpu_second"`
	CommitShare         float64 `json:"commit_share"`
	OutputRecords       int64   `json:"output_records"`
	ChangelogRecords    int64   `json:"changelog_records"`
	BytesWritten        int64   `json:"bytes_written"`
	Fsyncs              int64   `json:"fsyncs"`
	AllocsPerRecord     float64 `json:"allocs_per_record"`
	PeakRSSBytes        int64   `json:"peak_rss_bytes"`
	Verified            bool    `json:"verified"`

	// Problems say why a result is not verified, and Commits and DeviceBytes are
	// for people: they are not part of the line.
	Problems    []string `json:"-"`
	Commits     int64    `json:"-"`
	DeviceBytes int64    `json:"-"`
}

// The engines of a [Line].
const (
	EngineTidemill    = "tidemill"
	EngineHandwritten = "handwritten"
)

// Run runs the phases of a job in its empty directory, and calls report with each
// result as soon as it is there. A wrong result is not an error but a line that
// is not verified.
func Run(ctx context.Context, j Job, phases Phases, report func(Line) error) error {
	filled, err := phases(ctx, phaseFill, j.plain())
	if err != nil {
		return err
	}
	if filled.Records != j.inputRecords() {
		return fmt.Errorf("%d records were written to %s, want %d", filled.Records, inputTopic, j.inputRecords())
	}
	if j.Workload == Restore {
		return runRestore(ctx, j, phases, report)
	}
	processed, err := phases(ctx, phaseProcess, j)
	if err != nil {
		return err
	}
	checked, err := phases(ctx, phaseVerify, j.plain())
	if err != nil {
		return err
	}
	processed.Problems = append(processed.Problems, checked.Problems...)
	if checked.OutputRecords != processed.OutputRecords {
		processed.Problems = append(processed.Problems,
			fmt.Sprintf("the engine emitted %d results, %s holds %d", processed.OutputRecords, outputTopic, checked.OutputRecords))
	}
	if err := report(j.line(EngineTidemill, j.Records(), processed)); err != nil {
		return err
	}
	byHand := j.plain()
	byHand.CommitRecords = max(processed.Records/max(processed.Commits, 1), 1)
	return runHandwritten(ctx, byHand, phases, report)
}

// runRestore fills the stores, deletes them, and measures how they come back.
func runRestore(ctx context.Context, j Job, phases Phases, report func(Line) error) error {
	processed, err := phases(ctx, phaseProcess, j.plain())
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(j.Dir, "state")); err != nil {
		return fmt.Errorf("delete the stores: %w", err)
	}
	restored, err := phases(ctx, phaseRestore, j)
	if err != nil {
		return err
	}
	restored.Problems = append(processed.Problems, restored.Problems...)
	if restored.Records != processed.ChangelogRecords {
		restored.Problems = append(restored.Problems,
			fmt.Sprintf("%d changelog records were restored, %d had been written", restored.Records, processed.ChangelogRecords))
	}
	if err := report(j.line(EngineTidemill, restored.Records, restored)); err != nil {
		return err
	}
	return runHandwritten(ctx, j.plain(), phases, report)
}

func runHandwritten(ctx context.Context, j Job, phases Phases, report func(Line) error) error {
	out, err := phases(ctx, phaseHandwritten, j)
	if err != nil {
		return err
	}
	records := j.Records()
	if j.Workload == Restore {
		records = out.Records
	}
	j.Workers = 1
	return report(j.line(EngineHandwritten, records, out))
}

// plain is the job for phases that are not profiled.
func (j Job) plain() Job {
	j.CPUProfile, j.MemProfile = "", ""
	return j
}

func (j Job) line(engine string, records int64, o Outcome) Line {
	return Line{
		Workload: j.Workload, Engine: engine, Emit: j.Emit, Meters: j.Keys, Partitions: j.Partitions, Workers: j.Workers,
		Records: records, WallSeconds: rounded(o.WallSeconds), CPUSeconds: rounded(o.CPUSeconds),
		RecordsPerSecond: math.Round(per(float64(records), o.WallSeconds)), RecordsPerCPUSecond: math.Round(per(float64(records), o.CPUSeconds)),
		CommitShare: rounded(per(o.CommitCPUSeconds, o.CPUSeconds)), OutputRecords: o.OutputRecords, ChangelogRecords: o.ChangelogRecords,
		BytesWritten: o.BytesWritten, Fsyncs: o.Fsyncs, AllocsPerRecord: rounded(per(float64(o.Allocations), float64(records))),
		PeakRSSBytes: o.PeakRSSBytes, Verified: len(o.Problems) == 0,
		Problems: o.Problems, Commits: o.Commits, DeviceBytes: o.DeviceBytes,
	}
}

// rounded drops digits that no measurement has.
func rounded(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// per divides, with 0 for what was too short to measure.
func per(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}
