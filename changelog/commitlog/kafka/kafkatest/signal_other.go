//go:build !unix

package kafkatest

import (
	"errors"
	"os"
)

// There is no signal that asks a process to end.
func terminate(p *os.Process) error { return p.Kill() }
func pause(*os.Process) error       { return errors.New("a process cannot be paused on this system") }

// Nothing can have been paused.
func resume(*os.Process) error { return nil }
