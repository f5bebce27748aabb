package history

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	berrors "go.etcd.io/bbolt/errors"
)

// What the library does when its file is damaged is an error of whoever asks, each time from then on, and no end of the process.
func TestDamageWhileInUse(t *testing.T) {
	t.Parallel()
	s, err := open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	if err := s.use(func() error { return berrors.ErrDatabaseReadOnly }); !errors.Is(err, berrors.ErrDatabaseReadOnly) {
		t.Errorf("an error: %v", err)
	}
	if err := s.Add(nil); err != nil {
		t.Errorf("after an error: %v", err)
	}
	if err := s.use(func() error { panic("page 7 is no page") }); !errors.Is(err, errDamaged) || !strings.HasSuffix(err.Error(), ": page 7 is no page") {
		t.Errorf("a panic: %v", err)
	}
	if err := s.Add(nil); !errors.Is(err, errDamaged) {
		t.Errorf("added after it: %v", err)
	}
	if _, err := s.Newest("web", 1); !errors.Is(err, errDamaged) {
		t.Errorf("listed after it: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
