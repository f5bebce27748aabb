package gitrepo

import (
	"net/http"
	"strings"
	"testing"
)

// What a node may have from an earlier commit is told from the branch's history, and asked of the server once.
func TestAnEarlierFleetIsLookedUp(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	second := server.commit(files{"fleets/web.yaml": broken("web")})
	third := server.commit(files{"fleets/web.yaml": fleet("web", "v3")})
	options := server.options()
	options.Depth = 2
	repo := server.open(options)
	poll(t, repo)
	stranger := strings.Repeat("ab", 20)
	asked := []string{first, second, third, stranger, "", "$(x)"}
	server.took()
	found, err := repo.Earlier(t.Context(), "web", asked)
	if err != nil {
		t.Fatal(err)
	}
	for revision, want := range map[string]string{first: "v1", third: "v3"} {
		if f := found[revision].Fleet; f == nil || f.Release != want {
			t.Errorf("of %s: %+v", revision, found[revision])
		}
	}
	for revision, want := range map[string]string{
		second: "has no good file of it", stranger: "commit abababa is not among the newest 2000 of branch main", "": "is no commit", "$(x)": "is no commit",
	} {
		if e := found[revision]; e.Fleet != nil || !strings.Contains(e.Unknown, want) {
			t.Errorf("of %q: %+v, want %q", revision, e, want)
		}
	}
	if took := server.took(); len(took) != 4 { // the usual depth, then further down
		t.Errorf("the server was asked %q", took)
	}
	server.answer(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusBadGateway) })
	if again, err := repo.Earlier(t.Context(), "web", asked); err != nil || again[first].Fleet != found[first].Fleet {
		t.Errorf("a second time: %+v, %v", again[first], err)
	}
	if _, err := repo.Earlier(t.Context(), "db", []string{first}); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("an outage: %v", err)
	}
}
