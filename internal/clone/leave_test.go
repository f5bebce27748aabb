package clone_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"windlass/internal/clone"
)

// Whoever leaves in the middle is not held by a remote that says nothing, and nothing is half done.
func TestLeavingInMidFetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.clone("c", "--depth", "1")
	begun, never := filepath.Join(w.dir, "begun"), filepath.Join(w.dir, "never")
	for _, pipe := range []string{begun, never} {
		check(t, syscall.Mkfifo(pipe, 0o600))
	}
	w.git(dir, "remote", "set-url", "origin", "ssh://git.example.org/deploy.git")
	ssh := filepath.Join(w.dir, "ssh")
	check(t, os.WriteFile(ssh, []byte("#!/bin/sh\necho >"+begun+"\nread x <"+never+"\n"), 0o700))
	w.env = append(w.env, "GIT_SSH="+ssh, "GIT_SSH_VARIANT=ssh")
	c := w.open(dir)
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Fetch(ctx, "main")
		ended <- err
	}()
	_, err := os.ReadFile(begun)
	check(t, err)
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	pipe, err := os.OpenFile(never, os.O_RDWR, 0) // lets go of the program, if it is there still
	check(t, err)
	_, err = pipe.WriteString("\n")
	check(t, errors.Join(err, pipe.Close()))
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
