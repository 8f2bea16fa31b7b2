package cli

import (
	"errors"
	"fmt"
)

// The exit codes.
const (
	ExitOK        = 0
	ExitFailed    = 1 // it was tried and did not work
	ExitUsage     = 2 // the command line is wrong; nothing was tried
	ExitUnhealthy = 3 // the application does not answer, or cannot answer now
	ExitNotFound  = 4 // there is no such topic, store or example
)

// exitError is an error with the exit code that it means. Other errors mean
// ExitFailed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{ExitUsage, fmt.Errorf(format, args...)}
}

func unhealthyf(format string, args ...any) error {
	return &exitError{ExitUnhealthy, fmt.Errorf(format, args...)}
}

func notFoundf(format string, args ...any) error {
	return &exitError{ExitNotFound, fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		return e.code
	}
	return ExitFailed
}
