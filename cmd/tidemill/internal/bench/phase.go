package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
)

// The phases, by the names they have on the command line.
const (
	phaseFill        = "fill"
	phaseProcess     = "process"
	phaseRestore     = "restore"
	phaseHandwritten = "handwritten"
	phaseVerify      = "verify"
)

// Phases runs one phase of a job and returns what it reports.
type Phases func(ctx context.Context, phase string, j Job) (Outcome, error)

// InProcess runs phases in this process: for tests, and as the body of the
// processes of [Separate].
func InProcess(ctx context.Context, phase string, j Job) (out Outcome, err error) {
	run, ok := map[string]func(context.Context, Job) (Outcome, error){
		phaseFill: fill, phaseProcess: process, phaseRestore: restore, phaseHandwritten: handwritten, phaseVerify: verify,
	}[phase]
	if !ok {
		return out, fmt.Errorf("there is no phase %q", phase)
	}
	if out, err = run(ctx, j); err != nil {
		return out, fmt.Errorf("phase %s: %w", phase, err)
	}
	return out, nil
}

// Separate runs every phase in a process of its own: the given program with the
// given arguments and the name of the phase. That process calls [Serve].
func Separate(stderr io.Writer, program string, args ...string) Phases {
	return func(ctx context.Context, phase string, j Job) (out Outcome, err error) {
		job, err := json.Marshal(j)
		if err != nil {
			return out, err
		}
		var answer bytes.Buffer
		cmd := exec.CommandContext(ctx, program, append(slices.Clone(args), phase)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(job), &answer, stderr
		if err := cmd.Run(); err != nil {
			return out, fmt.Errorf("phase %s: its process: %w", phase, errors.Join(err, ctx.Err()))
		}
		if err := json.Unmarshal(answer.Bytes(), &out); err != nil {
			return out, fmt.Errorf("phase %s: its answer: %w", phase, err)
		}
		return out, nil
	}
}

// Serve runs the phase that a process of [Separate] is for: it reads the job and
// writes the outcome.
func Serve(ctx context.Context, phase string, in io.Reader, answer io.Writer) error {
	var j Job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("phase %s: read its job: %w", phase, err)
	}
	if err := j.Check(); err != nil {
		return fmt.Errorf("phase %s: %w", phase, err)
	}
	out, err := InProcess(ctx, phase, j)
	if err != nil {
		return err
	}
	return json.NewEncoder(answer).Encode(out)
}
