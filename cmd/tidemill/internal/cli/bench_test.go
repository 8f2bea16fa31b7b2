package cli

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/cmd/tidemill/internal/bench"
)

// lineFields are the fields of a line, in order: scripts depend on them.
const lineFields = "workload engine emit meters partitions workers records wall_seconds cpu_seconds records_per_second " +
	"records_per_cpu_second commit_share output_records changelog_records bytes_written fsyncs allocs_per_record peak_rss_bytes verified"

func decodeLines(t *testing.T, stdout string) (lines []bench.Line) {
	t.Helper()
	for _, text := range strings.Split(strings.TrimSuffix(stdout, "\n"), "\n") {
		var names []string
		for _, m := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		if got := strings.Join(names, " "); got != lineFields {
			t.Fatalf("fields %s\nwant %s", got, lineFields)
		}
		var l bench.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestBench(t *testing.T) {
	for _, c := range []struct {
		args    string
		records int64
	}{
		{"bench hourly --meters 40 --rounds 30 --emit update --workers 2", 1200},
		{"bench hourly --meters 40 --rounds 30 --emit close --partitions 3 --reps 2", 1200},
		{"bench count --keys 50 --records 900 --commit-interval 1ms", 900},
		{"bench restore --keys 50 --records 900", 50},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			got := tidemill(t, bench.InProcess, append(strings.Fields(c.args), "--dir", dir)...)
			if got.code != ExitOK || got.stderr != "" {
				t.Fatalf("exit code %d, standard error %q", got.code, got.stderr)
			}
			for i, l := range decodeLines(t, got.stdout) {
				if want := []string{bench.EngineTidemill, bench.EngineHandwritten}[i%2]; l.Engine != want || !l.Verified {
					t.Errorf("line %d: engine %s, verified %v, want %s", i, l.Engine, l.Verified, want)
				}
				// How many changelog records there are depends on the commits.
				if l.Records < c.records || l.Workload != bench.Restore && l.Records != c.records {
					t.Errorf("line %d: %d records, want %d", i, l.Records, c.records)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

// Without Phases each phase is a process: here this test binary.
func TestBenchInProcesses(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu.prof"), filepath.Join(dir, "mem.prof")
	got := tidemill(t, nil, "bench", "hourly", "--meters", "40", "--rounds", "30", "--dir", dir, "--cpuprofile", cpu, "--memprofile", mem)
	if got.code != ExitOK {
		t.Fatalf("exit code %d, standard error %q", got.code, got.stderr)
	}
	if lines := decodeLines(t, got.stdout); len(lines) != 2 || !lines[0].Verified || !lines[1].Verified {
		t.Errorf("lines %+v", lines)
	}
	for _, path := range []string{cpu, mem} {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("profile %s: %v", path, err)
		}
	}
	t.Run("a failing process", func(t *testing.T) {
		got := tidemill(t, nil, "bench", "hourly", "--meters", "4", "--rounds", "3", "--dir", dir, "--cpuprofile", filepath.Join(dir, "no", "such", "dir"))
		if got.code != ExitFailed || !strings.Contains(got.stderr, "phase process: ") {
			t.Errorf("exit code %d, standard error %q", got.code, got.stderr)
		}
	})
}

func TestBenchKeep(t *testing.T) {
	dir := t.TempDir()
	got := tidemill(t, bench.InProcess, "bench", "count", "--keys", "5", "--records", "20", "--dir", dir, "--keep")
	kept, ok := strings.CutPrefix(strings.TrimSpace(got.stderr), "kept: ")
	if info, err := os.Stat(filepath.Join(kept, "log")); got.code != ExitOK || !ok || err != nil || !info.IsDir() {
		t.Errorf("exit code %d, standard error %q: %v", got.code, got.stderr, err)
	}
}

// tampered runs phases, and puts a wrong result into the topic before it is
// verified.
func tampered(t *testing.T, key []byte) bench.Phases {
	return func(ctx context.Context, phase string, j bench.Job) (bench.Outcome, error) {
		if phase == "verify" {
			appendResult(t, j, key)
		}
		return bench.InProcess(ctx, phase, j)
	}
}

func appendResult(t *testing.T, j bench.Job, key []byte) {
	t.Helper()
	log, err := embedded.Open(embedded.Options{Dir: filepath.Join(j.Dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	w, err := log.OpenWriter(t.Context(), "intruder")
	if err != nil {
		t.Fatal(err)
	}
	var b recordbatch.Builder
	b.Append(0, key, binary.BigEndian.AppendUint64(nil, math.Float64bits(1234)), nil)
	err = errors.Join(w.Begin(), w.Append(commitlog.TopicPartition{Topic: "results", Partition: commitlog.Murmur2(key, int32(j.Partitions))}, &b))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
}

// The control of all that says "verified": a wrong result is a line that says so,
// an explanation and a failure.
func TestBenchWrongResult(t *testing.T) {
	got := tidemill(t, tampered(t, []byte("m0000003")), "bench", "count", "--keys", "10", "--records", "200", "--dir", t.TempDir())
	if got.code != ExitFailed || !strings.Contains(got.stderr, "the result of tidemill is wrong") || !strings.Contains(got.stderr, "the last count of key 3 is") {
		t.Errorf("exit code %d, standard error %q", got.code, got.stderr)
	}
	lines := decodeLines(t, got.stdout)
	if len(lines) != 2 || lines[0].Verified || !lines[1].Verified {
		t.Errorf("lines %+v, want the first not verified", lines)
	}
}

func TestBenchInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var stderr strings.Builder
	code := Main(ctx, Env{Stdout: &stderr, Stderr: &stderr, Phases: func(ctx context.Context, phase string, j bench.Job) (bench.Outcome, error) {
		if phase == "process" {
			cancel()
		}
		return bench.InProcess(ctx, phase, j)
	}}, []string{"bench", "count", "--keys", "10", "--records", "200", "--dir", dir})
	if code != ExitFailed || !strings.Contains(stderr.String(), "context canceled") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
