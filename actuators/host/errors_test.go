package host

import (
	"errors"
	"strings"
	"testing"

	"windlass/actuators"
)

// What a script's exit status and its last words say to the user, who is to know what to do.
func TestFailureOfAScriptSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const notSh = "; user deploy needs a login shell that runs commands as sh does"
	for name, c := range map[string]struct {
		exit   int
		sudo   bool
		stderr string
		want   string
	}{
		"changed":           {80, false, "windlass: it is another\n", "it is another: " + actuators.ErrChanged.Error()},
		"unwritable":        {81, false, "windlass: /x is not writable\n", "/x is not writable; make it writable for user deploy, or set ssh.stateDir or ssh.sudo"},
		"full":              {82, false, "windlass: 3 KB are free\n", "the disk is full: 3 KB are free; free some space there"},
		"a tool is missing": {83, false, "windlass: flock is not installed\n", "flock is not installed; install coreutils and util-linux there"},
		"busy":              {84, false, "windlass: held\n", "held"},
		"broken":            {85, true, "windlass: torn\n", "torn"},
		"after a greeting":  {85, false, "windlass: 1.0\nwindlass: torn\n", "torn"},
		"something else":    {7, false, "no\n", "the shell there ended with status 7: no" + notSh},
		"with a secret":     {7, false, "password=hunter2\n", "the shell there ended with status 7: password=[redacted]" + notSh},
		"much":              {85, false, "windlass: " + strings.Repeat("é", 151), strings.Repeat("é", 150)},
		"much, cut":         {85, false, "windlass: " + strings.Repeat("é", 150) + "x", strings.Repeat("é", 149) + "x"},
		"status 1":          {1, false, "sudo: no\n", "the shell there ended with status 1: sudo: no" + notSh},
		"status 1 of ours":  {1, true, "no\n", "the shell there ended with status 1: no" + notSh},
		"sudo complains":    {85, true, "sudo: unable to resolve host\nwindlass: torn\n", "torn"},
		"sudo is not it":    {85, true, "windlass: sudo: torn\n", "sudo: torn"},
		"sudo refuses":      {1, true, "sudo: a password is required\n", "user deploy may not use sudo there without a password (sudo: a password is required); add `deploy ALL=(ALL) NOPASSWD: ALL` to its sudoers"},
		"no sudo":           {127, true, "sh: sudo: not found\n", "sudo does not run there (sh: sudo: not found); install it, or set ssh.sudo to false"},
		"no shell":          {127, false, "not found\n", "the shell there ended with status 127: not found" + notSh},
	} {
		var at actuators.Place
		at.SSH.User, at.SSH.Sudo = "deploy", c.sudo
		err := outcome{exit: c.exit, stderr: []byte(c.stderr)}.failure(at)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
		if errors.Is(err, actuators.ErrChanged) != (c.exit == exitChanged) {
			t.Errorf("%s: taken for a change of the record, or not: %v", name, err)
		}
	}
	if err := (outcome{stderr: []byte("windlass: all is well")}).failure(actuators.Place{}); err != nil {
		t.Errorf("status 0: %v", err)
	}
}
