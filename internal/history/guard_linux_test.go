package history

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file that is mapped and gets shorter faults where it is read: that is an error, too.
func TestFaultOfAMapping(t *testing.T) {
	t.Parallel()
	path, size := filepath.Join(t.TempDir(), "mapped"), os.Getpagesize()
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	mapped, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mapped)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	seen := byte(0)
	if err := guarded(func() error { seen = mapped[0]; return nil }); !errors.Is(err, errDamaged) || seen != 0 {
		t.Errorf("it read %d, %v", seen, err)
	}
}
