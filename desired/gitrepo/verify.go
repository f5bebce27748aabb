package gitrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"windlass/desired"
	"windlass/desired/trust"
)

// trusted is what is known of signatures; it is guarded as the rest of a Repo is.
type trusted struct {
	verified bool     // what is in force was verified, or a person accepted it: what follows it can be
	roots    []string // commits that a person named for that
	refused  desired.Refusal
	files    [sha256.Size]byte // of --trust, as they were when the head was judged
}

// noRoot is the Refusal.Reason of a head when nothing says what it is to be held to.
const noRoot = "root"

// readTrust reads who may sign from a directory of this machine.
func readTrust(dir string) (*trust.Keys, error) {
	keys, err := trust.Read(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("cannot tell who may sign by --trust: %s", strings.Join(trust.Lines(dir, err), "; "))
	}
	return keys, nil
}

// trustFiles tells apart what the files of a directory have held.
func trustFiles(dir string) (sum [sha256.Size]byte) {
	if dir == "" {
		return sum
	}
	var all bytes.Buffer
	for _, name := range []string{trust.AllowedSigners, trust.Keyring, trust.RevokedKeys} {
		text, err := fs.ReadFile(os.DirFS(dir), name)
		fmt.Fprintf(&all, "%s %t %d\n%s", name, err == nil, len(text), text)
	}
	return sha256.Sum256(all.Bytes())
}

// judged is the head that needs no judging while the branch has it; zero: whatever it has does. A refusal may end by time, or by other files of --trust.
func (r *Repo) judged() plumbing.Hash {
	refused := r.trusted.refused
	switch {
	case refused.Reason == "":
		return r.seen
	case !refused.Again.IsZero() && !r.now().Before(refused.Again):
		return plumbing.ZeroHash
	case trustFiles(r.options.Trust) != r.trusted.files:
		return plumbing.ZeroHash
	}
	return r.seen
}

// verify judges by its signatures a head that follows what is in force.
func (r *Repo) verify(ctx context.Context, got *fetched, past history) (judgement, error) {
	l := &ledger{Repo: r, head: got.head, files: got, read: map[plumbing.Hash]keysRead{}}
	r.trusted.files = trustFiles(r.options.Trust)
	if r.options.Trust != "" {
		keys, err := readTrust(r.options.Trust)
		if err != nil {
			return judgement{}, &failure{Other, err, true}
		}
		l.theirs = keys
	}
	named, err := l.named(ctx, past)
	if err != nil {
		return judgement{}, err
	}
	switch {
	case !named.IsZero():
		return l.verdict(ctx, named, named.String())
	case r.trusted.verified:
		return l.verdict(ctx, plumbing.NewHash(r.force.Revision), "")
	case l.theirs != nil:
		return l.first()
	}
	return judgement{refusal: r.rootless(got.head), unsigned: desired.Refusal{Revision: got.head.String(), Reason: noRoot}}, nil
}

// named is the commit of the branch that a person named with --accept-revision and that is not in force yet, or not known to be good; zero: there is none.
func (l *ledger) named(ctx context.Context, past history) (found plumbing.Hash, err error) {
	prefix := l.options.AcceptRevision
	if prefix == "" || l.trusted.verified && l.usedUp() {
		return found, nil
	}
	if !past.whole() && !past.join(l.Repo.past).whole() {
		var every *fetched
		if every, past, err = l.everyCommit(ctx, l.head); err != nil {
			return found, err
		}
		l.every = every.store
	}
	n := 0
	for commit := range past.commits {
		if strings.HasPrefix(commit.String(), prefix) {
			found, n = commit, n+1
		}
	}
	if n != 1 {
		return plumbing.ZeroHash, nil
	}
	if !l.trusted.verified {
		return found, nil
	}
	before, err := walk(l.deepest(), found)
	if err != nil || found.String() == l.force.Revision || !before.has(plumbing.NewHash(l.force.Revision)) {
		return plumbing.ZeroHash, err
	}
	return found, nil
}

// verdict judges the line from a commit to the head. root is that commit where a person named it.
func (l *ledger) verdict(ctx context.Context, start plumbing.Hash, root string) (judgement, error) {
	v, err := l.judge(ctx, start)
	if err != nil {
		return judgement{}, err
	}
	to := judgement{good: plumbing.NewHash(v.Good), root: root}
	if l.files.store.HasEncodedObject(to.good) != nil && !l.stays(to) {
		if err := l.deepen(ctx, start); err != nil {
			return judgement{}, err
		}
	}
	to.from = l.files
	if to.past, err = walk(l.deepest(), to.good); err != nil {
		return judgement{}, err
	}
	if !l.follows(to.past) || l.stays(to) { // what a person named may lead to no further than somewhere before what is in force
		to.good = plumbing.ZeroHash
	}
	if v.Refused != nil {
		remedy := fmt.Sprintf("set branch %s back to it and push what is signed", l.options.Branch)
		to.refusal, to.unsigned = l.refused(v.Refused, to.good, remedy), refusalOf(v.Refused)
	}
	return to, nil
}

// stays reports whether a judgement changes nothing: what is in force was put in force by this process, or its files are too far down to be read again.
func (l *ledger) stays(to judgement) bool {
	same := to.root == "" && to.good.String() == l.force.Revision
	return same && (!l.seen.IsZero() || l.files.store.HasEncodedObject(to.good) != nil)
}

// first judges a head by the files on this machine when nothing before it is known to be good.
func (l *ledger) first() (judgement, error) {
	no, err := trust.JudgeHead(l, l.head.String(), l.theirs, l.now())
	if err != nil {
		return judgement{}, err
	}
	if no != nil {
		remedy := fmt.Sprintf("push a signed commit to branch %s", l.options.Branch)
		return judgement{refusal: l.refused(no, plumbing.ZeroHash, remedy), unsigned: refusalOf(no)}, nil
	}
	to := judgement{from: l.files, good: l.head}
	to.past, err = walk(l.deepest(), to.good)
	return to, err
}

func refusalOf(r *trust.Refused) desired.Refusal {
	return desired.Refusal{Revision: r.Lacking, Author: said(r.Author), Reason: string(r.Reason), Again: r.Again}
}

// refused says which commit is not accepted, why, and what to do. good is what comes into force; zero: what is stays.
func (l *ledger) refused(no *trust.Refused, good plumbing.Hash, remedy string) string {
	inForce, why := l.force.Revision, no.Error()
	if !good.IsZero() {
		inForce = good.String()
	}
	if inForce != "" {
		why += fmt.Sprintf("; commit %s stays in force", inForce)
	}
	if !no.Again.IsZero() {
		return fmt.Sprintf("%s; it is judged again at %s", why, no.Again.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s; %s, or run `windlass run --accept-revision %s`", why, remedy, l.head)
}

// rootless says what is needed before anything can be verified.
func (r *Repo) rootless(head plumbing.Hash) string {
	why := fmt.Sprintf("nothing says yet which commits of branch %s are good, so that --verify signed could tell whether %s follows them", r.options.Branch, head)
	if r.force.Revision != "" {
		why += fmt.Sprintf(" (commit %s was accepted without, and stays in force)", r.force.Revision)
	}
	why += fmt.Sprintf("; look at it, then run `windlass run --accept-revision %s`, or name who may sign with --trust DIR", head)
	if given := r.options.AcceptRevision; given != "" {
		why += fmt.Sprintf("; --accept-revision %s is no one commit of the branch", given)
	}
	return why
}

// quiet is the error of a pass, which a branch that moved meanwhile is not: the next one reads it.
func quiet(err error) error {
	if errors.Is(err, errMoved) {
		return nil
	}
	return err
}
