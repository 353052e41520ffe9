package embedded

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// startNice starts cmd at a lower priority. Niceness belongs to a thread here, and a child inherits that of the
// thread which forks it: so one thread is lowered for it, and ends with its goroutine, which never unlocks it.
func startNice(cmd *exec.Cmd, nice int) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}
