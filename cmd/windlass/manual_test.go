package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"windlass/internal/manual"
)

// Every command that people are told of has a page, and mandoc finds nothing to say of any.
func TestTheManualIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeManual(dir, manual.Edition{Version: "1.4.2", Date: time.Unix(0, 0)}); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range newRoot().Commands() {
		_, err := os.Stat(filepath.Join(dir, "windlass-"+cmd.Name()+".1"))
		if there := err == nil; there != (cmd.IsAvailableCommand() && cmd.Name() != "help") {
			t.Errorf("a page of windlass %s is there: %v", cmd.Name(), there)
		}
	}
	program, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("left out: mandoc is not installed")
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput()
	if err != nil {
		t.Errorf("mandoc: %v\n%s", err, strings.ReplaceAll(string(out), dir, "."))
	}
}

func TestTheManualIsOfTheSourcesDate(t *testing.T) {
	t.Parallel()
	if date, err := sourceDate("86400"); err != nil || date.Unix() != 86400 {
		t.Errorf("the date is %v, %v", date, err)
	}
	if _, err := sourceDate("yesterday"); err == nil {
		t.Error("yesterday is taken for a number of seconds")
	}
}
