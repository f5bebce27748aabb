package source

import (
	"fmt"
	"strings"
	"time"

	"windlass/desired"
)

// A tally is what the checks of a commit come to.
type tally struct {
	red, unknown, missing, pending []string // in the words of a reason
}

// judgeChecks tells whether what a fleet demands of a commit is green, by what the forge reports of it. Since is when the tag was first seen to name it.
func judgeChecks(s *desired.Source, commit string, reported []Check, since, now time.Time) error {
	var t tally
	for _, c := range s.Checks {
		t.add(c, reported)
	}
	on := " on commit " + short(commit)
	overdue := len(t.missing) > 0 && now.Sub(since) >= s.ChecksWithin
	switch {
	case len(t.red) > 0:
		return shut("%s%s", strings.Join(t.red, "; "), on)
	case len(t.unknown) > 0:
		return fmt.Errorf("%s%s", strings.Join(t.unknown, "; "), on)
	case overdue:
		return shut("no such check%s within %v: %s; the workflow must run on push or merge_group, not for pull requests alone", on, s.ChecksWithin, strings.Join(t.missing, "; "))
	case len(t.missing)+len(t.pending) > 0:
		return wait("%s%s", strings.Join(append(t.pending, t.missing...), "; "), on)
	}
	return nil
}

// add counts what is reported under a name that is demanded. Each kind and each app under it has to be green: at GitHub a status and a check run may share a name.
func (t *tally) add(c desired.RequiredCheck, reported []Check) {
	found, others := false, []string{}
	for _, r := range reported {
		switch {
		case r.Name != c.Name:
		case c.App != "" && r.App != c.App:
			others = append(others, reporter(r))
		default:
			found = true
			t.report(c, r)
		}
	}
	if found {
		return
	}
	says := "nobody reported " + title(c) + " yet"
	if len(others) > 0 {
		says = fmt.Sprintf("%s was not reported yet, and %s, who did, does not count", title(c), strings.Join(others, ", "))
	}
	t.missing = append(t.missing, says)
}

func (t *tally) report(c desired.RequiredCheck, r Check) {
	says := fmt.Sprintf("%s %s is %q", r.Kind, c.Name, r.Says)
	if r.Page != "" {
		says += " (" + r.Page + ")"
	}
	switch {
	case r.State == CheckGreen, r.State == CheckNeutral && c.Neutral:
	case r.State == CheckNeutral:
		t.red = append(t.red, says+", which counts with neutral: true alone")
	case r.State == CheckRed:
		t.red = append(t.red, says)
	case r.State == CheckPending:
		t.pending = append(t.pending, says)
	default:
		t.unknown = append(t.unknown, says+", a word that windlass does not know")
	}
}

func title(c desired.RequiredCheck) string {
	if c.App == "" {
		return "check " + c.Name
	}
	return fmt.Sprintf("check %s of app %s", c.Name, c.App)
}

func reporter(r Check) string {
	if r.App == "" {
		return "a " + string(r.Kind) + " of that name"
	}
	return "app " + r.App
}

// unbound are the names that anybody may report who can push, in the words of a reason; empty: there are none.
func unbound(s *desired.Source) string {
	var names []string
	for _, c := range s.Checks {
		if c.App == "" {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; bound to no app: " + strings.Join(names, ", ")
}

// opened is why a release may begin.
func opened(s *desired.Source, tag, commit, signer string) string {
	says := fmt.Sprintf("tag %s names commit %s of branch %s", tag, short(commit), s.Branch)
	if signer != "" {
		says += ", signed by " + signer
	}
	if len(s.Checks) == 0 {
		return says
	}
	return says + "; " + green(len(s.Checks)) + unbound(s)
}

func green(checks int) string {
	if checks == 1 {
		return "its check is green"
	}
	return fmt.Sprintf("its %d checks are green", checks)
}
