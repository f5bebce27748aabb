package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"windlass/desired"
	"windlass/desired/trust"
	"windlass/internal/clone"
	"windlass/internal/web"
	"windlass/reconciler"
)

func newRollback() *cobra.Command {
	var o deployOptions
	var to string
	var releaseOnly bool
	cmd := &cobra.Command{
		Use:   "rollback FLEET",
		Short: "Take back what changed a fleet since it was last proven with something else",
		Long: `Take back what changed a fleet since it was last proven with something else, push that, and follow it to its end. The agent's history
says what was proven before; --to names another commit. The commits of the branch that touched the fleet's files since then are taken back
whole, as one new commit that names them, by your own git and as windlass deploy does it. Where that would change other fleets as well it is
refused: --release-only puts back the release alone.

Merging a branch again whose commits were taken back changes nothing: revert the new commit instead.

` + endings,
		Example: `  windlass rollback web-live
  windlass rollback web-live --to 3f2a9c1 --yes
  windlass rollback web-live --release-only`,
		Args: exactly("a fleet"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := newDeployment(o, args[0], cmd)
			r := &wayBack{deployment: d, to: to}
			d.prepare = r.change
			if releaseOnly {
				d.prepare = r.release
			}
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "`commit` whose state the fleet goes back to (default: what was last proven and is not what is wanted now)")
	f.BoolVar(&releaseOnly, "release-only", false, "put back the release, and leave the fleet's other keys and files")
	f.BoolVar(&o.inBase, "in-base", false, "with --release-only: change the release where a base says it, for every fleet that has it from there")
	o.define(cmd)
	completes(cmd, &o.at, false)
	return configurable(cmd)
}

// A wayBack prepares what a rollback commits.
type wayBack struct {
	*deployment
	to string // a commit; empty until it is found
}

// A version is a fleet as a commit has it.
type version struct {
	tree  desired.Tree
	fleet *desired.Fleet
	texts map[string]string // of the files that it uses, by name

	common map[string]string // of those that are of all fleets, whether it uses them or not
}

// at reads the fleet at a commit.
func (w *wayBack) at(ctx context.Context, commit string) (v version, err error) {
	err = w.clone.Read(ctx, commit, w.path, func(files fs.FS) error {
		if v.tree, err = desired.Load(files); err != nil {
			return err
		}
		v.fleet, v.texts = v.tree.Fleets[w.fleet], map[string]string{}
		for name, users := range v.tree.Uses {
			if slices.Contains(users, w.fleet) {
				text, err := fs.ReadFile(files, name)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				v.texts[name] = string(text)
			}
		}
		v.common = map[string]string{}
		for _, name := range ofAllFleets {
			text, _ := fs.ReadFile(files, name) // what cannot be read is as good as another
			v.common[name] = string(text)
		}
		return nil
	})
	return v, err
}

func (v version) digest() string { return v.fleet.Digest(desired.DigestAlgorithm) }

// versions are the fleet as it is now, and as it was.
func (w *wayBack) versions(ctx context.Context, tip string) (now, then version, err error) {
	if now, err = w.at(ctx, tip); err != nil {
		return now, then, err
	}
	if now.fleet == nil {
		_, err := w.fileOf(now.tree)
		return now, then, err
	}
	if err := w.find(ctx, tip, now); err != nil {
		return now, then, err
	}
	if then, err = w.at(ctx, w.to); err == nil && then.fleet == nil {
		err = fmt.Errorf("commit %.7s has no fleet %s that is in order", w.to, w.fleet)
	}
	if err == nil {
		w.deployment.release = then.fleet.Release
	}
	return now, then, err
}

// find settles which commit is gone back to.
func (w *wayBack) find(ctx context.Context, tip string, now version) (err error) {
	if w.to != "" {
		w.to, err = w.clone.Resolve(ctx, w.branch, w.to)
		return err
	}
	var past []web.Past
	if err := w.agent.get(ctx, fmt.Sprintf("/api/v1/fleets/%s/history?limit=%d", url.PathEscape(w.fleet), web.UsualPast), &past); err != nil {
		return err
	}
	for _, p := range past {
		if p.Result != reconciler.ResultSucceeded && p.Result != reconciler.ResultRolledBack {
			continue
		}
		if in, err := w.clone.Reaches(ctx, w.branch, tip, p.Revision); err != nil {
			return err
		} else if !in {
			continue
		}
		if v, err := w.at(ctx, p.Revision); err == nil && v.fleet != nil && v.digest() != now.digest() {
			w.to = p.Revision
			return nil
		}
	}
	return fmt.Errorf("the history of %s tells of nothing that was proven and is not what is wanted now; say with --to what to go back to", w.fleet)
}

// release prepares a change of the release alone.
func (w *wayBack) release(ctx context.Context, tip string) (change, error) {
	if _, _, err := w.versions(ctx, tip); err != nil {
		return change{}, err
	}
	return w.deployment.change(ctx, tip)
}

// change prepares a commit that takes back all that touched the fleet.
func (w *wayBack) change(ctx context.Context, tip string) (change, error) {
	now, then, err := w.versions(ctx, tip)
	if err != nil {
		return change{}, err
	}
	c := change{parent: tip, holder: now.fleet.Path, was: now.fleet.Release, about: now.texts, nothing: now.digest() == then.digest()}
	if c.nothing {
		return c, nil
	}
	c.undone, err = w.clone.Touching(ctx, w.branch, w.to, tip, w.files(now, then))
	if errors.Is(err, clone.ErrUnrelated) {
		err = fmt.Errorf("commit %.7s is none of branch %s", w.to, w.branch)
	}
	if err != nil {
		return change{}, err
	}
	if c.made, err = w.clone.Undo(ctx, tip, w.words(c), c.undone); err != nil {
		return change{}, fmt.Errorf("%w; --release-only puts back the release alone", err)
	}
	c.rolls, err = w.outcome(ctx, c, now, then)
	return c, err
}

// files are those that the fleet uses in either version, as the whole repo names them, but for what is of all fleets.
func (w *wayBack) files(now, then version) []string {
	all := map[string]bool{}
	for _, texts := range []map[string]string{now.texts, then.texts} {
		for name := range texts {
			if !slices.Contains(ofAllFleets, name) {
				all[w.inRepo(name)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// ofAllFleets are files that no way back of one takes back: when nodes may be changed, and who may sign releases.
var ofAllFleets = []string{
	desired.WindowsFile, trust.Releases + "/" + trust.AllowedSigners, trust.Releases + "/" + trust.Keyring, trust.Releases + "/" + trust.RevokedKeys,
}

// outcome checks that the commit brings back this fleet, and changes no other, nor what is of all.
func (w *wayBack) outcome(ctx context.Context, c change, now, then version) (rolls []string, err error) {
	after, err := w.at(ctx, c.made)
	if err != nil {
		return nil, err
	}
	rolls = desired.Affected(now.tree, after.tree)
	var others []string
	for _, name := range append(slices.Clone(rolls), sortedNames(after.tree.Rejected)...) {
		if _, broken := now.tree.Rejected[name]; name != w.fleet && !broken {
			others = append(others, name)
		}
	}
	for _, name := range sortedNames(now.tree.Fleets) {
		if _, broken := after.tree.Rejected[name]; after.tree.Fleets[name] == nil && !broken {
			others = append(others, name)
		}
	}
	for _, name := range ofAllFleets {
		if after.common[name] != now.common[name] {
			others = append(others, name)
		}
	}
	switch {
	case len(others) > 0:
		return nil, fmt.Errorf("what changed %s since commit %.7s changed %s too, and would be taken back there as well; --release-only puts back the release of %[1]s alone",
			w.fleet, w.to, strings.Join(others, ", "))
	case after.fleet == nil || after.digest() != then.digest():
		return nil, fmt.Errorf("to take back what touched %s since commit %.7s does not bring back what it had there; --release-only puts back the release alone", w.fleet, w.to)
	}
	return rolls, nil
}

// words are the message of the commit.
func (w *wayBack) words(c change) string {
	if strings.TrimSpace(w.message) != "" {
		return w.message
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: back to %s (was %s)\n\nThis takes back, of what touched fleet %s since commit %.12s:\n\n", w.fleet, w.deployment.release, c.was, w.fleet, w.to)
	for _, u := range c.undone {
		fmt.Fprintf(&b, "%.12s %s (%s)\n", u.Hash, u.Subject, u.Author)
	}
	b.WriteString("\nMerging a branch again that was taken back changes nothing: revert this commit instead.\n")
	return b.String()
}
