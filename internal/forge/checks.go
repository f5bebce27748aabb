package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"windlass/desired/source"
	"windlass/internal/redact"
)

// Checks reads what the forge reports of a commit, given by its whole hash, under names: the newest report of each kind, name and app, sorted by them. A
// name that nothing is reported under is not there. What cannot be told for certain is an error: a list that does not end, or an answer that
// speaks of another commit. Who reports a status cannot be told, as whoever may push may set one; so its App is empty.
//
// Names are told apart as the forge does: at GitHub a status's context is the same in capital and small letters.
func (c *Client) Checks(ctx context.Context, commit string, names []string) ([]source.Check, error) {
	if !full.MatchString(commit) {
		return nil, fmt.Errorf("cannot read the checks of commit %s: it is no whole hash of a commit", Shortened(redact.Line(commit), 80))
	}
	wanted := slices.Compact(slices.Sorted(slices.Values(names)))
	if len(wanted) == 0 {
		return nil, nil
	}
	read := c.giteaReports
	switch c.Host.Kind {
	case GitHub:
		read = c.githubReports
	case GitLab:
		read = c.gitlabReports
	}
	all, err := read(ctx, commit, wanted)
	if err != nil {
		return nil, also(err, http.StatusNotFound, ", and that the repository has the commit: the answer is the same when it may not be seen and when it is not there")
	}
	return newest(all, wanted, c.sameStatus()), nil
}

// also says more of a refusal, where it is one of that status.
func also(err error, status int, says string) error {
	var r *Refusal
	if !errors.As(err, &r) || r.Status != status || r.Busy {
		return err
	}
	told := *r
	told.Says += says
	return &told
}

// sameStatus reports whether a status of one name counts for another.
func (c *Client) sameStatus() func(name, wanted string) bool {
	if c.Host.Kind == GitHub {
		return strings.EqualFold
	}
	return func(name, wanted string) bool { return name == wanted }
}

// newest are the newest of the reports under the names, of each kind and app.
func newest(all []report, names []string, same func(name, wanted string) bool) []source.Check {
	type key struct {
		kind      source.CheckKind
		name, app string
	}
	found := map[key]report{}
	for _, r := range all {
		for _, name := range names {
			if r.Name != name && (r.Kind != source.Status || !same(r.Name, name)) {
				continue
			}
			r := r
			r.Name = name
			k := key{r.Kind, name, r.App}
			if old, is := found[k]; !is || r.id > old.id {
				found[k] = r
			}
		}
	}
	var checks []source.Check
	for _, r := range found {
		checks = append(checks, r.Check)
	}
	slices.SortFunc(checks, func(a, b source.Check) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.App, b.App))
	})
	return checks
}

// made is a report, with what is hostile in it made fit to be kept; its state is what the word comes to.
func made(id int64, kind source.CheckKind, name, app, word string, words map[string]source.CheckState, page string) report {
	return report{id, source.Check{Kind: kind, Name: name, App: app, State: words[word], Says: Shortened(redact.Line(word), 60), Page: webPage(page)}}
}

// webPage is an address if it is that of a page for people.
func webPage(address string) string {
	const most = 1000
	at, err := url.Parse(address)
	if err != nil || len(address) > most || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil {
		return ""
	}
	return at.String()
}
