package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler"
)

// loaded are versions of fleet files, all of one commit.
func loaded(t *testing.T, revision string, files map[string]string) (map[string]desired.Version, map[string]desired.Rejection) {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree["fleets/"+name+".yaml"] = &fstest.MapFile{Data: []byte(text)}
	}
	read, err := desired.Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]desired.Version{}
	for name, fleet := range read.Fleets {
		versions[name] = desired.Version{Fleet: fleet, Revision: revision}
	}
	return versions, read.Rejected
}

// called is the file of web under another name, with other nodes and another group.
func called(name string) string {
	return strings.NewReplacer("name: web\n", "name: "+name+"\n", "web-", name+"-", "10.0.0.", fmt.Sprintf("10.0.%d.", len(name)), "targetGroup: web", "targetGroup: "+name).Replace(webFile)
}

// aProposal rolls web, tunes tuned, brings newer, lets old go, breaks bad, and leaves rest.
func aProposal(t *testing.T) desired.Proposal {
	t.Helper()
	before, _ := loaded(t, "3f2a", map[string]string{
		"web": webFile, "old": called("ol"), "tuned": called("tuned"), "bad": called("baaaad"), "rest": called("resting"),
	})
	after, rejected := loaded(t, "b4c5d6e7f8", map[string]string{
		"web": strings.Replace(webFile, "release: v1", "release: v2", 1), "tuned": called("tuned") + "retry: 1\n",
		"newer": called("newerone"), "bad": called("baaaad") + "pase: 1\n", "rest": called("resting"),
	})
	after["ol"] = desired.Version{Fleet: before["ol"].Fleet, Revision: "3f2a", Released: true}
	after["baaaad"] = before["baaaad"]
	return desired.Proposal{
		Branch: "team/next", Head: desired.Commit{Revision: "b4c5d6e7f8", Author: "somebody", Subject: "web: v2"}, Onto: "3f2a5b6c7d", Newer: "99aabbccdd", Before: before, Behind: 2,
		State: desired.State{
			Revision: "b4c5d6e7f8", Fleets: after, Rejected: rejected,
			Warnings: []desired.Error{{Position: desired.Position{File: "fleets/web.yaml", Line: 3, Column: 1}, Message: "health replaces the 1 of base/web.yaml"}},
		},
		Changed: map[string][]string{"web": {"base/web.yaml", "fleets/web.yaml"}, "tuned": {"fleets/tuned.yaml"}},
	}
}

// proposing answers with a proposal; seen is how the fleets are seen.
func proposing(propose web.Proposer, seen func(fleet string) (reconciler.Sight, error)) http.Handler {
	return web.New(web.Options{
		Addr: local, Source: newAgent(idle()), Now: clock, Metrics: http.NotFoundHandler(), Propose: propose,
		Sight: func(_ context.Context, fleet string) (reconciler.Sight, error) { return seen(fleet) },
	})
}

// asked is the answer to a plan of a branch.
func asked(t *testing.T, p desired.Proposal) web.Proposal {
	t.Helper()
	seen := sighted(t)
	h := proposing(func(context.Context, string) (desired.Proposal, error) { return p, nil }, func(fleet string) (reconciler.Sight, error) {
		if fleet == "web" {
			return seen, nil
		}
		s := sighted(t)
		s.Want.Fleet = p.Before[fleet].Fleet
		s.World.Nodes, s.World.Groups = nil, nil
		return s, nil
	})
	got := ask(h, "GET", "/api/v1/plan?branch=team/next", "localhost:9190")
	if got.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", got.Code, got.Body)
	}
	var out web.Proposal
	if err := json.Unmarshal(got.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestShapesOfAProposal(t *testing.T) {
	t.Parallel()
	p := asked(t, aProposal(t))
	golden(t, "proposal.json", encoded(t, p))
	golden(t, "proposal.md", web.ProposalMarkdown(p))
	var text bytes.Buffer
	if err := web.ProposalText(&text, p, web.Terminal{Width: 100}); err != nil {
		t.Fatal(err)
	}
	golden(t, "proposal.txt", text.String())
	if !p.Pending() || !p.Troubled() {
		t.Errorf("pending %t, troubled %t", p.Pending(), p.Troubled())
	}
}

// What is seen of a fleet is of the nodes and the balancers that it has today.
func TestAProposalOfOtherNodes(t *testing.T) {
	t.Parallel()
	p := aProposal(t)
	other := strings.NewReplacer("release: v1", "release: v2", "{name: web-3, address: 10.0.0.3}", "{name: web-4, address: 10.0.0.4}", "targetGroup: web", "targetGroup: other", "port: 80", "port: 81").Replace(webFile)
	after, _ := loaded(t, "b4c5", map[string]string{"web": other})
	p.State.Fleets = after
	got := asked(t, p)
	f := got.Fleets[len(got.Fleets)-1]
	want := []string{
		"which nodes belong to it changes too, web-4 comes, web-3 is let go; this is for those of today", "its load balancers change too; this is for those of today",
		"its checks change too; this is for what those of today found",
	}
	if f.Name != "web" || fmt.Sprint(f.Notes) != fmt.Sprint(want) || f.Forecast == nil || f.Forecast.Lowest != 2 || len(f.Forecast.Nodes) != 3 {
		t.Errorf("%+v\nwith %+v", f, f.Forecast)
	}
}

// Nobody is told that nothing comes of a change of which something may come, although what nodes get stays as it is.
func TestAProposalThatTunes(t *testing.T) {
	t.Parallel()
	moved := strings.Replace(webFile, "{name: web-3, address: 10.0.0.3}", "{name: web-4, address: 10.0.0.4}", 1)
	quick := strings.Replace(webFile, "settle: 0s", "settle: 1s", 1)
	for name, c := range map[string]struct {
		file     string
		seen     func(*reconciler.Sight)
		headline string
		says     string
		pending  bool
	}{
		"a time-out":    {quick, nil, "1 fleet changes and rolls nothing", "changes, and no node gets anything else", false},
		"other nodes":   {moved, nil, "1 fleet changes", "changes its nodes or load balancers", true},
		"other traffic": {strings.Replace(webFile, "targetGroup: web", "targetGroup: other", 1), nil, "1 fleet changes", "changes its nodes or load balancers", true},
		"not looked at": {quick, func(s *reconciler.Sight) { s.Want.Fleet = nil }, "1 fleet changes", "changes, and what comes of it cannot be told yet", true},
		"not read yet":  {quick, func(s *reconciler.Sight) { s.World.Groups = nil }, "1 fleet changes", "changes, and what comes of it cannot be told yet", true},
		"under way":     {quick, func(s *reconciler.Sight) { s.World.Nodes[0].Host.Record.On.Digest = "d1-0" }, "1 fleet changes", "changes, and nodes are worked on", true},
	} {
		before, _ := loaded(t, "3f2a", map[string]string{"web": webFile})
		after, _ := loaded(t, "b4c5", map[string]string{"web": c.file})
		seen := sighted(t)
		if c.seen != nil {
			c.seen(&seen)
		}
		h := proposing(func(context.Context, string) (desired.Proposal, error) {
			return desired.Proposal{Branch: "next", Before: before, State: desired.State{Fleets: after}}, nil
		}, func(string) (reconciler.Sight, error) { return seen, nil })
		var p web.Proposal
		if err := json.Unmarshal(ask(h, "GET", "/api/v1/plan?branch=next", "localhost:9190").Body.Bytes(), &p); err != nil || len(p.Fleets) != 1 {
			t.Fatalf("%s: %+v, %v", name, p, err)
		}
		md := web.ProposalMarkdown(p)
		if !strings.Contains(md, "### windlass: "+c.headline+"\n") || !strings.Contains(md, "`web` "+c.says+"\n") || p.Pending() != c.pending {
			t.Errorf("%s: pending %t, want %t:\n%s", name, p.Pending(), c.pending, md)
		}
	}
}

// A branch that would change nothing is no change, and one that cannot be told is trouble.
func TestNothingAndNoneToldOfAProposal(t *testing.T) {
	t.Parallel()
	p := aProposal(t)
	p.State.Fleets, p.State.Rejected, p.Behind, p.Merged, p.Newer = p.Before, nil, 0, true, ""
	got := asked(t, p)
	if got.Pending() || got.Troubled() || len(got.Fleets) != 0 || len(got.Same) != 5 {
		t.Errorf("%+v", got)
	}
	if text := web.ProposalMarkdown(got); !strings.Contains(text, "### windlass: no fleet changes\n") || !strings.Contains(text, "all of it is in force already") {
		t.Error(text)
	}
	p.Unclear, p.State = "base/web.yaml changed since it left branch main, and here too", desired.State{}
	got = asked(t, p)
	if got.Pending() || !got.Troubled() || len(got.Fleets) != 0 || !strings.Contains(web.ProposalMarkdown(got), "cannot be planned: base/web.yaml changed") {
		t.Errorf("%+v", got)
	}
}

func TestAProposalIsAskedFor(t *testing.T) {
	t.Parallel()
	p := aProposal(t)
	h := proposing(func(_ context.Context, branch string) (desired.Proposal, error) {
		switch branch {
		case "next":
			return p, nil
		case "":
			return desired.Proposal{}, fmt.Errorf("%w: %q", desired.ErrBranchName, branch)
		case "nowhere":
			return desired.Proposal{}, fmt.Errorf("%w: nowhere", desired.ErrNoBranch)
		case "early":
			return desired.Proposal{}, desired.ErrNoneYet
		}
		return desired.Proposal{}, errors.New("cannot read https://token=s3cr3tvalue@git.example.com/x\x1b[2J: no answer")
	}, func(string) (reconciler.Sight, error) { return reconciler.Sight{}, context.DeadlineExceeded })
	for branch, c := range map[string]struct {
		status int
		want   string
	}{
		"next":    {200, "the fleet is busy; try again"},
		"":        {400, "no name of a branch"},
		"nowhere": {404, "the deploy repo has no such branch: nowhere"},
		"early":   {409, "no commit of the deploy repo is in force yet"},
		"trouble": {502, "no answer"},
	} {
		got := ask(h, "GET", "/api/v1/plan?branch="+url.QueryEscape(branch), "localhost:9190")
		body, _ := io.ReadAll(got.Body)
		if got.Code != c.status || !strings.Contains(string(body), c.want) || strings.Contains(string(body), "s3cr3t") || strings.Contains(string(body), "\x1b") {
			t.Errorf("%q: %d %s; want %d %s", branch, got.Code, body, c.status, c.want)
		}
	}
	if got := ask(web.New(web.Options{Addr: local, Source: newAgent(idle()), Metrics: http.NotFoundHandler()}), "GET", "/api/v1/plan?branch=x", "localhost:9190"); got.Code != http.StatusNotFound {
		t.Errorf("an agent that plans no branches answers %d", got.Code)
	}
}

// Every text from outside stands in a code span, on one line, in one cell: nothing in it is a mention, a link, a picture, HTML or the end of
// what it stands in.
func TestAProposalsTextsAreInert(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		"@everyone", "![x](https://evil.example/p.png)", "[x](javascript:alert(1))", "https://evil.example", "<img src=x onerror=y>", "<!-- windlass plan -->", "</details>",
		"`` `a` ` @b `", "a|b|c", `a\|b`, `a\`, "a\n\n@b", "a\r@b", "#1 GH-1 !1 ~1", "/close", "\u202Ea", "&lt;b&gt;@x", "$`x`$", "\x1b]8;;http://x\x07y", strings.Repeat("@a ", 110), "",
	} {
		p := web.Proposal{
			Branch: evil, Followed: evil, InForce: evil, Newer: evil, Problem: evil, Warnings: []string{evil}, Same: []string{evil}, Behind: 1,
			Commit: web.Change{Revision: evil, Author: evil, Subject: evil},
		}
		for _, effect := range []web.Effect{web.EffectRolls, web.EffectTuned, web.EffectNew, web.EffectGone, web.EffectBroken, web.Effect(evil)} {
			p.Fleets = append(p.Fleets, web.ProposedFleet{Name: evil, Change: effect, Release: evil, Was: evil + "0"})
		}
		f := &p.Fleets[0]
		f.Files, f.Errors, f.Notes, f.Unknown = []string{evil}, []string{evil}, []string{evil}, evil
		f.Forecast = &web.Forecast{
			Nodes: []string{evil}, Holds: []string{evil + "1"}, Reason: evil, MaxUnavailable: evil, Expected: &web.Expected{Says: evil},
			Steps: []web.Foreseen{{Node: evil, Kind: evil, Reason: evil}},
		}
		md := web.ProposalMarkdown(p)
		wantOurs(t, evil, md)
		var text bytes.Buffer
		if err := web.ProposalText(&text, p, web.Terminal{}); err != nil || strings.ContainsAny(text.String(), "\x1b\r\u202e") {
			t.Errorf("%q in a terminal: %q, %v", evil, text.String(), err)
		}
	}
}

var (
	codeSpans = regexp.MustCompile("`[^`\n|]*`")
	codeHTML  = regexp.MustCompile("<code>[^<>`|]*</code>")
	ours      = regexp.MustCompile(`^[-A-Za-z0-9 #>,.:;()|–→*]*$`)
)

// wantOurs wants what is left of a comment without its code to be our own words.
func wantOurs(t *testing.T, evil, md string) {
	t.Helper()
	rest := strings.Replace(md, web.ProposalMarker, "", 1)
	for _, own := range []string{"<details><summary>", "</summary>", "</details>"} {
		rest = strings.ReplaceAll(rest, own, "")
	}
	rest = codeHTML.ReplaceAllString(codeSpans.ReplaceAllString(rest, ""), "")
	rest = html.UnescapeString(rest)
	for l := range strings.SplitSeq(rest, "\n") {
		if !ours.MatchString(l) {
			t.Errorf("of %.60q this is left: %q", evil, l)
		}
	}
	for l := range strings.SplitSeq(md, "\n") {
		if cells := strings.Count(l, "|"); strings.HasPrefix(l, "|") && cells != 3 && cells != 6 {
			t.Errorf("%.60q breaks a table: %q", evil, l)
		}
	}
	if strings.Count(md, web.ProposalMarker) != 1+strings.Count(strings.Join(codeSpans.FindAllString(md, -1), ""), web.ProposalMarker) || !strings.HasPrefix(md, web.ProposalMarker+"\n") {
		t.Errorf("%.60q confuses the marker", evil)
	}
}

// However much there is to say, a comment has room for it, and says what was cut off.
func TestAProposalFitsAComment(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("🚀🚀🚀🚀🚀🚀🚀🚀|`", 31) // longer than a cell
	for _, c := range []struct {
		fleets, steps int
		cut           bool
	}{{1, 3000, true}, {10, 40, true}, {800, 1, true}, {10, 0, false}} {
		p := web.Proposal{Branch: "next", Warnings: []string{long, long}, Same: make([]string, 3000)}
		for i := range c.fleets {
			f := web.ProposedFleet{Name: fmt.Sprintf("fleet-%d", i), Change: web.EffectRolls, Errors: []string{long, long, long}, Forecast: &web.Forecast{Nodes: []string{"a"}}}
			for range c.steps {
				f.Forecast.Steps = append(f.Forecast.Steps, web.Foreseen{Node: "web-1", Kind: "drain", Reason: long})
			}
			p.Fleets = append(p.Fleets, f)
		}
		md := web.ProposalMarkdown(p)
		if len(md) > web.MostMarkdown || strings.Count(md, "<details>") != strings.Count(md, "</details>") {
			t.Errorf("%+v: %d bytes, %d folds of which %d end", c, len(md), strings.Count(md, "<details>"), strings.Count(md, "</details>"))
		}
		if told := strings.Contains(md, "This is cut off where a comment ends"); told != c.cut {
			t.Errorf("%+v: it is told that something is missing: %t", c, told)
		}
	}
}
