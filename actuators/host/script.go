package host

import (
	_ "embed"
	"strings"

	"windlass/actuators"
)

var (
	//go:embed sh/common.sh
	commonScript string
	//go:embed sh/read.sh
	readScript string
	//go:embed sh/aside.sh
	asideScript string
	//go:embed sh/write.sh
	writeScript string
	//go:embed sh/run.sh
	runScript string // follows writeScript
	//go:embed sh/runner.sh
	runnerScript string
	//go:embed sh/check.sh
	checkScript string
	//go:embed sh/sense.sh
	senseScript string
)

// maxCommand is what a command line may hold: Linux limits one argument to 128 KiB, and a login shell gets all of it as one.
const maxCommand = 120 << 10

// commandLine is what the node's login shell is asked to run: one of the scripts, with the arguments common.sh expects and those of its
// own. The login shell itself only expands $HOME, the login directory, before sudo changes it.
func commandLine(at actuators.Place, script string, args ...string) string {
	var b strings.Builder
	b.WriteString("exec ")
	if at.SSH.Sudo {
		b.WriteString("sudo -n ")
	}
	b.WriteString("sh -c " + quote(compact(commonScript)+compact(script)) + ` windlass "$HOME"`)
	for _, arg := range append([]string{at.SSH.StateDir, at.Fleet}, args...) {
		b.WriteString(" " + quote(arg))
	}
	return b.String()
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// compact drops a script's lines that are only comments, and its indentation: they are for readers here, and would travel with every call.
// dropbear ends the connection at a command of more than 9000 bytes.
func compact(script string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		if line = strings.TrimLeft(line, "\t"); !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
