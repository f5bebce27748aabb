package gitrepo

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"windlass/desired"
)

// A fleet's change is the newest commit that its file says something else by, also after a restart with the server away.
func TestWhoChangedAFleetLast(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	change := func(message, name, release string) string {
		server.record(files{"fleets/" + name + ".yaml": fleet(name, release)}, message)
		return server.push()
	}
	options := server.options()
	repo := server.open(options)
	want := map[string]desired.Commit{}
	for _, c := range []struct{ message, fleet, release string }{
		{"web: v1\n\nbecause", "web", "v1"},
		{"db: v7", "db", "v7"},
		{"web: v2", "web", "v2"},
		{"nothing new", "web", "v2"},
	} {
		head := change(c.message, c.fleet, c.release)
		state := poll(t, repo)
		if subject, _, _ := strings.Cut(c.message, "\n"); c.message != "nothing new" {
			want[c.fleet] = desired.Commit{Revision: head, Subject: subject}
		}
		wantChanges(t, c.message, state, want)
	}
	again, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantChanges(t, "after a restart", again.State(), want)
	change("db: v8", "db", "v8")
	delete(want, "db")
	wantChanges(t, "after a restart, and a commit to another fleet", poll(t, again), want)
}

func wantChanges(t *testing.T, when string, state desired.State, want map[string]desired.Commit) {
	t.Helper()
	for name, commit := range want {
		got := state.Fleets[name].Change
		if got.Revision != commit.Revision || got.Subject != commit.Subject || got.Author == "" || got.Committed.IsZero() {
			t.Errorf("%s: %s was changed by %+v, want %+v", when, name, got, commit)
		}
	}
}

func TestWhatIsKeptOfACommitsText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 500)
	for text, want := range map[string]string{
		"":                                   "",
		"\n\n  web: v2 \r\n\nmore":           "web: v2",
		"\x1b]0;owned\x07v2\x1b[31m\x00\x7f": "v2",
		"set password=s3cr3tvalue":           "set password=[redacted]",
		"v2\xff":                             "v2\uFFFD",
		long:                                 long[:2*(mostSaid-1)] + "…",
	} {
		commit := &object.Commit{Hash: plumbing.NewHash(strings.Repeat("a", 40)), Message: text, Author: object.Signature{Name: text}}
		got := versionAfter(desired.Version{}, &desired.Fleet{}, commit).Change
		if got.Subject != want || got.Author != want || utf8.RuneCountInString(got.Subject) > mostSaid {
			t.Errorf("%.40q is kept as %q and %q, want %q", text, got.Subject, got.Author, want)
		}
	}
}
