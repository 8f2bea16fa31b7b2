package kafkatest

import "syscall"

// childAttributes ties a child to this process: it dies with it, however this
// process ends. It is in a process group of its own, so that ^C in a terminal
// reaches only this process, which then ends the child in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
