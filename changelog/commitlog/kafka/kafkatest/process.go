package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// process is one run of the broker.
type process struct {
	os    *os.Process
	ended chan struct{}    // closed when it has ended and is reaped
	state *os.ProcessState // valid after ended
}

// startProcess starts a command. On Linux the child is killed when the thread
// that started it ends, hence with this process; so that it does not end sooner,
// a goroutine keeps that thread until the child is gone.
func startProcess(cmd *exec.Cmd, finally func() error) (*process, error) {
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = 5 * time.Second
	p := &process{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		p.os = cmd.Process
		started <- err
		if err == nil {
			// What it returns is in the state too: the exit code says it all.
			_ = cmd.Wait()
			p.state = cmd.ProcessState
		}
		_ = finally()
		close(p.ended)
	}()
	return p, <-started
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) kill() error {
	if err := p.os.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// terminate asks the process to end, and kills it if it does not.
func (p *process) terminate(patience time.Duration) error {
	if err := resume(p.os); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := terminate(p.os); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("process %d did not end within %v and was killed", p.os.Pid, patience), p.kill())
	}
}

// cpuTime is the time on a CPU of all threads of the process so far.
func (p *process) cpuTime() (time.Duration, error) {
	if !p.running() {
		return p.state.UserTime() + p.state.SystemTime(), nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.os.Pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", p.os.Pid, err)
	}
	return parseCPUTime(stat)
}

// clockTick is the unit of times in /proc on Linux: USER_HZ is 100 on every
// architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// parseCPUTime reads user and system time. The name of the program may hold
// spaces and brackets; the fields are counted behind its last bracket.
func parseCPUTime(stat []byte) (time.Duration, error) {
	behind := stat[bytes.LastIndexByte(stat, ')')+1:]
	fields := strings.Fields(string(behind))
	const user, system = 11, 12
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/PID/stat has %d fields behind the name: %q", len(fields), stat)
	}
	u, err1 := strconv.ParseInt(fields[user], 10, 64)
	s, err2 := strconv.ParseInt(fields[system], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("/proc/PID/stat: %w", err)
	}
	return time.Duration(u+s) * clockTick, nil
}

// lastLines is the end of a text.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
