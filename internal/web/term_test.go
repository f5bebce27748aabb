package web_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"windlass/internal/web"
	"windlass/reconciler"
)

func text(t *testing.T, term web.Terminal, problem string, statuses ...reconciler.Status) string {
	t.Helper()
	var fleets []web.Fleet
	for _, s := range statuses {
		fleets = append(fleets, web.FromStatus(s))
	}
	var out strings.Builder
	term.Now = noon
	if err := web.Text(&out, web.Repo{Problem: problem}, fleets, term); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTextOfEachSituation(t *testing.T) {
	wide := web.Terminal{Width: 100}
	for name, got := range map[string]string{
		"none":        text(t, wide, "cannot read the deploy repo: no answer in 10s; check the network"),
		"idle":        text(t, wide, "", idle()),
		"progressing": text(t, wide, "", progressing()),
		"halted":      text(t, wide, "", halted()),
		"rejected":    text(t, wide, "", rejected(), idle()),
		"narrow":      text(t, web.Terminal{Width: 60}, "history was rewritten: aa11bb2 does not follow 3f2a9c1; start windlass run --accept-revision aa11bb2 to accept it", halted()),
		"colour":      text(t, web.Terminal{Width: 100, Colour: true}, "", progressing()),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name+".txt", got) })
	}
}

func TestTextFitsTheTerminal(t *testing.T) {
	for width := 80; width < 200; width += 7 {
		for l := range strings.Lines(text(t, web.Terminal{Width: width}, "", halted(), progressing())) {
			if n := utf8.RuneCountInString(l) - 1; n > width {
				t.Fatalf("%d columns in a terminal of %d: %q", n, width, l)
			}
		}
	}
}

// TestTextOfAnotherProcessIsNotTrusted: a Fleet that came over HTTP was cleaned by nobody.
func TestTextOfAnotherProcessIsNotTrusted(t *testing.T) {
	const evil = "\x1b]0;owned\x07\r\n\u202e"
	fleets := []web.Fleet{{Name: evil, Phase: evil, Reason: evil, Desired: web.Desired{Release: evil, Revision: evil}, Releases: map[string]int{evil: 1}, Excluded: []web.Exclusion{{Name: evil, Reason: evil}},
		Gates: []web.Gate{{Name: evil, State: evil, Reason: evil}},
		Nodes: []web.Node{{Name: evil, State: evil, Release: evil, Reason: evil, Tail: evil}},
		Plan:  web.Plan{Holds: []string{evil}, Steps: []web.Step{{Node: evil, Kind: evil, Reason: evil}}},
	}}
	var out strings.Builder
	if err := web.Text(&out, web.Repo{Problem: evil, Reports: []web.Report{{To: evil, Problem: evil}}}, fleets, web.Terminal{Now: noon}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u202e") {
		t.Errorf("%q", out.String())
	}
}
