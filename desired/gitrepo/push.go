package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// A Remote is a deploy repo at its server, for who commits to it without a clone. It is reached as the agent reaches it. Its methods are not safe for
// concurrent use; their errors are an *Error unless their context ended.
type Remote struct{ remote *remote }

// NewRemote prepares to reach the repo that the options name; Dir says nothing. It connects nowhere.
func NewRemote(o Options) (*Remote, error) {
	o.Dir, o.ReadOnly = ".", true // it keeps nothing
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r, err := newRemote(o)
	if err != nil {
		return nil, err
	}
	return &Remote{r}, nil
}

// Close lets go of idle connections.
func (m *Remote) Close() { m.remote.close() }

// Name is the repo's URL without credentials.
func (m *Remote) Name() string { return m.remote.name }

// Tip is the commit of a branch; zero: there is none of that name.
func (m *Remote) Tip(ctx context.Context, branch string) (plumbing.Hash, error) {
	short, cancel := context.WithTimeout(ctx, m.remote.timeout)
	defer cancel()
	conversation, advertised, err := m.remote.list(short)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, m.explain(ctx, inContext(short, m.remote.timeout, err))
	}
	defer conversation.Close()
	return advertised.References[plumbing.NewBranchReferenceName(branch).String()], nil
}

// Fetch returns the commit of a branch and a store with so many commits of its history, 0 for all; of them the files as well, unless only commits are wanted.
func (m *Remote) Fetch(ctx context.Context, branch string, depth int, commitsOnly bool) (plumbing.Hash, *memory.Storage, error) {
	of := *m.remote
	of.branch = branch
	got, err := of.fetch(ctx, plumbing.ZeroHash, extent{depth: depth, commitsOnly: commitsOnly})
	if err != nil {
		return plumbing.ZeroHash, nil, m.explain(ctx, err)
	}
	return got.head, got.store, nil
}

// Push makes a commit the tip of a branch that has another one, or none where that is zero: the server refuses if it has not. The objects are those of the store that it may lack. An error may hide
// that it is in; nil that the server said so.
func (m *Remote) Push(ctx context.Context, store *memory.Storage, objects []plumbing.Hash, commit, old plumbing.Hash, branch string) error {
	limit := transferFactor * m.remote.timeout
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said, err := m.remote.send(ctx, store, objects, &packp.Command{Name: plumbing.NewBranchReferenceName(branch), Old: old, New: commit})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	explained := m.remote.explainAs("push to branch "+branch+" of", inContext(ctx, limit, err))
	if words := m.remote.redact(said); words != "" {
		return fmt.Errorf("%w; %s", explained, words)
	}
	return explained
}

func (m *Remote) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return m.remote.explain(err)
}

// A pushSession is one conversation with a git server that takes commits. go-git's transports have it.
type pushSession interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	ReceivePack(context.Context, *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error)
	Close() error
}

// send asks the server to move a branch, and returns what its hooks said, on one line.
func (r *remote) send(ctx context.Context, store *memory.Storage, objects []plumbing.Hash, move *packp.Command) (said string, err error) {
	s, err := r.openPush(ctx)
	if err != nil {
		return "", err
	}
	defer s.Close()
	advertised, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return "", noGit(err)
	}
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, store, false).Encode(objects, 0); err != nil {
		return "", err
	}
	request := packp.NewReferenceUpdateRequestFromCapabilities(advertised.Capabilities)
	request.Commands, request.Packfile = []*packp.Command{move}, io.NopCloser(&pack)
	var words opening
	if advertised.Capabilities.Supports(capability.Sideband64k) {
		_ = request.Capabilities.Set(capability.Sideband64k)
		request.Progress = &words
	}
	report, err := s.ReceivePack(ctx, request)
	switch {
	case report != nil && len(report.CommandStatuses) == 1 && report.CommandStatuses[0].Status != "ok":
		err = fail(Other, "the server refuses it: %s", report.CommandStatuses[0].Status)
	case err == nil && report == nil:
		err = fail(Corrupt, "the server did not say whether it took the commit")
	}
	return strings.Join(strings.Fields(words.String()), " "), err
}
