package host_test

import (
	"os"
	"os/exec"
	"testing"
)

// tinyDisk mounts a filesystem of 512 KiB.
func tinyDisk(t *testing.T) string {
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("left out: only root can mount a small disk to fill")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=512k", "windlass-test", dir).CombinedOutput(); err != nil {
		t.Skipf("left out: cannot mount a small disk to fill: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("cannot unmount: %s", out)
		}
	})
	return dir
}

// remount turns a disk of tinyDisk read-only ("ro") or writable again ("rw").
func remount(t *testing.T, dir, how string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,"+how, dir).CombinedOutput(); err != nil {
		t.Fatalf("cannot remount: %s", out)
	}
}
