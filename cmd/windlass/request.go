package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"windlass/internal/clone"
	"windlass/internal/forge"
	"windlass/internal/web"
)

// mostBranches is how many names of a branch are tried: others may have taken the first ones.
const mostBranches = 20

// mostShown is how many bytes of what would be done stand in a pull request's text, of which GitHub takes 65,536 characters.
const mostShown = 50_000

// A requester opens pull requests.
//
// Law: FindOpen is empty, and no error, where there is no open one.
type requester interface {
	FindOpen(ctx context.Context, branch, into string) (url string, err error)
	Open(ctx context.Context, r forge.Request) (url string, err error)
}

// forgeOf is the forge that a deploy repo is on, by the file of --forges.
func (o *deployOptions) forgeOf(remote string) (*forge.Client, error) {
	hosts, err := forge.Read(o.forges)
	if err != nil {
		return nil, err
	}
	place, ok := forge.Locate(remote)
	if !ok {
		return nil, errors.New("the deploy repo's URL names no OWNER/NAME on a host, so no pull request can be opened there: push without --pr")
	}
	host, ok := hosts.Of(place)
	if !ok {
		return nil, fmt.Errorf("%s is not in the file of --forges: add it there, with its kind and a token that may open pull requests", web.Line(place.Host))
	}
	return forge.NewClient(host, place)
}

// request pushes the change to a branch of its own, and asks on the forge to merge it. Nothing is deployed by that.
func (d *deployment) request(ctx context.Context, c change, f web.Forecast) error {
	remote, err := d.clone.URL(ctx)
	if err != nil {
		return err
	}
	at, err := d.forgeOf(remote)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := d.agree(ctx, "Open a pull request?"); err != nil {
		return err
	}
	commit, err := d.commit(ctx, c)
	if err != nil {
		return err
	}
	branch, pushed, err := d.branchOff(ctx, commit)
	if err != nil {
		return err
	}
	return d.open(ctx, at, forge.Request{Branch: branch, Into: d.branch, Title: d.title(c), Body: d.body(c, f)}, pushed)
}

// branchOff is the branch that has the change: one that is there already, or a new one. One that has something else is left alone.
func (d *deployment) branchOff(ctx context.Context, commit string) (branch string, pushed bool, err error) {
	for n := 1; n <= mostBranches; n++ {
		branch = branchName(d.fleet, d.release, n)
		tip, err := d.clone.Branch(ctx, branch)
		if err != nil {
			return "", false, err
		}
		if tip == "" {
			err := d.clone.Push(ctx, commit, "", branch)
			if errors.Is(err, clone.ErrMoved) { // somebody has just taken the name
				continue
			}
			return branch, true, err
		}
		if alike, err := d.clone.Alike(ctx, branch, tip, commit); alike || err != nil {
			return branch, false, err
		}
	}
	return "", false, fmt.Errorf("branches %s to %s have other changes; delete those that nobody needs", branchName(d.fleet, d.release, 1), branch)
}

// branchName is the n-th name of a branch for a release. Two dots in a row, and some endings, can be no branch's (git check-ref-format).
func branchName(fleet, release string, n int) string {
	release = strings.ReplaceAll(release, "..", ".-")
	if strings.HasSuffix(release, ".") || strings.HasSuffix(release, ".lock") {
		release += "-"
	}
	if n > 1 {
		release += fmt.Sprintf("-%d", n)
	}
	return "windlass/" + fleet + "-" + release
}

// open opens the request, unless it is open already, and names its page.
func (d *deployment) open(ctx context.Context, at requester, r forge.Request, pushed bool) error {
	if pushed {
		fmt.Fprintf(d.out, "pushed branch %s\n", r.Branch)
	}
	url, err := "", error(nil)
	if !pushed {
		url, err = at.FindOpen(ctx, r.Branch, r.Into)
	}
	how := "is open already"
	if err == nil && url == "" {
		how = "is open"
		if url, err = at.Open(ctx, r); err != nil { // it may be open all the same
			url, _ = at.FindOpen(ctx, r.Branch, r.Into)
		}
	}
	if url == "" {
		return fmt.Errorf("branch %s has the change, and no pull request is known: %w", r.Branch, err)
	}
	_, err = fmt.Fprintf(d.out, "%s\nthe pull request %s; nothing is deployed until somebody merges it\n", web.Line(url), how)
	return err
}

// title is what the commit is about, in a line.
func (d *deployment) title(c change) string {
	said := d.subject(c)
	if c.made != "" && strings.TrimSpace(d.message) == "" {
		said = fmt.Sprintf("%s: back to %s (was %s)", d.fleet, d.release, c.was)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return web.Line(first)
}

// body tells what would be changed and done, as the command does. What others wrote stands between fences, where no forge takes it for markup.
func (d *deployment) body(c change, f web.Forecast) string {
	var shown bytes.Buffer
	d.tell(&shown, c, f)
	text := shown.String()
	if len(text) > mostShown {
		text = text[:strings.LastIndexByte(text[:mostShown], '\n')+1] + "  …\n"
	}
	return fmt.Sprintf("What the agent would do, as of commit %.7s:\n\n%s\nMerging this deploys it.\n", c.parent, fenced(text))
}

// fenced is a text as a block of Markdown that ends where it is to.
func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "text\n" + strings.TrimRight(text, "\n") + "\n" + fence + "\n"
}
