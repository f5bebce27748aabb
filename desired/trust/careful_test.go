package trust

import (
	"errors"
	"testing"
)

// A library that panics at what somebody pushed refuses it, and ends nothing.
func TestCareful(t *testing.T) {
	t.Parallel()
	if _, err := careful(func() (int, error) { var none []byte; return int(none[0]), nil }); !errors.Is(err, errBeyond) {
		t.Errorf("a panic: %v", err)
	}
	if n, err := careful(func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("no panic: %d, %v", n, err)
	}
}
