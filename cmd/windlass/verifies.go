package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"windlass/desired/trust"
)

// verifies refuses a commit that an agent with --verify signed would: whether one verifies cannot be seen from here, so the deploy repo's own files decide.
func (d *deployment) verifies(ctx context.Context, parent, commit string) error {
	l := &oneCommit{deployment: d, ctx: ctx, parent: parent}
	if says, err := l.saysWhoSigns(); err != nil || !says {
		return err
	}
	v, err := trust.Judge(l, parent, commit, time.Now())
	switch {
	case err != nil:
		return fmt.Errorf("nothing was pushed: cannot verify the commit: %w", err)
	case v.Refused == nil:
		return nil
	}
	return fmt.Errorf("nothing was pushed: agents that verify signatures would not accept the commit: %s%s", v.Refused.Text, d.remedy(v.Refused.Reason))
}

// remedy is what to do about a commit that is not signed as it has to be; empty: its refusal says it.
func (d *deployment) remedy(reason trust.Reason) string {
	switch {
	case isURL(d.repo) && reason == trust.Unsigned:
		return "; without a clone nothing is signed: deploy from a clone of the deploy repo, whose git signs commits (git config commit.gpgSign true)"
	case reason == trust.Unsigned:
		return "; let git sign your commits: git config commit.gpgSign true, with gpg.format and user.signingKey"
	case reason == trust.UnknownKey, reason == trust.NotAllowed, reason == trust.Stale, reason == trust.Expired, reason == trust.Revoked:
		return fmt.Sprintf("; sign with a key of %s (git config user.signingKey), or have it added there by who may sign", path.Join(d.path, trust.Dir))
	}
	return ""
}

// A oneCommit is the history of a commit that was made on top of the remote's, whose own past is what agents have accepted or not.
type oneCommit struct {
	*deployment
	ctx    context.Context
	parent string
}

// saysWhoSigns reports whether the deploy repo says who may sign its commits.
func (l *oneCommit) saysWhoSigns() (says bool, err error) {
	err = l.clone.Read(l.ctx, l.parent, l.path, func(files fs.FS) error {
		for _, name := range []string{trust.AllowedSigners, trust.Keyring} {
			switch _, err := fs.Stat(files, path.Join(trust.Dir, name)); {
			case err == nil:
				says = true
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		return nil
	})
	return says, err
}

// Commit is of trust.History.
func (l *oneCommit) Commit(id string) ([]byte, error) { return l.clone.Raw(l.ctx, id) }

// Keys is of trust.History.
func (l *oneCommit) Keys(id string) (keys *trust.Keys, err error) {
	err = l.clone.Read(l.ctx, id, l.path, func(files fs.FS) error {
		dir, err := fs.Sub(files, trust.Dir)
		if err == nil {
			keys, err = trust.Read(dir)
		}
		return err
	})
	if err != nil {
		return nil, &trust.Refusal{Reason: trust.NoFiles, Text: fmt.Sprintf("who may sign after commit %.12s cannot be told: %s", id, strings.Join(trust.Lines(trust.Dir, err), "; "))}
	}
	return keys, nil
}

// Accepted is of trust.History: whatever the commit was made on.
func (l *oneCommit) Accepted(string) (bool, error) { return true, nil }
