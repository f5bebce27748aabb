package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"windlass/internal/durable"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, content := range []string{"first", "second"} {
		if err := durable.Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != content {
			t.Errorf("it holds %q, want %q", got, content)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := durable.Replace(filepath.Join(path, "below"), nil); err == nil {
		t.Error("a directory that does not exist was no error")
	}
}

func TestSweepRemovesWhatAKilledReplaceLeft(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".new-123", "state.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.Sweep(dir); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "state.json" {
		t.Errorf("left: %v", left)
	}
}
