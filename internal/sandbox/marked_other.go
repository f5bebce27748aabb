//go:build !linux

package sandbox

import "syscall"

// killMarked finds nothing: only Linux has the addresses that a fleet needs, so no node runs here.
func killMarked(string) {}

func dieWithParent(*syscall.SysProcAttr) {}
