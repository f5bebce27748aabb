package e2e

import (
	"os"
	"path/filepath"
	"syscall"

	"windlass/internal/sandbox"
)

// smallDisk puts a node's state on a disk of its own of a few MiB. fill leaves no room there until it is undone.
func (w *world) smallDisk(n *sandbox.Node) (fill func() (free func())) {
	w.Helper()
	dir := filepath.Join(n.Home, ".windlass")
	kept := w.TempDir()
	check(w.T, os.CopyFS(filepath.Join(kept, "state"), os.DirFS(dir)))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=700"); err != nil {
		w.Skipf("left out: cannot mount a small disk: %v", err)
	}
	w.unmount = func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
	check(w.T, os.CopyFS(dir, os.DirFS(filepath.Join(kept, "state"))))
	ballast := filepath.Join(dir, "ballast")
	return func() func() {
		_ = os.WriteFile(ballast, make([]byte, 8<<20), 0o600) // as much as there is room for
		return func() { check(w.T, os.Remove(ballast)) }
	}
}
