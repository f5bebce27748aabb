package sandbox

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
)

// standin holds commands of a server that steps call and that a node here does not have, or that would change this machine.
//
//go:embed standin
var standin embed.FS

// standIns installs them in a directory.
func standIns(dir string) error {
	return fs.WalkDir(standin, "standin", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		script, err := fs.ReadFile(standin, name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, entry.Name()), script, 0o755)
	})
}
