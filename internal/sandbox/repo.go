package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// A Repo is a deploy repo: a bare one that is served over HTTP, and a clone of it to commit in, as a person has one.
type Repo struct {
	URL       string // what the agent polls
	Work      string // the clone's directory
	FleetFile string // of the sandbox's fleet, relative to Work

	pushURL string
	bare    string
	repo    *git.Repository
	server  *http.Server
	ended   chan struct{}
}

const (
	fetchPath = "/deploy.git"

	branch = plumbing.ReferenceName("refs/heads/main") // the only one

	authorName = "demo"
	authorMail = "demo@windlass.invalid"
)

// newRepo makes an empty repo and its clone in dir and begins to serve it at that loopback address. It takes pushes at a path: that of URL,
// or one that nobody else on this machine can guess.
func newRepo(dir, address, pushes string) (*Repo, error) {
	bare, work := filepath.Join(dir, "deploy.git"), filepath.Join(dir, "deploy")
	options := &git.PlainInitOptions{InitOptions: git.InitOptions{DefaultBranch: branch}, Bare: true}
	if _, err := git.PlainInitWithOptions(bare, options); err != nil {
		return nil, fmt.Errorf("cannot make the deploy repo: %w", err)
	}
	options.Bare = false
	repo, err := git.PlainInitWithOptions(work, options)
	if err != nil {
		return nil, fmt.Errorf("cannot make the clone of the deploy repo: %w", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, fmt.Errorf("cannot serve the deploy repo: %w", err)
	}
	server := "http://" + listener.Addr().String()
	r := &Repo{URL: server + fetchPath, pushURL: server + pushes, Work: work, bare: bare, repo: repo, ended: make(chan struct{})}
	r.server = &http.Server{
		Handler:           newGitServer(bare).handler(fetchPath, pushes),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(r.ended)
		_ = r.server.Serve(listener) // always ends with ErrServerClosed
	}()
	if err := r.configure(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot set up the clone of the deploy repo: %w", err), r.close())
	}
	return r, nil
}

// configure makes the clone one in which people can commit and push without further ado.
func (r *Repo) configure() error {
	config, err := r.repo.Config()
	if err != nil {
		return err
	}
	config.User.Name, config.User.Email = authorName, authorMail
	for _, own := range [][3]string{{"commit", "gpgSign", "false"}, {"core", "hooksPath", ".git/hooks"}, {"push", "default", "simple"}} {
		config.Raw.Section(own[0]).SetOption(own[1], own[2]) // whatever the person has set for all repos
	}
	config.Remotes[git.DefaultRemoteName] = &gitconfig.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{r.pushURL}}
	config.Branches[branch.Short()] = &gitconfig.Branch{Name: branch.Short(), Remote: git.DefaultRemoteName, Merge: branch}
	return r.repo.SetConfig(config)
}

// close stops serving.
func (r *Repo) close() error {
	err := r.server.Close()
	<-r.ended
	return err
}

// begin commits the example's live fleet as it is played here.
func (r *Repo) begin(ctx context.Context, s stage) error {
	r.FleetFile = s.file()
	files, err := s.files()
	for name, content := range files {
		err = errors.Join(err, r.write(name, content))
	}
	if err != nil {
		return fmt.Errorf("cannot write the deploy repo: %w", err)
	}
	_, err = r.commit(ctx, s.fleet+": the fleet as it is")
	return err
}

func (r *Repo) write(name, content string) error {
	path := filepath.Join(r.Work, name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644))
}

// Head is the newest revision in the clone; empty when it cannot be told.
func (r *Repo) Head() string {
	ref, err := r.repo.Head()
	if err != nil {
		return ""
	}
	return ref.Hash().String()
}

// Tip is the newest revision on the server, whoever pushed it.
func (r *Repo) Tip() (string, error) {
	var ref *plumbing.Reference
	served, err := git.PlainOpen(r.bare)
	if err == nil {
		ref, err = served.Reference(branch, true)
	}
	if err != nil {
		return "", fmt.Errorf("cannot tell the newest commit of the deploy repo: %w", err)
	}
	return ref.Hash().String(), nil
}

var releaseLine = regexp.MustCompile(`(?m)^release:.*$`)

// Commit changes the fleet's release, as a deploy does, and returns the new revision.
func (r *Repo) Commit(ctx context.Context, release string) (string, error) {
	return r.Edit(ctx, "web "+release, r.FleetFile, func(old string) string {
		return releaseLine.ReplaceAllLiteralString(old, "release: "+release)
	})
}

// Edit changes one file, which need not be there before, commits and pushes. It returns the new revision.
func (r *Repo) Edit(ctx context.Context, message, name string, change func(old string) string) (string, error) {
	old, err := os.ReadFile(filepath.Join(r.Work, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot edit %s in the deploy repo: %w", name, err)
	}
	if err := r.write(name, change(string(old))); err != nil {
		return "", fmt.Errorf("cannot edit %s in the deploy repo: %w", name, err)
	}
	return r.commit(ctx, message)
}

// Remove deletes one file, commits and pushes. It returns the new revision.
func (r *Repo) Remove(ctx context.Context, message, name string) (string, error) {
	if err := os.Remove(filepath.Join(r.Work, name)); err != nil {
		return "", fmt.Errorf("cannot remove from the deploy repo: %w", err)
	}
	return r.commit(ctx, message)
}

// Revert undoes the newest commit by another one, as `git revert HEAD` does, and pushes. It returns the new revision.
func (r *Repo) Revert(ctx context.Context) (string, error) {
	head, before, err := r.newest()
	if err != nil {
		return "", fmt.Errorf("cannot revert in the deploy repo: %w", err)
	}
	if err := r.checkOut(before); err != nil {
		return "", fmt.Errorf("cannot revert %s in the deploy repo: %w", head.Hash, err)
	}
	title, _, _ := strings.Cut(head.Message, "\n")
	return r.commit(ctx, fmt.Sprintf("Revert %q\n\nThis reverts commit %s.\n", title, head.Hash))
}

// Rewrite replaces the newest commit by its parent on the server, as a forced push does. It returns the revision that is the head now.
func (r *Repo) Rewrite(ctx context.Context) (string, error) {
	_, before, err := r.newest()
	if err != nil {
		return "", fmt.Errorf("cannot rewrite the deploy repo: %w", err)
	}
	tree, err := r.repo.Worktree()
	if err != nil {
		return "", fmt.Errorf("cannot rewrite the deploy repo: %w", err)
	}
	if err := tree.Reset(&git.ResetOptions{Commit: before.Hash, Mode: git.HardReset}); err != nil {
		return "", fmt.Errorf("cannot rewrite the deploy repo: %w", err)
	}
	return before.Hash.String(), r.push(ctx)
}

// newest returns the head and the commit before it.
func (r *Repo) newest() (head, before *object.Commit, err error) {
	ref, err := r.repo.Head()
	if err != nil {
		return nil, nil, err
	}
	if head, err = r.repo.CommitObject(ref.Hash()); err != nil {
		return nil, nil, err
	}
	before, err = head.Parent(0)
	return head, before, err
}

// clear removes every file from the clone.
func (r *Repo) clear() error {
	entries, err := os.ReadDir(r.Work)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == git.GitDirName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(r.Work, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkOut makes the files of the clone those of a commit, without moving the branch.
func (r *Repo) checkOut(commit *object.Commit) error {
	if err := r.clear(); err != nil {
		return err
	}
	files, err := commit.Files()
	if err != nil {
		return err
	}
	return files.ForEach(func(f *object.File) error {
		content, err := f.Contents()
		if err != nil {
			return err
		}
		return r.write(f.Name, content)
	})
}

func (r *Repo) commit(ctx context.Context, message string) (string, error) {
	tree, err := r.repo.Worktree()
	if err != nil {
		return "", fmt.Errorf("cannot commit to the deploy repo: %w", err)
	}
	if err := tree.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return "", fmt.Errorf("cannot commit to the deploy repo: %w", err)
	}
	author := object.Signature{Name: authorName, Email: authorMail, When: time.Now()}
	revision, err := tree.Commit(message, &git.CommitOptions{Author: &author})
	if err != nil {
		return "", fmt.Errorf("cannot commit to the deploy repo: %w", err)
	}
	return revision.String(), r.push(ctx)
}

func (r *Repo) push(ctx context.Context) error {
	err := r.repo.PushContext(ctx, &git.PushOptions{RefSpecs: []gitconfig.RefSpec{gitconfig.RefSpec("+" + branch + ":" + branch)}})
	if err != nil {
		return fmt.Errorf("cannot push to the deploy repo: %w", err)
	}
	return nil
}

// Replace makes these files, by path, all that there are, commits and pushes. It returns the new revision.
func (r *Repo) Replace(ctx context.Context, message string, files map[string]string) (string, error) {
	err := r.clear()
	for name, content := range files {
		err = errors.Join(err, r.write(name, content))
	}
	if err != nil {
		return "", fmt.Errorf("cannot write the deploy repo: %w", err)
	}
	return r.commit(ctx, message)
}
