// Package freeport hands out addresses for servers that must be told theirs before they start, or that come back on it.
package freeport

import "fmt"

// Reserve returns an address of 127.0.0.1 that nobody else is given until it is released. A server that listens on exactly
// this address gets it, as often as it likes, if it lets addresses be reused, as Go's and Java's servers do. A port that is
// only looked up is now and then given to another between the choice and the server's start.
func Reserve() (addr string, release func() error, err error) {
	if addr, release, err = reserve(); err != nil {
		return "", nil, fmt.Errorf("freeport: reserve a port: %w", err)
	}
	return addr, release, nil
}
