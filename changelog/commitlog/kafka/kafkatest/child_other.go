//go:build !linux

package kafkatest

import "syscall"

// childAttributes leaves the child in this process's group: where the system
// cannot end it with its parent, at least ^C in a terminal reaches both.
func childAttributes() *syscall.SysProcAttr { return nil }
