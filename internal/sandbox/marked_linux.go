package sandbox

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// killMarked kills every process that was started with this variable (NAME=value) in its environment, its own apart. It looks
// again until it finds none, because processes have children while it looks.
func killMarked(variable string) {
	for range 100 {
		if !killMarkedOnce([]byte(variable)) {
			return
		}
	}
}

func killMarkedOnce(variable []byte) (found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile("/proc/" + entry.Name() + "/environ") // empty for the dead, refused for other users' processes
		if err != nil || !holds(environment, variable) {
			continue
		}
		found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
	}
	return found
}

func holds(environment, variable []byte) bool {
	for entry := range bytes.SplitSeq(environment, []byte{0}) {
		if bytes.Equal(entry, variable) {
			return true
		}
	}
	return false
}

// dieWithParent has the kernel kill a child when the thread that started it ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
