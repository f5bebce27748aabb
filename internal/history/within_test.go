package history

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// An opening that does not end is given up, and what comes of it later is closed.
func TestAnOpeningThatTakesTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	synctest.Test(t, func(t *testing.T) {
		var late *Store
		s, err := within(time.Second, func() (*Store, error) {
			time.Sleep(time.Minute)
			s, err := open(path)
			late = s
			return s, err
		})
		if s != nil || !errors.Is(err, errDamaged) {
			t.Errorf("%v, %v", s, err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if late == nil {
			t.Fatal("nothing came later")
		}
		if _, err := late.Newest("web", 1); err == nil {
			t.Error("what came later is open")
		}
	})
}
