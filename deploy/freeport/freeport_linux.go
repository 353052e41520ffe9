package freeport

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

func reserve() (string, func() error, error) {
	// A socket that is bound and does not listen keeps the port from all who take any, and from outgoing connections; it
	// gives way to a server that asks for it, since both allow the address to be reused.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, os.NewSyscallError("socket", err)
	}
	addr, err := bind(fd)
	if err != nil {
		unix.Close(fd)
		return "", nil, err
	}
	return addr, func() error { return os.NewSyscallError("close", unix.Close(fd)) }, nil
}

// bind gives the socket a port and returns its address.
func bind(fd int) (string, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	loopback := [4]byte{127, 0, 0, 1}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(loopback), uint16(bound.(*unix.SockaddrInet4).Port)).String(), nil
}
