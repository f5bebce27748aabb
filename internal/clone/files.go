package clone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"windlass/desired/gitrepo"
)

// Read calls use with the files of a commit below a directory, "." for all of them. They can be read until use returns.
func (c *Clone) Read(ctx context.Context, commit, dir string, use func(fs.FS) error) error {
	err := c.read(ctx, commit, dir, use)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (c *Clone) read(ctx context.Context, commit, dir string, use func(fs.FS) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.git.limit) // a filtered clone fetches
	o := &objects{Storage: memory.NewStorage()}
	cmd, err := c.git.batch(ctx, o)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was ended
	}()
	files, err := gitrepo.Files(o, plumbing.NewHash(commit), dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("commit %.7s has no directory %s; name the one that fleets/ is in with --path", commit, dir)
	case err != nil:
		return err
	}
	return use(files)
}

// Raw is a commit as it is stored, which is what its signature is of.
func (c *Clone) Raw(ctx context.Context, commit string) ([]byte, error) {
	return c.git.run(ctx, call{args: []string{"cat-file", "commit", commit}})
}

// Objects are a clone's, each read by git when it is first asked for.
type objects struct {
	*memory.Storage
	ask    io.Writer
	answer *bufio.Reader
}

// batch starts git's reader of objects: it answers each line that names one with its kind, its size and its bytes.
func (g git) batch(ctx context.Context, o *objects) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "git", append(hidden[:len(hidden):len(hidden)], "cat-file", "--batch")...)
	cmd.Dir, cmd.Env = g.dir, g.env
	ask, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	answer, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	o.ask, o.answer = ask, bufio.NewReader(answer)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot run git: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = answer.Close() }) // which what git began, to fetch an object, holds open as well
	return cmd, nil
}

// EncodedObject returns an object whatever kind go-git takes it for: who asks knows it from a tree or a commit.
func (o *objects) EncodedObject(kind plumbing.ObjectType, hash plumbing.Hash) (plumbing.EncodedObject, error) {
	if known, err := o.Storage.EncodedObject(kind, hash); err == nil {
		return known, nil
	}
	if err := o.read(hash); err != nil {
		return nil, fmt.Errorf("cannot read object %s of this clone: %w", hash, err)
	}
	return o.Storage.EncodedObject(kind, hash)
}

// EncodedObjectSize reads the object: who asks for a file's size mostly reads it next.
func (o *objects) EncodedObjectSize(hash plumbing.Hash) (int64, error) {
	object, err := o.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return 0, err
	}
	return object.Size(), nil
}

func (o *objects) read(hash plumbing.Hash) error {
	if _, err := fmt.Fprintln(o.ask, hash); err != nil {
		return err
	}
	header, err := o.answer.ReadString('\n')
	if err != nil {
		return err
	}
	var name, kind string
	var size int64
	if _, err := fmt.Sscanf(header, "%s %s %d\n", &name, &kind, &size); err != nil {
		return fmt.Errorf("git cat-file says %q", header)
	}
	object := o.NewEncodedObject()
	parsed, err := plumbing.ParseObjectType(kind)
	if err != nil {
		return err
	}
	object.SetType(parsed)
	into, err := object.Writer()
	if err != nil {
		return err
	}
	if _, err := io.CopyN(into, o.answer, size); err != nil {
		return err
	}
	if _, err := o.answer.Discard(1); err != nil { // a line end
		return err
	}
	_, err = o.SetEncodedObject(object)
	return err
}
