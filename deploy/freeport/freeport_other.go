//go:build !linux

package freeport

import "net"

// Nothing keeps the port here: it was free a moment ago.
func reserve() (string, func() error, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() error { return nil }, l.Close()
}
