package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// meters runs the program in this process, without an HTTP server.
func meters(ctx context.Context, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = command(ctx, append([]string{"-listen", ""}, args...), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// mustRun runs the program to its end, which has to be a good one.
func mustRun(t *testing.T, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := meters(t.Context(), stdin, append(args, "-exit")...)
	if code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// contains checks that a text has all parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}

// lines are n readings of several meters, a quarter of an hour apart.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		at := time.Date(2018, 10, 29, 0, 15*(i/3), 0, 0, time.UTC)
		fmt.Fprintf(&b, "m%d,%s,%d\n", i%3, at.Format(time.RFC3339), i)
	}
	return b.String()
}

func TestSampleIsOutOfOrderAndPartlyLate(t *testing.T) {
	o := compute(t, sample, 4)
	if o.late < 10 || len(o.hourly) < 10_000 || o.valid != 52_415 {
		t.Errorf("%d valid readings, %d of them late, %d hourly windows", o.valid, o.late, len(o.hourly))
	}
}

func TestSampleMatchesOfflineResult(t *testing.T) {
	o := compute(t, sample, 4)
	for _, emit := range []string{"update", "commit", "close"} {
		t.Run(emit, func(t *testing.T) {
			t.Parallel()
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "hourly.csv")
			stdout, stderr := mustRun(t, "", "-dir", dir, "-emit", emit, "-out", out)
			rows := readOutput(t, out)
			if v := judge(o, emit, rows); v != (verdict{}) {
				t.Error(v)
			}
			contains(t, stdout, "reading the bundled sample", "52416 readings sent, 0 malformed", dir,
				fmt.Sprintf("%d hourly results written to %s", len(rows), out))
			if stderr != "" {
				t.Errorf("stderr: %s", stderr)
			}
		})
	}
}

// Interrupted again and again, the program goes on where it was.
func TestInterruptAndContinue(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "hourly.csv")
	o := compute(t, sample, 3)
	args := []string{"-dir", dir, "-partitions", "3", "-out", out}
	for i := range 4 {
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(50+100*i)*time.Millisecond)
		code, stdout, stderr := meters(ctx, "", args...)
		stop()
		if code != 0 || stderr != "" {
			t.Fatalf("interrupted: exit code %d\n%s%s", code, stdout, stderr)
		}
	}
	mustRun(t, "", args...)
	if v := judge(o, "update", readOutput(t, out)); v != (verdict{}) {
		t.Error(v)
	}
	stdout, _ := mustRun(t, "", args...)
	contains(t, stdout, "behind line 52417", "52417 of them by earlier runs; 0 readings sent")
	if v := judge(o, "update", readOutput(t, out)); v != (verdict{}) {
		t.Errorf("started again on a finished directory: %v", v)
	}
}

func TestGrowingFileIsContinued(t *testing.T) {
	t.Parallel()
	dir, file, out := t.TempDir(), filepath.Join(t.TempDir(), "r.csv"), filepath.Join(t.TempDir(), "o.csv")
	whole := header + "\n" + lines(90)
	half := strings.TrimSuffix(whole[:len(header)+1+len(lines(40))], "\n")
	write(t, file, half)
	mustRun(t, "", "-dir", dir, "-readings", file)
	write(t, file, whole)
	stdout, _ := mustRun(t, "", "-dir", dir, "-readings", file, "-out", out)
	contains(t, stdout, "behind line 41", "91 lines read, 41 of them by earlier runs; 50 readings sent")
	if v := judge(compute(t, []byte(whole), 4), "update", readOutput(t, out)); v != (verdict{}) {
		t.Error(v)
	}
}

func TestChangedPrefixIsRefused(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "r.csv")
	write(t, file, lines(40))
	mustRun(t, "", "-dir", dir, "-readings", file)
	for what, text := range map[string]string{
		"changed": strings.Replace(lines(40), ",7\n", ",8\n", 1),
		"swapped": "m9,2018-10-29T00:00:00Z,1\n" + lines(39),
		"shorter": lines(39),
		"empty":   "",
	} {
		write(t, file, text)
		code, _, stderr := meters(t.Context(), "", "-dir", dir, "-readings", file, "-exit")
		if code != 1 {
			t.Errorf("%s: exit code %d", what, code)
		}
		contains(t, stderr, file+" does not begin with the 40 lines that "+dir+" has taken in", "-dir")
	}
	write(t, file, lines(40))
	mustRun(t, "", "-dir", dir, "-readings", file)
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "o.csv")
	text := header + "\n" + lines(60)
	_, stderr := mustRun(t, text, "-dir", dir, "-readings", "-")
	contains(t, stderr, "standard input cannot be resumed")
	code, _, stderr := meters(t.Context(), text, "-dir", dir, "-readings", "-", "-exit")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, stderr, dir+" already holds 61 lines, and standard input cannot be resumed", "-dir")
	file := filepath.Join(t.TempDir(), "saved.csv")
	write(t, file, text)
	mustRun(t, "", "-dir", dir, "-readings", file, "-out", out)
	if v := judge(compute(t, []byte(text), 4), "update", readOutput(t, out)); v != (verdict{}) {
		t.Error(v)
	}
}

func TestMalformedLinesAreNamedAndCounted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.csv")
	write(t, file, header+"\nm1,2018-10-29T00:00:00Z,1\nm1,never,1\n"+strings.Repeat("x\n", 50)+"m1,2018-10-29T00:15:00Z,2\n")
	stdout, stderr := mustRun(t, "", "-dir", t.TempDir(), "-readings", file)
	contains(t, stderr, file+", line 3 is left out: \"never\" is not a time", "line 22 is left out", "further malformed lines")
	contains(t, stdout, "54 lines read", "2 readings sent, 51 malformed lines left out")
	if strings.Contains(stderr, "line 23 ") {
		t.Errorf("all malformed lines are named:\n%s", stderr)
	}
}

func TestWrongFlags(t *testing.T) {
	for _, c := range []struct{ args, problem string }{
		{"-emit never", `-emit "never" is not one of update, commit, close`},
		{"-partitions 0", "-partitions 0 is not between"},
		{"-partitions x", `invalid value "x" for flag -partitions`},
		{"-dir=", "-dir is empty"},
		{"-listen 8080", `-listen "8080" is not host:port`},
		{"-frobnicate", "-frobnicate"},
		{"readings.csv", `"readings.csv" is not a flag`},
	} {
		code, stdout, stderr := meters(t.Context(), "", strings.Fields(c.args)...)
		if code != 2 || stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q", c.args, code, stdout)
		}
		contains(t, stderr, "Usage: meters", c.problem)
	}
	if code, _, stderr := meters(t.Context(), "", "-h"); code != 0 || !strings.HasPrefix(stderr, "Usage: meters") {
		t.Errorf("-h: exit code %d, %s", code, stderr)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := l.Addr().String()
	code, _, stderr := meters(t.Context(), "", "-dir", t.TempDir(), "-listen", address, "-exit")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, stderr, address, "-listen")
}

func TestErrorsNameTheFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.csv")
	code, _, stderr := meters(t.Context(), "", "-dir", t.TempDir(), "-readings", missing)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, stderr, missing)
	dir := t.TempDir()
	mustRun(t, lines(3), "-dir", dir, "-readings", "-")
	code, _, stderr = meters(t.Context(), "", "-dir", dir, "-partitions", "5", "-exit")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, stderr, dir, "4 partitions", "5")
}
