package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"windlass/desired/trust"
	"windlass/internal/web"
)

// checkSigners tells what is wrong with the files of a deploy repo that say who may sign, a line for each thing; a directory without any of them is none.
func checkSigners(files fs.FS, stderr io.Writer) (wrong bool) {
	for _, dir := range []string{trust.Dir, trust.Releases} {
		if !hasSigners(files, dir) {
			continue
		}
		below, err := fs.Sub(files, dir)
		var keys *trust.Keys
		if err == nil {
			keys, err = trust.Read(below)
		}
		if err != nil {
			wrong = true
			for _, line := range trust.Lines(dir, err) {
				fmt.Fprintln(stderr, web.Line(line))
			}
			continue
		}
		for _, note := range keys.Notes() {
			fmt.Fprintln(stderr, web.Line("warning: "+path.Join(dir, note)))
		}
	}
	return wrong
}

// hasSigners reports whether a directory has a file that says who may sign, or may have one.
func hasSigners(files fs.FS, dir string) bool {
	for _, name := range []string{trust.AllowedSigners, trust.Keyring, trust.RevokedKeys} {
		if _, err := fs.Stat(files, path.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}
