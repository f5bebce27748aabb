// Package durable writes files that are there after a power failure. It holds nothing else.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// temporaries are the names of files on their way into place.
const temporaries = ".new-*"

// Sweep removes what a Replace in the directory that was killed left behind; only its owner calls it, before any Replace there.
func Sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, temporaries))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// Replace puts content in place of the file at path, for its owner only. After it returns nil the content is there whatever happens;
// before that the old one is. The directory must exist.
func Replace(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), temporaries)
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
