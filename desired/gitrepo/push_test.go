package gitrepo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// made is a commit on top of another, with the same files.
func made(t *testing.T, store *memory.Storage, parent plumbing.Hash) plumbing.Hash {
	t.Helper()
	base, err := object.GetCommit(store, parent)
	must(t, err)
	by := object.Signature{Name: "somebody", Email: "somebody@example.com", When: time.Unix(1600000000, 0)}
	encoded := store.NewEncodedObject()
	must(t, (&object.Commit{Author: by, Committer: by, Message: "on top\n", TreeHash: base.TreeHash, ParentHashes: []plumbing.Hash{parent}}).Encode(encoded))
	hash, err := store.SetEncodedObject(encoded)
	must(t, err)
	return hash
}

// By each way a commit is pushed on top of what was seen, a branch is made, and a server that has moved or declines says so.
func TestPushes(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	first := git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	git.run(git.bare, "config", "http.receivepack", "true")
	host := newKey(t, "ed25519")
	server := newSSHServer(t, git, "", host)
	server.know(t, "", host)
	for way, o := range map[string]Options{"http": git.options(), "ssh": server.options(t), "file": {URL: git.bare}} {
		git.run(git.bare, "update-ref", "refs/heads/main", first)
		m, err := NewRemote(o)
		must(t, err)
		t.Cleanup(m.Close)
		ctx := t.Context()
		tip, store, err := m.Fetch(ctx, "main", 1, false)
		must(t, err)
		if tip.String() != first {
			t.Fatalf("%s: the tip is %s, want %s", way, tip, first)
		}
		commit := made(t, store, tip)
		if err := m.Push(ctx, store, []plumbing.Hash{commit}, commit, tip, "main"); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		if got, err := m.Tip(ctx, "main"); got != commit || err != nil {
			t.Errorf("%s: the tip is %s, %v, want %s", way, got, err, commit)
		}
		var known *Error
		if err := m.Push(ctx, store, []plumbing.Hash{commit}, commit, tip, "main"); !errors.As(err, &known) || !strings.Contains(err.Error(), "cannot push to branch main of ") {
			t.Errorf("%s: from a tip that is not there any more: %v", way, err)
		}
		if err := m.Push(ctx, store, []plumbing.Hash{commit}, commit, plumbing.ZeroHash, "new-"+way); err != nil {
			t.Errorf("%s: a new branch: %v", way, err)
		}
		if got, err := m.Tip(ctx, "none"); !got.IsZero() || err != nil {
			t.Errorf("%s: a branch that is not there: %s, %v", way, got, err)
		}
		hook := filepath.Join(git.bare, "hooks", "update")
		must(t, os.WriteFile(hook, []byte("#!/bin/sh\necho 'not now\x1b[2J' >&2\nexit 1\n"), 0o755))
		err = m.Push(ctx, store, []plumbing.Hash{commit}, commit, plumbing.ZeroHash, "declined")
		if err == nil || !strings.Contains(err.Error(), "the server refuses it: hook declined") || way != "file" && !strings.Contains(err.Error(), "not now") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: a hook that declines: %v", way, err)
		}
		must(t, os.Remove(hook))
	}
	git.run(git.bare, "fsck", "--strict")
}

// A token is sent to the server and shown to nobody.
func TestPushKeepsTheToken(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("secret-of-a-test\n"), 0o600))
	o := git.options()
	o.TokenFile = token
	m, err := NewRemote(o)
	must(t, err)
	t.Cleanup(m.Close)
	tip, store, err := m.Fetch(t.Context(), "main", 1, false)
	must(t, err)
	commit := made(t, store, tip)
	err = m.Push(t.Context(), store, []plumbing.Hash{commit}, commit, tip, "main") // which the server takes from nobody
	if err == nil || strings.Contains(err.Error(), "secret-of-a-test") || !strings.Contains(err.Error(), "403 Forbidden: check that the token is valid and may read the repo, and for a push write to it") {
		t.Errorf("it says %v", err)
	}
}
