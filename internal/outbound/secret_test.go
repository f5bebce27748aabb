package outbound_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"windlass/internal/outbound"
)

func TestASecretIsALineInAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	holds := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for file, want := range map[string]string{
		dir: "is no file", pipe: "is no file", holds("long", strings.Repeat("x", 64<<10)+"\n"): "too long", filepath.Join(dir, "token"): "cannot read " + filepath.Join(dir, "token") + " (no such file",
		holds("empty", " \n"): "must hold one line", holds("two", "one\ntwo"): "must hold one line",
	} {
		if s, err := outbound.Secret(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", s, err, want)
		}
	}
	if s, err := outbound.Secret(holds("good", "xoxb-1\r\n")); s != "xoxb-1" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

func TestSecretsAreLinesOfAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets")
	for text, want := range map[string]string{
		"one\n": "one", " one \r\n\n\ttwo": "one two", "\n \n": "between 1 and 2", "": "between 1 and 2", "a\nb\nc": "between 1 and 2",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := outbound.Secrets(file, 2)
		if got := strings.Join(all, " "); err == nil && got != want || err != nil && (got != "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %q, %v, want %s", text, got, err, want)
		}
	}
	if _, err := outbound.Secrets(file+".none", 2); err == nil || !strings.Contains(err.Error(), "cannot read "+file+".none (no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}
