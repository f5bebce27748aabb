package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"windlass/internal/sandbox/sshdtest"
)

// slots bounds how many stories are told side by side: they mostly wait for a balancer, and share the processors.
var slots = make(chan struct{}, 5)

// binary is where TestMain built windlass.
var binary string

// binaryVariable tells a test that is run apart, in namespaces of its own, which binary is there already.
const binaryVariable = "WINDLASS_E2E_BINARY"

func TestMain(m *testing.M) {
	flag.Parse()
	err := flag.Set("test.parallel", "100") // it is slots that bounds them
	if err != nil {
		os.Exit(exitCode(err))
	}
	os.Exit(withBinary(m.Run))
}

func exitCode(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// withBinary builds windlass for as long as run takes.
func withBinary(run func() int) int {
	if binary = os.Getenv(binaryVariable); binary != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "windlass-e2e-")
	if err != nil {
		return exitCode(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "windlass")
	if said, err := exec.Command("go", "build", "-o", binary, "windlass/cmd/windlass").CombinedOutput(); err != nil {
		return exitCode(fmt.Errorf("cannot build windlass: %w\n%s", err, said))
	}
	return run()
}

// needs leaves the test out when a program is not installed.
func needs(t *testing.T) {
	t.Helper()
	if sshdtest.Path() == "" {
		t.Skip("left out: sshd is not installed (package openssh-server)")
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("left out: git is not installed")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is for calls whose failure ends the test.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}
