//go:build !linux

package embedded

import "os/exec"

// startNice leaves the priority as it is: only Linux gives it to the thread that forks.
func startNice(cmd *exec.Cmd, _ int) error { return cmd.Start() }
