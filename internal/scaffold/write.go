package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Write writes files into a directory, which it makes where it is not there. It replaces nothing: an error names all that is in the way,
// and then nothing is written. Nor is anything left of what it wrote when it cannot write all.
func Write(dir string, files map[string][]byte) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // no link there leads out of it
	if err != nil {
		return err
	}
	defer root.Close() // only read from
	paths := slices.Sorted(maps.Keys(files))
	if err := free(root, paths); err != nil {
		return err
	}
	var made []string
	defer func() {
		if err != nil {
			for _, name := range slices.Backward(made) {
				_ = root.Remove(name) // the first error is told
			}
		}
	}()
	for _, name := range paths {
		if made, err = writeNew(root, name, files[name], made); err != nil {
			return err
		}
	}
	return nil
}

// free reports what is in the way.
func free(root *os.Root, paths []string) error {
	var taken []string
	for _, name := range paths {
		if _, err := root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("%s is in the way in %s: nothing was written; move it away, or name another directory", strings.Join(taken, ", "), root.Name())
	}
	return nil
}

// writeNew writes a file that must not be there, and the directories it is in. It adds what it made to made, also before an error.
func writeNew(root *os.Root, name string, text []byte, made []string) ([]string, error) {
	for i, r := range name {
		if r != '/' {
			continue
		}
		switch err := root.Mkdir(name[:i], 0o755); {
		case err == nil:
			made = append(made, name[:i])
		case !errors.Is(err, fs.ErrExist):
			return made, err
		}
	}
	file, err := root.OpenFile(path.Clean(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return made, err
	}
	made = append(made, name)
	_, err = file.Write(text)
	return made, errors.Join(err, file.Close())
}
