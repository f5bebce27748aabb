package cage

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// architectures are those whose system calls the filter knows.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// refusedCalls lead to what no namespace keeps apart: keys belong to the person's id, which root of a cage has outside where a person
// makes it who is not root; and what goes through a ring passes no filter.
var refusedCalls = []uint32{unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_IO_URING_SETUP}

// families are the sockets that a network namespace keeps in. Others, such as those to the host of a virtual machine, it does not.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// Of struct seccomp_data (seccomp(2)).
const (
	callAt         = 0
	architectureAt = 4
	firstAt        = 16 // the lower half of the first argument, on these architectures
)

// foreign is the first of another numbering of the same architecture (x32); the others have no calls as high.
const foreign = 0x40000000

// filter has the kernel refuse to this thread, and what it becomes, what no step needs. It takes no_new_privs.
func filter() error {
	architecture, known := architectures[runtime.GOARCH]
	if !known {
		return fmt.Errorf("those of %s are not known", runtime.GOARCH)
	}
	program := slices.Concat(
		[]unix.SockFilter{load(architectureAt)}, unless(architecture, unix.ENOSYS),
		[]unix.SockFilter{load(callAt), {Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: foreign, Jf: 1}, refusal(unix.ENOSYS)},
	)
	for _, call := range refusedCalls {
		program = append(program, equal(call, 0, 1), refusal(unix.ENOSYS))
	}
	program = append(program, equal(unix.SYS_SOCKET, 1, 0), allow, load(firstAt))
	for _, family := range families {
		program = append(program, equal(family, 0, 1), allow)
	}
	program = append(program, refusal(unix.EAFNOSUPPORT))
	list := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&list)), 0, 0)
	runtime.KeepAlive(program)
	return err
}

var allow = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func refusal(with syscall.Errno) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(with)}
}

// equal jumps over so many instructions where what is loaded is that, or where it is not.
func equal(value uint32, over, overElse uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jt: over, Jf: overElse}
}

func unless(value uint32, with syscall.Errno) []unix.SockFilter {
	return []unix.SockFilter{equal(value, 1, 0), refusal(with)}
}
