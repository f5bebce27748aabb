package history_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"windlass/internal/history"
)

// smallDisk is a directory on a disk of its own. fill leaves no room there until it is undone.
func smallDisk(t *testing.T) (dir string, fill func() (free func())) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("left out: cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	return dir, func() func() {
		_ = os.WriteFile(ballast, make([]byte, 2<<20), 0o600) // as much as there is room for
		return func() {
			if err := os.Remove(ballast); err != nil {
				t.Error(err)
			}
		}
	}
}

// A full disk costs history, is said once, and is over when there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir, fill := smallDisk(t)
	s, _ := opened(t, filepath.Join(dir, "history.db"))
	log := &strings.Builder{}
	r := history.NewRecorder(s, slog.New(slog.NewTextHandler(log, nil)))
	tell := func(from, to int) {
		for n := from; n < to; n++ {
			r.RolloutDone(done("web", n))
			r.Write(nil)
		}
	}
	tell(0, 10)
	free := fill()
	tell(10, 200)
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "no space left on device") {
		t.Errorf("on a full disk it says %s", said)
	}
	kept := minutes(t, s, "web", 1000)
	if len(kept) < 10 || len(kept) >= 200 {
		t.Errorf("%d are kept of 10 before and 190 on a full disk", len(kept))
	}
	free()
	tell(200, 201)
	if got := minutes(t, s, "web", 1000); len(got) != 201 {
		t.Errorf("with room again %d of 201 are kept", len(got))
	}
	free = fill()
	tell(201, 400)
	if strings.Count(log.String(), "\n") != 2 {
		t.Errorf("on a disk that is full again it says %s", log)
	}
	s.Close()
	if again, said := opened(t, filepath.Join(dir, "history.db")); again == nil || len(minutes(t, again, "web", 1000)) < 201 {
		t.Errorf("a restart on a full disk: %s", said)
	}
	free()
}

// A new history needs room, and a disk that takes no writes has none.
func TestNoRoomToBegin(t *testing.T) {
	t.Parallel()
	dir, fill := smallDisk(t)
	path := filepath.Join(dir, "history.db")
	free := fill()
	if s, log := opened(t, path); s != nil || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "no space left on device") {
		t.Errorf("on a full disk: opened %t: %s", s != nil, log)
	}
	free()
	s, log := opened(t, path)
	if s == nil || log.Len() > 0 {
		t.Fatalf("with room again: %s", log)
	}
	s.Close()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if s, log := opened(t, path); s != nil || !strings.Contains(log.String(), "read-only file system") {
		t.Errorf("on a read-only disk: opened %t: %s", s != nil, log)
	}
}
