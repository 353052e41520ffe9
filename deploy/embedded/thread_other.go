//go:build !linux

package embedded

// threadID is 0: here ClickHouse's thread ids cannot be compared with Go's,
// so a query outlives its client until it ends by itself.
func threadID() int { return 0 }
