package sandbox

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What is written while the directory goes must not make the end of a demo a failure.
func TestRemoveAllOutlastsAWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	must(0, os.MkdirAll(filepath.Join(dir, "job"), 0o700))(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = os.MkdirAll(filepath.Join(dir, "job"), 0o700)
				_ = os.WriteFile(filepath.Join(dir, "job", string(rune('a'+n%26))), nil, 0o600)
			}
		}
	}()
	time.AfterFunc(100*time.Millisecond, func() { close(stop) })
	err := removeAll(dir)
	<-stopped
	if again := removeAll(dir); err != nil || again != nil {
		t.Errorf("got %v, then %v", err, again)
	}
}
