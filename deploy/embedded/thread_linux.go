package embedded

import "syscall"

// threadID is the id of the calling thread as ClickHouse lists it in
// system.processes; 0 where the two cannot be compared.
func threadID() int { return syscall.Gettid() }
