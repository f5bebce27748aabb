package cage

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that steps of a server need. None is worth anything outside the cage's own namespaces.
var kept = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID,
	unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_SETFCAP,
}

// seal takes from this thread what nobody in the cage needs, and calls become, which executes something else on it.
func seal(become func() error) error {
	runtime.LockOSThread()
	// No further user namespaces: in one of its own, root of the cage would have every capability again, and more of the kernel in reach.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return fmt.Errorf("user namespaces inside: %w", err)
	}
	// Keys of the person's session, such as tickets of Kerberos, stay outside.
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil && err != unix.ENOSYS {
		return fmt.Errorf("keyring: %w", err)
	}
	if err := limit(); err != nil {
		return err
	}
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if slices.Contains(kept, capability) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && err != unix.EINVAL { // EINVAL: the kernel is older
			return fmt.Errorf("capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := filter(); err != nil {
		return fmt.Errorf("system calls: %w", err)
	}
	// What was open in the shell that windlass was called from may lead anywhere. The sockets are kept by whoever executes.
	if err := unix.CloseRange(control, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("open files: %w", err)
	}
	return become()
}

// mostProcesses are those of one user of a cage, threads included.
const mostProcesses = 4096

// limit bounds what a step that goes wild does to this machine.
func limit() error {
	// When memory runs out, what is in cages is ended first, and not what the person works with.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: mostProcesses, Max: mostProcesses}); err != nil {
		return fmt.Errorf("processes: %w", err)
	}
	// Of core dumps, 1 forbids also those that this machine hands to a program of its own (core(5)).
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		return fmt.Errorf("core dumps: %w", err)
	}
	return nil
}

// raiseLoopback brings up the one interface that there is.
func raiseLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}
