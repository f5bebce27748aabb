package clone_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"windlass/internal/clone"
)

// Whoever leaves in the middle is not held by a remote that says nothing.
func TestLeavingARemoteThatIsSilent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clone []string // arguments
		do    func(ctx context.Context, c *clone.Clone, commit string) error
	}{
		"asked for a branch": {[]string{"--depth", "1"}, func(ctx context.Context, c *clone.Clone, _ string) error {
			_, err := c.Fetch(ctx, "main")
			return err
		}},
		"asked for a file": {[]string{"--filter=blob:none", "--no-checkout"}, func(ctx context.Context, c *clone.Clone, commit string) error {
			return c.Read(ctx, commit, ".", func(files fs.FS) error {
				_, err := fs.ReadFile(files, fleetFile)
				return err
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := w.clone("c", c.clone...)
			begun, never := filepath.Join(w.dir, "begun"), filepath.Join(w.dir, "never")
			for _, pipe := range []string{begun, never} {
				check(t, syscall.Mkfifo(pipe, 0o600))
			}
			ssh := filepath.Join(w.dir, "ssh")
			check(t, os.WriteFile(ssh, []byte("#!/bin/sh\necho >"+begun+"\nread x <"+never+"\n"), 0o700))
			w.env = append(w.env, "GIT_SSH="+ssh, "GIT_SSH_VARIANT=ssh")
			opened := w.open(dir)
			commit, err := opened.Fetch(t.Context(), "main")
			check(t, err)
			w.git(dir, "remote", "set-url", "origin", "ssh://git.example.org/deploy.git")
			ctx, leave := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.do(ctx, opened, commit) }()
			_, err = os.ReadFile(begun)
			check(t, err)
			leave()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ends with %v", err)
			}
			pipe, err := os.OpenFile(never, os.O_RDWR, 0) // lets go of the program, if it is there still
			check(t, err)
			_, err = pipe.WriteString("\n")
			check(t, errors.Join(err, pipe.Close()))
		})
	}
}

// Whoever leaves while a push is under way hears what became of it.
func TestLeavingInMidPush(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hook string
		in   bool
	}{
		"when it was in":         {"post-receive", true},
		"before anybody decided": {"pre-receive", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := w.clone("c")
			begun, end := filepath.Join(w.dir, "begun"), filepath.Join(w.dir, "end")
			for _, pipe := range []string{begun, end} {
				check(t, syscall.Mkfifo(pipe, 0o600))
			}
			w.hook(w.remote, c.hook, "echo >"+begun+"\nread x <"+end+"\nexit 1\n")
			opened := w.open(dir)
			parent, err := opened.Fetch(t.Context(), "main")
			check(t, err)
			commit, err := w.commit(opened, parent, "v2")
			check(t, err)
			ctx, leave := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- opened.Push(ctx, commit, parent, "main") }()
			_, err = os.ReadFile(begun)
			check(t, err)
			leave()
			err = <-ended
			check(t, os.WriteFile(end, []byte("\n"), 0))
			if c.in != (err == nil) || !c.in && !errors.Is(err, context.Canceled) || errors.Is(err, clone.ErrMoved) {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

// A remote that says nothing is given up, by whoever waits for it without a terminal too, and the error says what did not end.
func TestRemoteThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir, never := w.clone("c"), filepath.Join(w.dir, "never")
	check(t, syscall.Mkfifo(never, 0o600))
	ssh := filepath.Join(w.dir, "ssh")
	check(t, os.WriteFile(ssh, []byte("#!/bin/sh\nread x <"+never+"\n"), 0o700))
	w.git(dir, "remote", "set-url", "origin", "ssh://git.example.org/deploy.git")
	c, err := clone.Open(t.Context(), clone.Options{Dir: dir, Env: append(w.env, "GIT_SSH="+ssh, "GIT_SSH_VARIANT=ssh"), Limit: 5 * time.Second})
	check(t, err)
	if _, err := c.Fetch(t.Context(), "main"); err == nil || err.Error() != "cannot ask origin for branch main: git ls-remote does not end; look at the network and at its hooks" {
		t.Errorf("it ends with %v", err)
	}
	pipe, err := os.OpenFile(never, os.O_RDWR, 0) // lets go of the program
	check(t, err)
	_, err = pipe.WriteString("\n")
	check(t, errors.Join(err, pipe.Close()))
}

// What an agent names is no argument of git's.
func TestRevisionsThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.open(w.clone("c"))
	tip, err := c.Fetch(t.Context(), "main")
	check(t, err)
	for _, odd := range []string{"", "-h", "main", "--output=" + filepath.Join(w.dir, "written")} {
		if in, err := c.Contains(t.Context(), "main", odd, tip); in || err != nil {
			t.Errorf("%q contains: %v, %v", odd, in, err)
		}
		if in, err := c.Reaches(t.Context(), "main", tip, odd); in || err != nil {
			t.Errorf("%q is reached: %v, %v", odd, in, err)
		}
	}
}
