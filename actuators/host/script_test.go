package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windlass/actuators"
	"windlass/actuators/host"
	"windlass/internal/sandbox/sshdtest"
)

func TestScriptsAreClean(t *testing.T) {
	t.Parallel()
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("left out: shellcheck is not installed")
	}
	scripts, err := filepath.Glob("sh/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	common, err := os.ReadFile("sh/common.sh")
	if err != nil {
		t.Fatal(err)
	}
	write, err := os.ReadFile("sh/write.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range scripts {
		script, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if base := filepath.Base(name); base == "common.sh" {
			continue
		} else if base == "run.sh" {
			script = slices.Concat(common, write, script)
		} else if base != "runner.sh" { // the runner travels without the common part
			script = slices.Concat(common, script)
		}
		check := exec.Command(shellcheck, "-s", "sh", "-e", "SC2034", "-") // what one script does not use, another does
		check.Stdin = strings.NewReader(string(script))
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// The scripts keep to what POSIX shells share.
func TestOtherShells(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "busybox", "zsh"} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("left out: %s is not installed", shell)
			}
			t.Parallel()
			bin := t.TempDir()
			if err := os.Symlink(path, filepath.Join(bin, "sh")); err != nil {
				t.Fatal(err)
			}
			s, at := node(t, sshdtest.Options{Env: map[string]string{"PATH": bin + ":/usr/bin:/bin"}})
			h := agent(t, s, host.Options{})
			state := claim(t, h, at, "nonce-1")
			j := job("one", step("a", "cat file"), step("b", "echo last words; exit 3"))
			j.Files = []actuators.JobFile{{To: filepath.Join(s.Home, ".windlass", fleet, "file"), Content: []byte("x")}}
			want := actuators.JobState{Key: "one", Exited: true, Exit: 3, Step: "b", Tail: "xlast words"}
			if got, err := h.Run(t.Context(), at, state.Version, state.Record, j, func(actuators.HostState) {}); err != nil || got != want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// dropbear ends a connection, with all that goes on over it, at a command of more than 9000 bytes.
func TestSensorFitsIntoACommandOfDropbear(t *testing.T) {
	t.Parallel()
	at := actuators.Place{Fleet: strings.Repeat("f", 40)}
	at.SSH.StateDir, at.SSH.Sudo = "/var/lib/windlass", true
	if n := len(host.SenseCommand(at, "/proc/net/tcp", serviceAt("fd00::1", 80, 443, 8080))); n > 9000 {
		t.Errorf("%d bytes", n)
	} else {
		t.Log(n)
	}
}
