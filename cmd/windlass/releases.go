package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/desired/source"
	"windlass/internal/forge"
	"windlass/internal/web"
)

// releaseTime is how long servers may take to say what they know of one release.
const releaseTime = time.Minute

// asksOf are what is to be told of the releases of fleets, by their names.
func asksOf(tree desired.Tree, fleets []string) (asks []source.Ask) {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(fleets))) {
		if f := tree.Fleets[name]; f != nil && f.Source != nil {
			asks = append(asks, source.Ask{Fleet: name, Release: f.Release, Source: f.Source})
		}
	}
	return asks
}

// judgeRelease asks what the agent's gate will ask.
func judgeRelease(ctx context.Context, reader *source.Reader, ask source.Ask) source.Verdict {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	return reader.Read(ctx, ask)
}

// admit refuses a change whose release the gate would not let through, as far as can be told here, and says what it would wait for. Without --forges this
// machine may not see what the agent sees: then what cannot be told is said, and is the agent's to judge.
func (d *deployment) admit(ctx context.Context, c change) error {
	if len(c.asks) == 0 {
		return nil
	}
	hosts, err := forge.Read(d.forges)
	if err != nil {
		return err
	}
	reader := newReleases(d.gitOptions(), hosts, 0)
	for _, ask := range c.asks {
		if len(ask.Source.Checks) > 0 && d.forges == "" {
			without := *ask.Source
			without.Checks, ask.Source = nil, &without
			fmt.Fprintf(d.out, "  note      the checks of %s are not looked at here: give --forges; the agent waits for them\n", ask.Release)
		}
		switch v := judgeRelease(ctx, reader, ask); {
		case v.State == source.Wait, v.State == source.Unread && d.forges == "":
			fmt.Fprintf(d.out, "  note      fleet %s will wait: %s\n", ask.Fleet, web.Line(v.Reason))
		case v.State != source.Open:
			return fmt.Errorf("nothing was pushed, as release %s would not start on fleet %s: source is %s: %s", ask.Release, ask.Fleet, v.State, web.Line(v.Reason))
		}
	}
	return nil
}

// gitOptions are how the deploy repo is reached where --repo is its URL, and others with the same keys.
func (d *deployment) gitOptions() gitrepo.Options {
	o := agentOptions{gitTokenFile: d.gitTokenFile, gitSSHKey: d.gitSSHKey, gitKnownHosts: d.gitKnownHosts}
	if isURL(d.repo) {
		o.repo = d.repo
	}
	return o.gitOptions("")
}

// tellReleases tells of each fleet that demands something of its releases what the agent's gate would say, and reports whether one would not start.
func tellReleases(ctx context.Context, tree desired.Tree, reader *source.Reader, stdout, stderr io.Writer) (wrong bool) {
	for _, ask := range asksOf(tree, sortedNames(tree.Fleets)) {
		v := judgeRelease(ctx, reader, ask)
		says := web.Line(fmt.Sprintf("source of %s %s: %s", ask.Release, v.State, v.Reason))
		path := tree.Fleets[ask.Fleet].Path
		switch v.State {
		case source.Open:
			fmt.Fprintf(stdout, "%s: %s\n", path, says)
		case source.Wait:
			fmt.Fprintf(stderr, "%s: warning: %s\n", path, says)
		default:
			fmt.Fprintf(stderr, "%s: %s\n", path, says)
			wrong = true
		}
	}
	return wrong
}
