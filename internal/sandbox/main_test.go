package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes this binary a node, or the parent of one, when it is run as such: nodes are processes in tests too.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		goleak.VerifyTestMain(m)
		return
	}
	switch os.Args[1] {
	case "demo-node":
		exit(RunNode(context.Background(), os.Stdin, os.Stdout))
	case "cage":
		exit(RunCaged(context.Background(), os.Args[2:]))
	case "parent":
		exit(runParent())
	case "run": // an agent that cannot
		exit(errors.New("this agent never starts"))
	case "idle": // an agent that says nothing
		<-time.After(time.Hour)
	default:
		goleak.VerifyTestMain(m)
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
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

// testBinary is this process's own.
func testBinary(t *testing.T) string {
	t.Helper()
	return must(os.Executable())(t)
}

// startFleet is a fleet that the end of the test closes.
func startFleet(t *testing.T, o Options) *Fleet {
	t.Helper()
	f := must(Start(t.Context(), o))(t)
	t.Cleanup(func() { check(t, f.Close()) })
	return f
}

// read returns a file's text without the space around it.
func read(t *testing.T, elements ...string) string {
	t.Helper()
	return strings.TrimSpace(string(must(os.ReadFile(filepath.Join(elements...)))(t)))
}

// installedTool is the path of a program that a test cannot do without.
func installedTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("left out: %s is not installed", name)
	}
	return path
}
