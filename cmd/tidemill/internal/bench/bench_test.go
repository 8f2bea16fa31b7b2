package bench

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// small is a job of a few thousand records.
func small(t *testing.T, workload, emit string) Job {
	t.Helper()
	j := Job{Workload: workload, Keys: 60, N: 50, Partitions: 3, Workers: 2, Emit: emit, CommitInterval: 2 * time.Millisecond, Dir: t.TempDir()}
	if workload != Hourly {
		j.Keys, j.N = 200, 3000
	}
	if err := j.Check(); err != nil {
		t.Fatal(err)
	}
	return j
}

func phase(t *testing.T, name string, j Job) Outcome {
	t.Helper()
	out, err := InProcess(t.Context(), name, j)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRun(t *testing.T) {
	for _, c := range []struct{ workload, emit string }{
		{Hourly, EmitUpdate}, {Hourly, EmitCommit}, {Hourly, EmitClose}, {Count, EmitUpdate}, {Count, EmitCommit}, {Restore, EmitCommit},
	} {
		t.Run(c.workload+"-"+c.emit, func(t *testing.T) {
			t.Parallel()
			j := small(t, c.workload, c.emit)
			var lines []Line
			err := Run(t.Context(), j, InProcess, func(l Line) error {
				lines = append(lines, l)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) != 2 || lines[0].Engine != EngineTidemill || lines[1].Engine != EngineHandwritten {
				t.Fatalf("lines %+v, want one of the engine and one of the loop", lines)
			}
			for _, l := range lines {
				checkLine(t, j, l)
			}
			if c.emit != EmitCommit && lines[0].OutputRecords != lines[1].OutputRecords {
				t.Errorf("%d outputs of the engine, %d of the loop", lines[0].OutputRecords, lines[1].OutputRecords)
			}
		})
	}
}

func checkLine(t *testing.T, j Job, l Line) {
	t.Helper()
	if !l.Verified || len(l.Problems) > 0 {
		t.Errorf("%s is not verified: %q", l.Engine, l.Problems)
	}
	if j.Workload != Restore && l.Records != j.Records() || l.Records == 0 {
		t.Errorf("%s: %d records, want %d", l.Engine, l.Records, j.Records())
	}
	if l.WallSeconds <= 0 || l.PeakRSSBytes <= 0 {
		t.Errorf("%s measured nothing: %+v", l.Engine, l)
	}
	if l.Engine == EngineTidemill && (l.BytesWritten <= 0 || l.Fsyncs <= 0) {
		t.Errorf("%s wrote nothing durable: %+v", l.Engine, l)
	}
	if j.Workload == Restore && l.ChangelogRecords != l.Records {
		t.Errorf("%s: %d changelog records, %d restored", l.Engine, l.ChangelogRecords, l.Records)
	}
}

// The loop of a wrong program must not pass either: here it loses a batch.
func TestHandwrittenIsChecked(t *testing.T) {
	for _, workload := range []string{Hourly, Count} {
		j := small(t, workload, EmitCommit)
		j.CommitRecords = 500
		phase(t, phaseFill, j)
		batches, err := j.load(t.Context(), inputTopic)
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := j.checkLoop(batches); err != nil || len(problems) > 0 {
			t.Fatalf("%s: %v %q", workload, err, problems)
		}
		for i := range batches {
			lossy := slices.Delete(slices.Clone(batches), i, i+1)
			if problems, err := j.checkLoop(lossy); err != nil || len(problems) == 0 {
				t.Errorf("%s: losing batch %d of %d went unnoticed (%v)", workload, i, len(batches), err)
			}
		}
	}
}

func TestRestoreIsChecked(t *testing.T) {
	j := small(t, Restore, EmitCommit)
	j.CommitRecords = 500
	phase(t, phaseFill, j)
	phase(t, phaseProcess, j)
	j.N-- // what the run was not
	if out := phase(t, phaseRestore, j); len(out.Problems) == 0 {
		t.Error("a sum of one record more went unnoticed")
	}
	if out := phase(t, phaseHandwritten, j); len(out.Problems) == 0 {
		t.Error("the loop did not notice it")
	}
}

// A run of less than the whole input must not pass.
func TestRunCountsItsInput(t *testing.T) {
	j := small(t, Hourly, EmitCommit)
	short := func(ctx context.Context, phase string, j Job) (Outcome, error) {
		out, err := InProcess(ctx, phase, j)
		if phase == phaseFill {
			out.Records--
		}
		return out, err
	}
	if err := Run(t.Context(), j, short, func(Line) error { return nil }); err == nil {
		t.Error("a short input went unnoticed")
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	j := small(t, Hourly, EmitCommit)
	ctx, cancel := context.WithCancel(t.Context())
	phases := func(ctx context.Context, phase string, j Job) (Outcome, error) {
		if phase == phaseProcess {
			cancel()
		}
		return InProcess(ctx, phase, j)
	}
	if err := Run(ctx, j, phases, func(Line) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a cancelled context", err)
	}
}

func TestUnknownPhase(t *testing.T) {
	if _, err := InProcess(t.Context(), "nonsense", Job{}); err == nil {
		t.Error("no error")
	}
}
