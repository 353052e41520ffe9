package embedded

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStartNice(t *testing.T) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := startNice(cmd, 7); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	t.Cleanup(func() { stdin.Close() })
	// The system call answers 20 − nice.
	if got, err := unix.Getpriority(unix.PRIO_PROCESS, cmd.Process.Pid); err != nil || got != 13 {
		t.Errorf("nice %d, %v; want 7", 20-got, err)
	}
	own, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if other := exec.Command("cat"); startNice(other, 20-own) == nil {
		t.Cleanup(func() { other.Wait() })
		if got, _ := unix.Getpriority(unix.PRIO_PROCESS, other.Process.Pid); got != own {
			t.Errorf("a child after it has nice %d, this process %d", 20-got, 20-own)
		}
	}
}
