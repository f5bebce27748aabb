package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

func page(t *testing.T, a *agent) string {
	t.Helper()
	w := ask(handler(a, local), "GET", "/", "localhost")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestThePageSaysWhatMatters(t *testing.T) {
	troubled := newAgent(rejected())
	troubled.snapshot.Repo.Problem = "history was rewritten: aa11bb2 does not follow 3f2a9c1"
	linked := idle()
	linked.Desired.Link, linked.Rollout.Link = "https://git.example.com/commit/1", "https://git.example.com/compare/2?a&b"
	told := newAgent(linked)
	told.snapshot.Repo.Link = "https://git.example.com/commit/3"
	told.snapshot.Repo.Reports = []reconciler.Report{{To: "commit status", Problem: "git.example.com answers 502, password=hunter2"}}
	for name, c := range map[string]struct {
		agent *agent
		want  []string
	}{
		"idle":        {newAgent(idle()), []string{"8 of 8 in service with v1.4.2", "succeeded", `title="2026-03-01 09:10:00 UTC">2 h 50 min</time> ago`}},
		"progressing": {newAgent(progressing()), []string{"<title>1 progressing · windlass</title>", `<progress max="8" value="3"`, "about 8 min 20 s left", "floor 7", "data-left>9 min</time> more", "maxUnavailable 1"}},
		"halted":      {newAgent(halted()), []string{"<title>1 halted · windlass</title>", "<pre", "permission denied", "[redacted]"}},
		"rejected":    {troubled, []string{"history was rewritten", "fleets/web-staging.yaml:12:3: unknown key", "The newest file is not in force.", "<bdi>web-10</bdi> (incident 4711)"}},
		"linked": {told, []string{
			`by <a href="https://git.example.com/commit/1"><code`, `<a href="https://git.example.com/compare/2?a&amp;b">what it changed</a>`,
			`at <a href="https://git.example.com/commit/3"><code`, `<strong>commit status</strong> git.example.com answers 502, password=[redacted]</p>`,
		}},
		"nothing": {&agent{}, []string{"No fleets are known yet", "was not read yet"}},
	} {
		got := page(t, c.agent)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", name, want, got)
			}
		}
	}
}

func TestAHugeFleetListsWhatIsNotWell(t *testing.T) {
	all := append(nodes(10_000, plan.InService, "v1.4.2"), node(10_001, plan.Failed, "v1.4.1", "no answer"))
	got := page(t, newAgent(fleet(all...)))
	if !strings.Contains(got, "web-10001") || !strings.Contains(got, "10000 more are not listed here") || len(got) > 100_000 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestHostileTextIsText(t *testing.T) {
	for _, attack := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onfocus=alert(1) autofocus x='`, `--><svg/onload=alert(1)>`, "javascript:alert(1)", "</pre></main><b>",
	} {
		a := newAgent(hostile(attack))
		a.snapshot.Repo = reconciler.Repo{Revision: attack, Problem: attack, Link: attack, Reports: []reconciler.Report{{To: attack, Problem: attack}}}
		f := &a.snapshot.Fleets[0]
		f.Desired.Link, f.Rollout.Link = attack, attack
		got := page(t, a)
		for _, mark := range []string{"<script>", "<img", "<svg/", "<b>", `" onfocus`, "' onfocus", `href="javascript`} {
			if strings.Contains(got, mark) {
				t.Errorf("%s came through as markup: %s", attack, mark)
			}
		}
	}
}

func BenchmarkPageOfTenThousandNodes(b *testing.B) {
	all := nodes(10_000, plan.Outdated, "v1.4.1")
	for i := range all {
		all[i].Reason = fmt.Sprintf("target group web-live says Target.ResponseCodeMismatch: codes [50%d]", i%10)
	}
	h := handler(newAgent(fleet(all...)), local)
	for b.Loop() {
		ask(h, "GET", "/", "localhost")
	}
}

// A release that halted before halts again without a rollout: the newest rollout is that of another release, and went well.
func TestAHaltDoesNotPassForTheEarlierRollout(t *testing.T) {
	s := halted()
	s.Rollout = idle().Rollout
	s.Rollout.Release, s.Rollout.Trigger, s.Rollout.Ended = "v1.4.1", reconciler.TriggerDrift, noon
	s.Holds = []plan.Hold{{Reason: "hold: v1.4.2 failed on web-1: check serves: 503, want 200"}, {Node: "web-2", Reason: "hold: another"}}
	got, lines := page(t, newAgent(s)), text(t, web.Terminal{}, "", s)
	for _, want := range []string{`of 8 with v1.4.1</small>`, `<progress class="good"`, "<li>web-2: hold: another</li>"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if !strings.Contains(lines, "8 of 8 with v1.4.1, succeeded") || !strings.Contains(lines, "web-2: hold: another") {
		t.Errorf("in the terminal:\n%s", lines)
	}
	if strings.Contains(got, "<li>hold: v1.4.2") || strings.Contains(lines, "  hold: v1.4.2") {
		t.Errorf("why it halted is held back too:\n%s", lines)
	}
	s.Rollout.Ended, s.Rollout.Result, s.Phase = s.PausedAt, "", plan.PhaseProgressing
	if got := page(t, newAgent(s)); !strings.Contains(got, "ago because nodes drifted") {
		t.Errorf("not what began the rollout:\n%s", got)
	}
}
