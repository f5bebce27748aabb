package nettest

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// setns is the system call's number, which package syscall does not have.
var setns = map[string]uintptr{"amd64": 308, "arm64": 268}[runtime.GOARCH]

// Within runs f on a thread of its own that is in a network namespace, an open file of /proc/…/ns/net: what f opens or starts, unless from other
// goroutines, is there for good.
func Within(network *os.File, f func() error) error {
	return OnThread(func() error {
		if _, _, errno := syscall.RawSyscall(setns, network.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
			return fmt.Errorf("setns: %w", errno)
		}
		return f()
	})
}

// OnThread runs f on a thread of its own, which is not used again, whatever f did to it.
func OnThread(f func() error) error {
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with its goroutine
		ended <- f()
	}()
	return <-ended
}
