package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"windlass/desired"
	"windlass/desired/source"
	"windlass/internal/clone"
)

// A change is what a deployment commits.
type change struct {
	parent string            // the commit that it is made on
	holder string            // the file that says the release
	inRepo string            // the same as the repo names it
	was    string            // the release that it says
	text   []byte            // the file with the new one
	about  map[string]string // the texts of the fleet's file and of the holder, by name
	rolls  []string          // the fleets that it changes, sorted

	nothing bool           // it is so already
	undone  []clone.Commit // that it takes back, in place of a new text
	made    string         // the commit that does; empty: it is still to be made

	asks []source.Ask // what the fleets that it changes demand of the release
}

// change makes the change on top of a commit, and refuses one that would not come into force.
func (d *deployment) change(ctx context.Context, parent string) (c change, err error) {
	err = d.clone.Read(ctx, parent, d.path, func(files fs.FS) error {
		before, err := desired.Load(files)
		if err != nil {
			return err
		}
		file, err := d.fileOf(before)
		if err != nil {
			return err
		}
		c = change{parent: parent, about: map[string]string{}}
		if c.holder, err = desired.ReleaseFile(files, file); err != nil {
			return err
		}
		c.inRepo = d.inRepo(c.holder)
		for _, name := range []string{file, c.holder} {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			c.about[name] = string(text)
		}
		if c.text, c.was, err = desired.SetRelease(c.holder, []byte(c.about[c.holder]), d.release); err != nil {
			return err
		}
		c.nothing = c.was == d.release
		after, err := desired.Load(replaced{files, c.holder, c.text})
		if err != nil {
			return err
		}
		c.rolls = desired.Affected(before, after)
		c.asks = asksOf(after, append([]string{d.fleet}, c.rolls...))
		return d.allowed(c, file, after)
	})
	return c, err
}

// fileOf is the fleet's file.
func (d *deployment) fileOf(tree desired.Tree) (string, error) {
	if fleet := tree.Fleets[d.fleet]; fleet != nil {
		return fleet.Path, nil
	}
	if broken, ok := tree.Rejected[d.fleet]; ok {
		return "", fmt.Errorf("fleet %s is broken on branch %s, and would stay so: %w", d.fleet, d.branch, broken.Errors)
	}
	return "", fmt.Errorf("branch %s has no fleet %q%s", d.branch, d.fleet, didYouMean("", d.fleet, sortedNames(tree.Fleets)))
}

// allowed refuses a change of more fleets than was asked for, or that breaks one.
func (d *deployment) allowed(c change, file string, after desired.Tree) error {
	if c.was == d.release {
		return nil
	}
	if c.holder != file && !d.inBase {
		return fmt.Errorf("the release of %s stands in %s, and changing it there rolls %s; give --in-base for that, or write a release into %s",
			d.fleet, c.holder, strings.Join(c.rolls, ", "), file)
	}
	for _, name := range append([]string{d.fleet}, c.rolls...) {
		if broken, ok := after.Rejected[name]; ok {
			return fmt.Errorf("fleet %s would be broken: %w", name, broken.Errors)
		}
	}
	return nil
}

// inRepo is a file of the deploy repo as the commits of the whole repo name it.
func (d *deployment) inRepo(file string) string { return path.Join(d.path, file) }

// Replaced are files one of which has another text.
type replaced struct {
	fs.FS
	name string
	text []byte
}

// Open opens the other text in the place of the file's.
func (r replaced) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if err != nil || name != r.name {
		return file, err
	}
	return &replacedFile{File: file, Reader: bytes.NewReader(r.text), size: int64(len(r.text))}, nil
}

// Lstat is the file's.
func (r replaced) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(r.FS, name) }

// ReadLink is the file's.
func (r replaced) ReadLink(name string) (string, error) { return fs.ReadLink(r.FS, name) }

type replacedFile struct {
	fs.File
	*bytes.Reader
	size int64
}

func (f *replacedFile) Read(p []byte) (int, error) { return f.Reader.Read(p) }

// Stat has the size of the other text.
func (f *replacedFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return sized{info, f.size}, err
}

type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }
