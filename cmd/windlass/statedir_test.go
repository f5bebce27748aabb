package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/reconciler/plan"
)

// begun is the agent of one start, ended at once.
func begun(t *testing.T, path string) plan.Agent {
	t.Helper()
	d, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	me, err := d.begin()
	if err != nil {
		t.Fatal(err)
	}
	return me
}

// TestLaw18EachStartIsTheSameHolderOneEpochLater with a nonce of its own.
func TestLaw18EachStartIsTheSameHolderOneEpochLater(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "made", "on", "demand")
	first, second := begun(t, path), begun(t, path)
	if first.Holder == "" || second.Holder != first.Holder || first.Epoch != 1 || second.Epoch != 2 || second.Nonce == first.Nonce {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if other := begun(t, t.TempDir()); other.Holder == first.Holder {
		t.Errorf("two state directories have the same holder %s", other.Holder)
	}
}

func TestStateDirIsOfOneProcess(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openStateDir(path)
	if pid := fmt.Sprintf("process id %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), pid) {
		t.Errorf("the second agent got %v; want the directory and %s", err, pid)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	begun(t, path)
}

func TestDamagedIdentityIsNotReplaced(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"holder":"","epoch":1}`, `{"holder":"a","epoch":-1}`, `{"schema":2,"holder":"a","epoch":1}`} {
		path := t.TempDir()
		file := filepath.Join(path, "agent.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := openStateDir(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if _, err := d.begin(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v; want an error that names the file", text, err)
		}
		if left, _ := os.ReadFile(file); string(left) != text {
			t.Errorf("%q became %q", text, left)
		}
	}
}

// TestLookingAtTheIdentityWritesNothing as plan does (law 21).
func TestLookingAtTheIdentityWritesNothing(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	me := begun(t, path)
	seen, err := (&stateDir{path: path}).known()
	if err != nil || seen.Holder != me.Holder || seen.Epoch != me.Epoch+1 {
		t.Errorf("seen %+v (%v), the agent was %+v", seen, err, me)
	}
	if next := begun(t, path); next.Epoch != me.Epoch+1 {
		t.Errorf("looking used up an epoch: %+v after %+v", next, me)
	}
	missing := filepath.Join(path, "missing")
	if _, err := (&stateDir{path: missing}).known(); err != nil {
		t.Errorf("without a state directory: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("looking made the state directory")
	}
}
