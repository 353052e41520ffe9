//go:build !linux

package apachekafka

import "os/exec"

// dieWithParent has no equivalent here: a broker outlives a test that was killed.
func dieWithParent(*exec.Cmd) {}
