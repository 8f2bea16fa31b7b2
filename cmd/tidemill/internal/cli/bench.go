package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tidemill/tidemill/cmd/tidemill/internal/bench"
)

// phaseCommand is the hidden command that runs one phase of a benchmark.
const phaseCommand = "phase"

func newBench(env Env) *cobra.Command {
	return group("bench", "Measure the engine on a fixed workload, and check the result.",
		newBenchHourly(env), newBenchCount(env), newBenchRestore(env), newBenchPhase(env))
}

// benchFlags are what all benchmarks have.
type benchFlags struct {
	job  bench.Job
	dir  string
	keep bool
	reps int
}

func benchCommand(env Env, workload, use, short, long string) (*cobra.Command, *benchFlags) {
	f := &benchFlags{job: bench.Job{Workload: workload, Emit: bench.EmitCommit}}
	cmd := &cobra.Command{Use: use, Short: short, Long: short + "\n\n" + long + "\n\n" + benchLong, Args: exactArgs()}
	flags := cmd.Flags()
	flags.IntVar(&f.job.Partitions, "partitions", 2, "partitions of every topic")
	flags.IntVar(&f.job.Workers, "workers", 1, "goroutines that process tasks")
	flags.DurationVar(&f.job.CommitInterval, "commit-interval", 100*time.Millisecond, "time between commits")
	flags.StringVar(&f.job.CPUProfile, "cpuprofile", "", "write a CPU profile of the processing to this `file`")
	flags.StringVar(&f.job.MemProfile, "memprofile", "", "write a profile of all allocations to this `file`")
	flags.StringVar(&f.dir, "dir", ".", "`directory` in which a fresh one, .bench-*, is made for each run")
	flags.BoolVar(&f.keep, "keep", false, "keep that directory, and say its name")
	flags.IntVar(&f.reps, "reps", 1, "how often to run everything; profiles are of the last run")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) }
	return cmd, f
}

func newBenchHourly(env Env) *cobra.Command {
	cmd, f := benchCommand(env, bench.Hourly, "hourly", "Workload W1: hourly mean per meter.", hourlyLong)
	flags := cmd.Flags()
	flags.IntVar(&f.job.Keys, "meters", 10_000, "number of meters")
	flags.IntVar(&f.job.N, "rounds", 400, "readings per meter")
	flags.StringVar(&f.job.Emit, "emit", bench.EmitCommit, "when results leave: update, commit or close")
	flags.DurationVar(&f.job.Retention, "retention", 0, "how long windows are kept; 0 is window size plus grace. In a catch-up most rows then "+
		"expire before a commit logs them; with a day every row is logged")
	return cmd
}

func newBenchCount(env Env) *cobra.Command {
	cmd, f := benchCommand(env, bench.Count, "count", "Workload W2: running count per key.", countLong)
	flags := cmd.Flags()
	flags.IntVar(&f.job.Keys, "keys", 100_000, "number of distinct keys")
	flags.IntVar(&f.job.N, "records", 4_000_000, "number of records")
	flags.StringVar(&f.job.Emit, "emit", bench.EmitCommit, "when results leave: update or commit")
	return cmd
}

func newBenchRestore(env Env) *cobra.Command {
	cmd, f := benchCommand(env, bench.Restore, "restore", "Workload W3: rebuild deleted stores from the changelog.", restoreLong)
	flags := cmd.Flags()
	flags.IntVar(&f.job.Keys, "keys", 1_000_000, "number of distinct keys")
	flags.IntVar(&f.job.N, "records", 4_000_000, "number of records that are counted before")
	return cmd
}

func newBenchPhase(env Env) *cobra.Command {
	return &cobra.Command{
		Use: phaseCommand + " NAME", Short: "Run one phase of a benchmark.", Hidden: true, Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.Serve(cmd.Context(), args[0], env.Stdin, env.Stdout)
		},
	}
}

func (f *benchFlags) run(ctx context.Context, env Env) error {
	if err := f.job.Check(); err != nil {
		return usagef("%w", err)
	}
	if f.reps < 1 {
		return usagef("--reps is %d: want at least 1", f.reps)
	}
	phases := env.Phases
	if phases == nil {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program, to start its phases: %w", err)
		}
		phases = bench.Separate(env.Stderr, program, "bench", phaseCommand)
	}
	var lines []bench.Line
	report := func(l bench.Line) error {
		lines = append(lines, l)
		return writeJSON(env.Stdout, l)
	}
	for range f.reps {
		if err := f.once(ctx, env, phases, report); err != nil {
			return err
		}
	}
	if isTerminal(env.Stderr) {
		if err := benchTable(lines).write(env.Stderr); err != nil {
			return err
		}
	}
	return wrongResults(lines)
}

// once runs everything in a fresh directory.
func (f *benchFlags) once(ctx context.Context, env Env, phases bench.Phases, report func(bench.Line) error) (err error) {
	j := f.job
	if j.Dir, err = os.MkdirTemp(f.dir, ".bench-"); err != nil {
		return fmt.Errorf("directory for the run: %w", err)
	}
	if f.keep {
		fmt.Fprintln(env.Stderr, "kept:", j.Dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(j.Dir)) }()
	}
	for _, path := range []*string{&j.Dir, &j.CPUProfile, &j.MemProfile} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return bench.Run(ctx, j, phases, report)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// wrongResults is the error of lines that are not verified.
func wrongResults(lines []bench.Line) error {
	var errs []error
	for _, l := range lines {
		if !l.Verified {
			errs = append(errs, fmt.Errorf("the result of %s is wrong:\n  %s", l.Engine, strings.Join(l.Problems, "\n  ")))
		}
	}
	return errors.Join(errs...)
}

func benchTable(lines []bench.Line) *grid {
	g := &grid{header: []any{"workload", "engine", "emit", "records", "wall s", "CPU s", "k rec/s", "k rec/CPU s", "commits",
		"in commits", "outputs", "log MB", "disk MB", "fsyncs", "allocs/rec", "RSS MB", "verified"}}
	mb := func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }
	for _, l := range lines {
		g.add(l.Workload, l.Engine, l.Emit, l.Records, l.WallSeconds, l.CPUSeconds, int64(l.RecordsPerSecond/1000), int64(l.RecordsPerCPUSecond/1000),
			l.Commits, fmt.Sprintf("%.0f %%", 100*l.CommitShare), l.OutputRecords, mb(l.BytesWritten), mb(l.DeviceBytes), l.Fsyncs,
			l.AllocsPerRecord, mb(l.PeakRSSBytes), l.Verified)
	}
	return g
}
