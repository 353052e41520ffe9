package apachekafka

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the broker when this process is gone, however it ended.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
