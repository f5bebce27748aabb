package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"windlass/desired"
	"windlass/internal/durable"
)

// fleetsDir holds the fleet files, below Options.Path.
const fleetsDir = "fleets"

// A loader reads the fleets of one commit: desired.Load.
type loader func(fs.FS) (desired.Tree, error)

// A Repo is the deploy repo as one agent follows it. Its methods may be called from several goroutines.
type Repo struct {
	options Options
	remote  *remote
	keeper  keeper
	load    loader
	now     func() time.Time // as signatures are judged

	// pass is held (by a value in it) during a conversation with the server and the change that follows from it. Only its
	// holder changes what mu guards.
	pass chan struct{}

	woken chan struct{} // holds one when Run is to poll at once

	proposals proposals

	mu      sync.Mutex
	force   desired.State // what is in force; Problem is composed when it is handed out
	kept    []string      // commits that were in force, newest last, the accepted one among them
	byHand  []string      // the commits whose histories a person accepted; empty: none that force.Revision is of
	past    history       // of force.Revision
	seen    plumbing.Hash // the newest head that was judged; zero: none by this process
	refusal string        // why seen, or something that was kept, is not in force; empty: it is
	trusted trusted
	outage  string // why the last poll failed; empty: it did not
	deepen  failedDeepening
	stats   Stats
}

// Open prepares to follow the repo that the options name, and takes up what an earlier process had accepted. It connects
// nowhere and starts nothing. Its errors say what to change in the options or the state directory.
func Open(options Options) (*Repo, error) {
	return open(options, desired.Load)
}

func open(options Options, load loader) (*Repo, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	remote, err := newRemote(options)
	if err != nil {
		return nil, err
	}
	r := &Repo{options: options, remote: remote, keeper: keeper{options.Dir}, load: load, now: time.Now, pass: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
	r.proposals.turn = make(chan struct{}, 1)
	r.stats = Stats{Branch: options.Branch, Path: options.Path, Errors: map[Reason]int{}}
	for _, reason := range Reasons() {
		r.stats.Errors[reason] = 0
	}
	if !options.ReadOnly {
		_ = durable.Sweep(options.Dir) // what stays does no harm
	}
	return r, r.resume()
}

// Close lets go of idle connections. Polling again is still possible.
func (r *Repo) Close() { r.remote.close() }

// resume puts in force what an earlier process kept. A version whose files are lost is left out, and said to be, until the repo
// is read.
func (r *Repo) resume() error {
	kept, err := r.keeper.read()
	if r.options.ReadOnly && errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil || kept.Revision == "" {
		return err
	}
	trees := map[string]desired.Tree{}
	tree := func(revision string) desired.Tree {
		if _, ok := trees[revision]; !ok {
			trees[revision], _ = r.keeper.load(revision, r.load)
		}
		return trees[revision]
	}
	r.force = desired.State{Revision: kept.Revision, Committed: kept.Committed, Checked: kept.Checked, Fleets: map[string]desired.Version{}}
	r.kept, r.byHand, r.stats.LastSuccess = kept.Accepted, kept.Named, kept.Checked
	r.trusted.verified, r.trusted.roots = kept.Verified, kept.Roots
	if kept.ByHand && len(kept.Named) == 0 {
		r.byHand = []string{kept.Revision} // kept by a windlass that did not note which
	}
	for _, name := range slices.Sorted(maps.Keys(kept.Fleets)) {
		version := kept.Fleets[name]
		fleet := tree(version.Revision).Fleets[name]
		if fleet == nil {
			r.refusal = fmt.Sprintf("fleet %s has no version in force until the deploy repo is read: its files as of commit %s cannot be read from %s",
				name, version.Revision, r.options.Dir)
			continue
		}
		r.force.Fleets[name] = desired.Version{Fleet: fleet, Revision: version.Revision, Committed: version.Committed, Change: version.Change, Released: version.Released}
	}
	r.force.Rejected = attribute(tree(kept.Revision).Rejected, kept.Revision, r.force.Fleets)
	r.force.Warnings = tree(kept.Revision).Warnings
	return nil
}

// State returns what is in force. It never waits for a poll.
func (r *Repo) State() desired.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.force
	problems := slices.DeleteFunc([]string{r.outage, r.refusal}, func(text string) bool { return text == "" })
	state.Problem, state.Refused = strings.Join(problems, "; "), r.trusted.refused
	return state
}

// Poll makes one pass: it lists the repo's references and, when the branch's head moved, fetches it and judges it. It always
// returns the State in force. The error is why the repo could not be read, an *Error unless ctx ended; a head that was read and
// refused is no error but the State's Problem.
func (r *Repo) Poll(ctx context.Context) (desired.State, error) {
	release, err := r.enter(ctx)
	if err != nil {
		return r.State(), err
	}
	defer release()
	err = r.refresh(ctx)
	if err != nil && ctx.Err() != nil {
		return r.State(), ctx.Err()
	}
	err = r.note(err)
	return r.State(), err
}

func (r *Repo) enter(ctx context.Context) (release func(), err error) {
	select {
	case r.pass <- struct{}{}:
		return func() { <-r.pass }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// note records how a pass ended, and makes its error presentable.
func (r *Repo) note(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Polls++
	if err == nil {
		r.outage = ""
		r.force.Checked = time.Now()
		r.stats.LastSuccess = r.force.Checked
		return nil
	}
	explained := r.remote.explain(err)
	r.outage = explained.Error()
	r.stats.Errors[explained.Reason]++
	return explained
}

func (r *Repo) refresh(ctx context.Context) error {
	got, err := r.remote.fetch(ctx, r.judged(), extent{depth: r.options.Depth})
	if err != nil || got == nil {
		return err
	}
	r.count(func(s *Stats) { s.Fetches++ })
	past, err := r.pastOf(ctx, got)
	if err != nil {
		return err
	}
	if !r.follows(past) && (r.usedUp() || !r.acceptedByHand(got.head, past)) {
		r.count(func(s *Stats) { s.Rewrites++ })
		r.refuse(got.head, r.rewritten(got.head, past), desired.Refusal{})
		return nil
	}
	next := judgement{from: got, good: got.head, past: past}
	switch {
	case r.acceptedByHand(got.head, past) && !r.usedUp() && (r.options.Verify == VerifyNone || !r.follows(past) || r.force.Revision == ""):
		next.byHand = true
	case r.options.Verify == VerifySigned:
		if next, err = r.verify(ctx, got, past); err != nil {
			return quiet(err)
		}
	}
	return r.judge(got.head, next)
}

func (r *Repo) rewritten(head plumbing.Hash, past history) string {
	why := fmt.Sprintf("the history of branch %s was rewritten: commit %s does not follow the accepted commit %s, which stays in force; if that is intended, ",
		r.options.Branch, head, r.force.Revision)
	given := r.options.AcceptRevision
	if r.acceptedByHand(head, past) {
		return why + fmt.Sprintf("push a commit on top of it and name that one: --accept-revision %s was used up when the commit was accepted before", given)
	}
	why += fmt.Sprintf("run `windlass run --accept-revision %s`", head)
	if given != "" {
		why += fmt.Sprintf("; --accept-revision %s is another commit", given)
	}
	return why
}

// usedUp reports whether --accept-revision did its work before: left in a unit file it must not accept that the branch is
// set back to the same commit later.
func (r *Repo) usedUp() bool {
	return slices.ContainsFunc(slices.Concat(r.byHand, r.trusted.roots), func(commit string) bool { return strings.HasPrefix(commit, r.options.AcceptRevision) })
}

// follows reports whether the accepted commit, if there is one, is in a head's past.
func (r *Repo) follows(past history) bool {
	return r.force.Revision == "" || past.has(plumbing.NewHash(r.force.Revision))
}

// pastOf returns enough of the fetched head's history to tell whether it follows the accepted commit.
func (r *Repo) pastOf(ctx context.Context, got *fetched) (history, error) {
	past, err := walk(got.store, got.head)
	if err != nil || past.whole() || r.follows(past) {
		return past, err
	}
	return r.wholeHistory(ctx, got.head)
}

// wholeHistory is the hashes of every commit that leads to one. It tells a long gap from a rewritten history.
func (r *Repo) wholeHistory(ctx context.Context, of plumbing.Hash) (history, error) {
	_, past, err := r.everyCommit(ctx, of)
	return past, err
}

// everyCommit fetches every commit that leads to one, without files, into a store of its own.
func (r *Repo) everyCommit(ctx context.Context, of plumbing.Hash) (*fetched, history, error) {
	got, err := r.remote.fetch(ctx, plumbing.ZeroHash, extent{commitsOnly: true})
	if err != nil {
		return nil, history{}, err
	}
	r.count(func(s *Stats) { s.Fetches++ })
	past, err := walk(got.store, of)
	switch {
	case err != nil:
		return nil, history{}, err
	case !past.has(of):
		return nil, history{}, fail(Other, "branch %s does not hold commit %s any more: its history was rewritten", r.options.Branch, of)
	case !past.whole():
		return nil, history{}, fail(Corrupt, "the server's copy lacks a part of the history: unshallow it")
	}
	return got, past, nil
}

// acceptedByHand reports whether --accept-revision names head, and no other commit of its history.
func (r *Repo) acceptedByHand(head plumbing.Hash, past history) bool {
	prefix := r.options.AcceptRevision
	if prefix == "" || !strings.HasPrefix(head.String(), prefix) {
		return false
	}
	for commit := range past.commits {
		if commit != head && strings.HasPrefix(commit.String(), prefix) {
			return false
		}
	}
	return true
}

// refuse leaves what is in force alone, until the head moves again or is judged again.
func (r *Repo) refuse(head plumbing.Hash, why string, unsigned desired.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen, r.refusal, r.trusted.refused = head, r.remote.redact(why), unsigned
}

// A judgement is which commit is to be in force, and why none that is newer.
type judgement struct {
	from     *fetched      // its files, and those of commits before it
	good     plumbing.Hash // zero: what is in force stays
	past     history       // of good
	byHand   bool          // a person accepted its history, whatever was in force before
	root     string        // the commit that a person named with --accept-revision, so that what follows it can be verified; empty: none
	refusal  string        // why the head is not in force; empty: it is
	unsigned desired.Refusal
}

// judge puts a commit that follows the accepted one in force, fleet by fleet. head is what the branch has.
func (r *Repo) judge(head plumbing.Hash, to judgement) error {
	if to.good.IsZero() {
		r.refuse(head, to.refusal, to.unsigned)
		return nil
	}
	commit, err := object.GetCommit(to.from.store, to.good)
	if err != nil {
		return fail(Corrupt, "cannot read commit %s: %w", to.good, err)
	}
	tree, own, err := r.read(to.from, commit)
	if errors.Is(err, fs.ErrNotExist) {
		r.refuse(head, fmt.Sprintf("commit %s has no directory %s: put the fleet files there, or name another directory with --path",
			to.good, path.Join(r.options.Path, fleetsDir)), desired.Refusal{})
		return nil
	}
	if err != nil {
		return err
	}
	before, files := r.force.Fleets, map[string]*treeFS{}
	if r.seen.IsZero() {
		before, files = r.recall(to.from, commit, tree, before)
	}
	files[commit.Hash.String()] = own
	next := advance(before, tree, commit)
	next.Checked = time.Now()
	now := inForce{state: next, past: to.past, byHand: r.byHand, roots: r.trusted.roots, accepted: remember(r.kept, next.Revision)}
	if to.byHand {
		now.byHand = append(slices.Clone(now.byHand), next.Revision)
	}
	if to.root != "" {
		now.roots = append(slices.Clone(now.roots), to.root)
	}
	now.verified = r.options.Verify == VerifySigned
	if err := r.keep(now.describe(), files); err != nil {
		return &failure{Other, fmt.Errorf("commit %s is not in force yet: %w", to.good, err), true}
	}
	r.adopt(now)
	r.refuse(head, to.refusal, to.unsigned)
	return nil
}

func (r *Repo) keep(accepted kept, files map[string]*treeFS) error {
	if r.options.ReadOnly {
		return nil
	}
	return r.keeper.write(accepted, files)
}

// mostRemembered is how many accepted commits are kept: more than any rollout's nodes name.
const mostRemembered = 200

func remember(accepted []string, revision string) []string {
	if len(accepted) > 0 && accepted[len(accepted)-1] == revision {
		return accepted
	}
	accepted = append(slices.Clone(accepted), revision)
	return accepted[max(0, len(accepted)-mostRemembered):]
}

// An inForce is what is to be in force and how it came to be.
type inForce struct {
	state                   desired.State
	past                    history
	byHand, roots, accepted []string
	verified                bool
}

func (r *Repo) adopt(next inForce) {
	past := next.past.join(r.past)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.force, r.byHand, r.past, r.kept = next.state, next.byHand, past, next.accepted
	r.trusted.verified, r.trusted.roots = next.verified, next.roots
}

// read loads the fleets of one commit; fs.ErrNotExist means that the directory for them is missing.
func (r *Repo) read(from *fetched, commit *object.Commit) (desired.Tree, *treeFS, error) {
	files, err := newTree(from.store, commit, r.options.Path)
	if err != nil {
		return desired.Tree{}, nil, err
	}
	if _, err := files.below(fleetsDir); err != nil {
		return desired.Tree{}, nil, err
	}
	tree, err := r.load(files)
	if err != nil {
		return desired.Tree{}, nil, fmt.Errorf("cannot read the fleets of commit %s: %w", commit.Hash, err)
	}
	return tree, files, nil
}

var fullRevision = regexp.MustCompile(`^[0-9a-f]{40}$`)

func isRevision(text string) bool { return fullRevision.MatchString(text) }
