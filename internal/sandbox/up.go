package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"windlass/desired"
	"windlass/internal/cage"
	"windlass/internal/live"
	"windlass/internal/mirror"
	"windlass/internal/web"
)

// UpOptions say what Up is about.
type UpOptions struct {
	MirrorOptions // but for Check and Step

	Dir      string // of the deploy repo
	Fleet    string // may be left out where there is one
	Rehearse bool   // misfortunes instead of what is saved

	// Committed is the deploy repo as it is without what is not committed yet. The error is fs.ErrNotExist where it is in no commit.
	Committed func() (fs.FS, error)
}

// Up runs a fleet of a deploy repo on this machine until ctx ends, rolls it again whenever its files are saved, and shows what
// happens; or it rehearses. The error says why it could not, or that the rehearsal did not go well.
func Up(ctx context.Context, o UpOptions, show live.Options) (err error) {
	tell := newTeller(show)
	defer func() { err = errors.Join(err, tell.close()) }()
	seen := signature(o.Dir) // what is saved after it was read is a save
	s, err := o.load()
	if err != nil {
		return err
	}
	o.Fleet, o.Nodes = s.Fleet.Name, cmp.Or(o.Nodes, mirror.Size(s.Fleet))
	if o.Rehearse {
		o.Check, o.Step = "test ! -e "+failFile, "while test -e "+holdFile+"; do sleep 0.05; done"
		return o.rehearse(ctx, s, tell)
	}
	return o.mirror(ctx, s, seen, tell)
}

// load reads what is saved. The error is also that the fleet is broken, with all that is wrong with it.
func (o UpOptions) load() (Saved, error) {
	files, closer, err := desired.Dir(o.Dir)
	if err != nil {
		return Saved{}, err
	}
	defer closer.Close()
	if _, err := fs.Stat(files, "fleets"); errors.Is(err, fs.ErrNotExist) {
		return Saved{}, fmt.Errorf("%s has no directory fleets: name the directory of the deploy repo that holds it with --repo", o.Dir)
	}
	return o.read(files)
}

// read loads a deploy repo and keeps what the fleet is made of in memory.
func (o UpOptions) read(files fs.FS) (Saved, error) {
	tree, err := desired.Load(files)
	if err != nil {
		return Saved{}, fmt.Errorf("cannot read deploy repo %s: %w", o.Dir, err)
	}
	name, err := o.choose(tree)
	if err != nil {
		return Saved{}, err
	}
	used, err := mirror.Used(files, tree, tree.Fleets[name])
	if err == nil && o.Network && len(tree.Rejected) > 0 {
		err = fmt.Errorf("cannot tell which nodes the deploy repo names, which --network keeps away from: %s is broken", slices.Min(slices.Collect(maps.Keys(tree.Rejected))))
	}
	return Saved{Tree: tree, Fleet: tree.Fleets[name], Used: used}, err
}

// choose is the name of the fleet that is meant.
func (o UpOptions) choose(tree desired.Tree) (string, error) {
	valid := slices.Sorted(maps.Keys(tree.Fleets))
	name := o.Fleet
	if all := append(valid, slices.Sorted(maps.Keys(tree.Rejected))...); name == "" {
		switch len(all) {
		case 0:
			return "", fmt.Errorf("there is no fleet in %s", o.Dir)
		case 1:
			name = all[0]
		default:
			return "", fmt.Errorf("name one of the fleets: %s", web.Line(strings.Join(all, ", ")))
		}
	}
	broken, rejected := tree.Rejected[name]
	switch {
	case rejected:
		return "", &rejection{broken}
	case tree.Fleets[name] == nil && len(nameless(tree).Errors) > 0:
		return "", &rejection{nameless(tree)}
	case tree.Fleets[name] == nil:
		return "", fmt.Errorf("there is no fleet %s in %s: it has %s", name, o.Dir, cmp.Or(strings.Join(valid, ", "), "none"))
	}
	return name, nil
}

// nameless is what is wrong with the files whose fleet cannot be told: any of them may be the one that is meant.
func nameless(tree desired.Tree) (all desired.Rejection) {
	for _, id := range slices.Sorted(maps.Keys(tree.Rejected)) {
		if r := tree.Rejected[id]; r.Path == id {
			all.Errors = append(all.Errors, r.Errors...)
		}
	}
	return all
}

// A rejection is that the fleet is broken as it is saved.
type rejection struct{ desired.Rejection }

func (r *rejection) Error() string {
	return fmt.Sprintf("the fleet is broken as it is saved: %s", strings.Join(r.lines(), "; "))
}

func (r *rejection) lines() []string {
	var lines []string
	for _, err := range r.Errors {
		lines = append(lines, web.Line(err.Error()))
	}
	return lines
}

// mirror runs the fleet until ctx ends. The files had the signature seen before they were read.
func (o UpOptions) mirror(ctx context.Context, s Saved, seen uint64, tell *teller) (err error) {
	tell.differences(s.Fleet, o.MirrorOptions)
	m, err := StartMirror(ctx, o.MirrorOptions, s)
	if err != nil {
		return ended(ctx, err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.Agent.Start(); err != nil {
		return err
	}
	tell.places(m)
	following, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	trouble := make(chan error, 1)
	work.Go(func() { trouble <- show(following, m.Agent, tell) })
	saves := watchSaves(following, &work, o.Dir, seen)
	for {
		select {
		case <-ctx.Done():
			tell.remark("everything is ended, and nothing is left behind")
			return nil
		case err := <-trouble:
			return ended(ctx, err)
		case <-saves:
			o.save(ctx, m, tell)
		}
	}
}

// ended is nil where it was a person who ended it.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// save rolls what was saved, and tells what of it is different here that was not before. What is broken, or cannot be had here, is told,
// and nothing else happens.
func (o UpOptions) save(ctx context.Context, m *Mirror, tell *teller) {
	before, known := m.Repo.Head(), m.notes()
	s, err := o.load()
	if err == nil {
		_, err = m.Save(ctx, s, "saved")
	}
	var broken *rejection
	switch {
	case errors.As(err, &broken):
		for _, line := range broken.lines() {
			tell.remark("rejected: %s", tell.paint(red, line))
		}
	case err != nil:
		tell.remark("nothing is rolled: %s", web.Line(err.Error()))
	case m.Repo.Head() != before:
		for _, note := range m.notes() {
			if !slices.Contains(known, note) {
				tell.remark("different from the file: %s", web.Line(string(note)))
			}
		}
		tell.remark("saved: %s", web.Line(s.Fleet.Path)+" wants "+s.Fleet.Release)
	}
}

// show tells what becomes of the fleet until ctx ends.
func show(ctx context.Context, a *Agent, tell *teller) error {
	told := ""
	return a.Follow(ctx, func(f web.Fleet) bool {
		tell.fleet(f)
		if recap := f.Rollout.Recap(f.Name); !f.Rollout.Ended.IsZero() && recap != told {
			told = recap
			tell.remark("%s", recap)
		}
		return false
	})
}

// differences tells what is not as in production, all of it.
func (t *teller) differences(f *desired.Fleet, o MirrorOptions) {
	t.say("%s", t.paint(bold, fmt.Sprintf("windlass up: fleet %s on %d caged nodes of this machine", f.Name, o.Nodes)))
	notes := o.notes(f, mirror.Ground{Nodes: mirror.Nodes(f, o.Nodes), Check: o.Check, Step: o.Step})
	if len(notes) > 0 {
		t.say("what is different from the file:")
	}
	for _, note := range notes {
		t.say("  %s", web.Line(string(note)))
	}
}

// notes are what is different here.
func (o MirrorOptions) notes(f *desired.Fleet, g mirror.Ground) []mirror.Note {
	return mirror.Notes(f, g, mirror.Machine{Has: isInstalled, StandIns: standInsHere(o.Network), Users: cage.WholeIDs(), Network: o.Network})
}

func (m *Mirror) notes() []mirror.Note { return m.options.notes(m.fleet, m.ground) }

// isInstalled reports whether a cage has a command: one of this machine's programs, and not one of the person's own.
func isInstalled(command string) bool {
	if strings.Contains(command, "/") {
		return true // it may come with the release
	}
	for _, dir := range filepath.SplitList(cage.SearchPath) {
		if path, err := exec.LookPath(filepath.Join(dir, command)); err == nil && path != "" {
			return true
		}
	}
	return false
}

func (t *teller) places(m *Mirror) {
	t.say("status page: %s", m.Agent.URL)
	for _, name := range slices.Sorted(maps.Keys(m.URLs)) {
		t.say("load balancer %s: %s", name, m.URLs[name])
	}
	t.say("a saved file rolls the fleet again; Ctrl-C ends it all")
}
