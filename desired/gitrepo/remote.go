package gitrepo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// A remote is the deploy repo at its server. It keeps no connection state but what net/http pools.
type remote struct {
	name    string   // of the repo, for people; without credentials
	secrets []string // those of the newest conversation; only for who holds Repo.pass
	branch  string
	timeout time.Duration // of a listing, and of any silence
	most    limits
	observe func(operation string, took time.Duration, failed bool)
	open    func(ctx context.Context) (session, error)
	close   func()

	openPush func(ctx context.Context) (pushSession, error)
}

// A session is one conversation with a git server: its references, then at most one pack. go-git's transports have it.
type session interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	UploadPack(context.Context, *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	Close() error
}

const (
	// transferFactor is how many timeouts a pack may take: silence is noticed by the connection itself, this only bounds a
	// trickle.
	transferFactor = 20
	largestHistory = 1 << 30
	largestCommits = 96 << 20 // some 200,000 of them, a third of that when they are signed
)

// limits bound what a server can make us read and hold, in bytes.
type limits struct {
	history int64 // a pack, and all that is in it
	commits int64 // what is held where only the commits are wanted
}

// An extent is how much history is fetched.
type extent struct {
	depth       int  // in commits; 0: all
	commitsOnly bool // without trees and files, which are not even sent where the server can leave them out
}

func (e extent) operation() string {
	if e.depth == 0 {
		return cloning
	}
	return fetching
}

// A fetched is a head of the branch with its history in a store of its own. Stores are never fetched into twice: go-git
// loses objects when depths mix in one (go-git issue 1443), keeps every pack (G35), and reports success without moving a
// rewritten reference (G34). Asking a fresh store for a hash leaves it no room for any of that.
type fetched struct {
	head  plumbing.Hash
	store *memory.Storage
}

// fetch lists the references once and, unless the branch's head is known, fetches it in the same conversation. The answer is
// nil when the head is known.
func (r *remote) fetch(ctx context.Context, known plumbing.Hash, want extent) (*fetched, error) {
	var head plumbing.Hash
	store, err := r.fetchHeads(ctx, want, func(advertised *packp.AdvRefs) (heads []plumbing.Hash, err error) {
		if head, err = r.headOf(advertised); err != nil || head == known {
			return nil, err
		}
		return []plumbing.Hash{head}, nil
	})
	if err != nil || store == nil {
		return nil, err
	}
	return &fetched{head, store}, nil
}

// fetchHeads lists the references once, and fetches those that are chosen of them in the same conversation. The answer is nil when none is.
func (r *remote) fetchHeads(ctx context.Context, want extent, choose func(*packp.AdvRefs) ([]plumbing.Hash, error)) (*memory.Storage, error) {
	short, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	conversation, advertised, err := r.list(short)
	if err != nil {
		return nil, inContext(short, r.timeout, err)
	}
	defer conversation.Close()
	heads, err := choose(advertised)
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	transfer, cancel := context.WithTimeout(ctx, transferFactor*r.timeout)
	defer cancel()
	began := time.Now()
	store, err := r.receive(transfer, conversation, request(advertised.Capabilities, want, heads...), want.commitsOnly)
	r.tell(want.operation(), began, err)
	if err != nil {
		return nil, inContext(transfer, transferFactor*r.timeout, err)
	}
	return store, nil
}

// list opens a conversation with the server and hears its references.
func (r *remote) list(ctx context.Context) (s session, advertised *packp.AdvRefs, err error) {
	defer func(began time.Time) { r.tell(listing, began, err) }(time.Now())
	if s, err = r.open(ctx); err != nil {
		return nil, nil, err
	}
	if advertised, err = s.AdvertisedReferencesContext(ctx); err != nil {
		s.Close()
		return nil, nil, noGit(err)
	}
	return s, advertised, nil
}

func (r *remote) tell(operation string, began time.Time, err error) {
	if r.observe != nil {
		r.observe(operation, time.Since(began), err != nil)
	}
}

// inContext prefers the context's own error: a connection that was cut because time was up fails with whatever was going on.
func inContext(ctx context.Context, limit time.Duration, err error) error {
	if ctx.Err() != nil {
		return fail(Timeout, "it took longer than %s", limit)
	}
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return fail(NotFound, "it is empty: push a branch to it")
	}
	return err
}

func (r *remote) headOf(advertised *packp.AdvRefs) (plumbing.Hash, error) {
	head, ok := advertised.References[plumbing.NewBranchReferenceName(r.branch).String()]
	if !ok {
		return head, fail(NotFound, "it has no branch %s: push it, or name another with --branch", r.branch)
	}
	return head, nil
}

func request(offered *capability.List, want extent, heads ...plumbing.Hash) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(offered)
	req.Wants = heads
	if want.depth > 0 && offered.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(want.depth)
		_ = req.Capabilities.Set(capability.Shallow)
	}
	if want.commitsOnly && offered.Supports(capability.Filter) {
		req.Filter = packp.FilterTreeDepth(0)
		_ = req.Capabilities.Set(capability.Filter)
	}
	return req
}

// receive reads one pack into a fresh store.
func (r *remote) receive(ctx context.Context, from session, req *packp.UploadPackRequest, commitsOnly bool) (*memory.Storage, error) {
	answer, err := from.UploadPack(ctx, req)
	if errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return nil, io.ErrUnexpectedEOF // the server closed instead of sending a pack
	}
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	pack := &bounded{demultiplex(req.Capabilities, answer), r.most.history, r.most.history}
	store, err := r.unpack(ctx, pack, commitsOnly)
	if err != nil {
		return nil, err
	}
	for _, head := range req.Wants {
		if store.HasEncodedObject(head) != nil {
			return nil, fail(Corrupt, "the server's pack lacks the commit %s it was asked for", head)
		}
	}
	return store, nil
}

// unpack returns a store of what is in a pack.
func (r *remote) unpack(ctx context.Context, from io.Reader, commitsOnly bool) (*memory.Storage, error) {
	if commitsOnly {
		return strain(from, r.most)
	}
	pack, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	if err := measure(pack, r.most.history); err != nil {
		return nil, err
	}
	store := &boundedStore{memory.NewStorage(), r.most.history, r.most.history, ctx.Err}
	return store.Storage, packfile.UpdateObjectStorage(store, bytes.NewReader(pack))
}

func demultiplex(agreed *capability.List, answer io.Reader) io.Reader {
	switch {
	case agreed.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, answer)
	case agreed.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, answer)
	}
	return answer
}

// measure adds up the sizes that a pack gives for its objects, before any is unpacked: a file of zeros is tiny in a pack, and so is a delta that
// makes one.
func measure(pack []byte, most int64) error {
	scanner := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := scanner.Header()
	if err != nil {
		return err
	}
	for left := most; count > 0; count-- {
		object, err := scanner.NextObjectHeader()
		if err != nil {
			return err
		}
		size := uint64(object.Length)
		if object.Type.IsDelta() && object.Length <= left {
			var sizes beginning
			if _, _, err := scanner.NextObject(&sizes); err != nil {
				return err
			}
			size = max(size, sizes.made())
		}
		if size > uint64(left) {
			return tooLarge(most)
		}
		left -= int64(size)
	}
	return nil
}

// A beginning keeps the first bytes of what is written to it: of a delta the size of its base, and that of what it makes of it.
type beginning struct {
	kept [2 * binary.MaxVarintLen64]byte
	n    int
}

func (b *beginning) Write(p []byte) (int, error) {
	b.n += copy(b.kept[b.n:], p)
	return len(p), nil
}

// made is the size of what the delta makes; 0 where it does not say, as then it makes nothing.
func (b *beginning) made() uint64 {
	_, n := binary.Uvarint(b.kept[:b.n])
	size, _ := binary.Uvarint(b.kept[max(n, 0):b.n])
	return size
}

// bounded fails, rather than ends, when more than left bytes come.
type bounded struct {
	from       io.Reader
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, tooLarge(b.most)
	}
	return n, err
}

// A boundedStore takes no more than left bytes of objects, deltas resolved, and none once its conversation has ended.
type boundedStore struct {
	*memory.Storage
	left, most int64
	ended      func() error
}

// SetEncodedObject keeps an object.
func (s *boundedStore) SetEncodedObject(object plumbing.EncodedObject) (plumbing.Hash, error) {
	if err := s.ended(); err != nil {
		return plumbing.ZeroHash, err
	}
	if s.left -= object.Size(); s.left < 0 {
		return plumbing.ZeroHash, tooLarge(s.most)
	}
	return s.Storage.SetEncodedObject(object)
}

func tooLarge(most int64) error {
	return fail(Other, "its history is larger than %d MB: keep only what fleets need in the deploy repo", most>>20)
}
