package forge_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"windlass/internal/forge"
	"windlass/internal/forge/forgetest"
	"windlass/internal/nettest"
)

const commit = "0123456789012345678901234567890123456789"

// client is one of a forge, with a token.
func client(t *testing.T, f *forgetest.Forge, token string) *forge.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	place := forge.Place{Host: "git.example.com", Path: f.Path}
	c, err := forge.NewClient(forge.Host{Name: "git.example.com", Kind: f.Kind, TokenFile: file, API: f.URL}, place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func refusal(t *testing.T, err error) *forge.Refusal {
	t.Helper()
	var r *forge.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal", err)
	}
	if strings.Contains(r.Says, forgetest.Token) || strings.ContainsAny(r.Says, "\n\x1b") {
		t.Errorf("it says %q", r.Says)
	}
	return r
}

// Each kind is told in its own words, and a state that it has already is no error.
func TestStatusesAtEachKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[forge.Kind]string{
		forge.GitHub: "pending pending failure error success", forge.Gitea: "pending pending failure error success", forge.GitLab: "running failed canceled success",
	} {
		f := forgetest.New(t, kind)
		c := client(t, f, forgetest.Token)
		for _, s := range []forge.State{forge.Pending, forge.Pending, forge.Failure, forge.Replaced, forge.Success} {
			if err := c.SetStatus(t.Context(), forge.Status{Commit: commit, Context: "windlass/web", State: s, Text: strings.Repeat("é", 200)}); err != nil {
				t.Errorf("%s: %s: %v", kind, s, err)
			}
		}
		var got []string
		for _, s := range f.Statuses() {
			got = append(got, s.State)
			if s.Context != "windlass/web" || len([]rune(s.Text)) != forge.MostText {
				t.Errorf("%s: it is told %+v", kind, s)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: it is told %v, want %s", kind, got, want)
		}
	}
}

// A project of GitLab's may lie in groups of groups.
func TestGroupsOfGroups(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitLab)
	f.Path = "ops/prod/deploy"
	if err := client(t, f, forgetest.Token).SetStatus(t.Context(), forge.Status{Commit: commit, Context: "windlass/web", State: forge.Success}); err != nil {
		t.Error(err)
	}
	if _, err := forge.NewClient(forge.Host{Kind: forge.GitHub, API: f.URL}, forge.Place{Host: "github.com", Path: f.Path}); err == nil {
		t.Error("GitHub has no groups")
	}
}

// What is refused says so, what to do, and whether it is of use to ask again.
func TestRefusals(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	c := client(t, f, forgetest.Token)
	soon := strconv.FormatInt(time.Now().Add(90*time.Second).Unix(), 10)
	status := func(c *forge.Client) error {
		return c.SetStatus(t.Context(), forge.Status{Commit: commit, Context: "windlass/web", State: forge.Pending})
	}
	for name, c := range map[string]struct {
		answer       forgetest.Answer
		says         string
		busy, rights bool
		least, most  time.Duration
	}{
		"retry after":     {answer: forgetest.Answer{Status: 429, Header: map[string]string{"Retry-After": "30"}}, says: "429 Too Many Requests", busy: true, least: 30 * time.Second, most: 30 * time.Second},
		"reset":           {answer: forgetest.Answer{Status: 403, Header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon}, Body: `{"message":"API rate limit exceeded"}`}, says: "API rate limit exceeded", busy: true, least: 80 * time.Second, most: 91 * time.Second},
		"secondary limit": {answer: forgetest.Answer{Status: 403, Body: `{"message":"You have exceeded a secondary rate limit."}`}, says: "secondary rate limit", busy: true, least: time.Minute, most: time.Minute},
		"out of order":    {answer: forgetest.Answer{Status: 502, Body: "<html>"}, says: "502 Bad Gateway", busy: true},
		"no such commit":  {answer: forgetest.Answer{Status: 422, Body: `{"message":"No commit found for SHA: x"}`}, says: "No commit found for SHA"},
		"moved":           {answer: forgetest.Answer{Status: 307, Header: map[string]string{"Location": "https://elsewhere.example/"}}, says: "correct api", rights: true},
		"no rights":       {answer: forgetest.Answer{Status: 404, Body: `{"message":"Not Found"}`}, says: "404 Not Found; check that the token of ", rights: true},
		"hostile":         {answer: forgetest.Answer{Status: 422, Body: `{"message":"` + forgetest.Token + `\u001b[2J","errors":[{"message":"x\ny"},"z",{"code":"custom"}]}`}, says: `[redacted]; x y; z; {"code":"custom"}`},
		"a login page":    {answer: forgetest.Answer{Status: 200, Body: "<html>"}, says: "is no github: correct api", rights: true},
		"cut off":         {answer: forgetest.Answer{Status: 422, Body: `{"message":"` + strings.Repeat("x", 296) + forgetest.Token + `"}`}, says: "xxx[re…"},
		"an odd message":  {answer: forgetest.Answer{Status: 400, Body: `{"message":{"base":["is closed"]}}`}, says: "is closed"},
	} {
		f.Say(c.answer)
		r := refusal(t, status(client(t, f, forgetest.Token)))
		if !strings.Contains(r.Says, c.says) || r.Busy != c.busy || r.Rights != c.rights || r.Final() != (!c.busy && !c.rights) {
			t.Errorf("%s: %+v", name, r)
		}
		if r.Wait < c.least || r.Wait > c.most {
			t.Errorf("%s: it waits for %v", name, r.Wait)
		}
	}
	f.Fill(commit, "windlass/web", forge.MostStatuses)
	if r := refusal(t, status(c)); !r.Final() {
		t.Errorf("one too many: %+v", r)
	}
	if r := refusal(t, status(client(t, f, "wrong"))); !r.Rights || !strings.Contains(r.Says, "401 Bad credentials; give a token that is valid in ") {
		t.Errorf("a wrong token: %+v", r)
	}
	c.Host.TokenFile = filepath.Join(t.TempDir(), "none")
	if r := refusal(t, status(c)); !r.Rights || !strings.Contains(r.Says, "cannot read the token for git.example.com") {
		t.Errorf("no token: %+v", r)
	}
}

// A forge whose certificate an authority of one's own signed is spoken to by the file that has it.
func TestAuthoritiesOfAForge(t *testing.T) {
	t.Parallel()
	authority := nettest.NewAuthority(t)
	cert, key := authority.Issue(t, "forge.test")
	f := forgetest.New(t, forge.GitHub)
	f.URL = nettest.TLSServer(t, cert, key, f)
	c := client(t, f, forgetest.Token)
	d := forge.Deployment{Commit: commit, Environment: "web"}
	if _, err := c.FindDeployment(t.Context(), d); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the file: %v", err)
	}
	c.Host.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(c.Host.CAFile, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := forge.NewClient(c.Host, c.Place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.FindDeployment(t.Context(), d); err != nil {
		t.Errorf("by the file: %v", err)
	}
}

// A deployment can be found again by who does not know its number, and needs nothing of the commit.
func TestDeployments(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	c := client(t, f, forgetest.Token)
	d := forge.Deployment{Commit: commit, Environment: "web", Text: "v1 → v2", Key: "web@1"}
	if id, err := c.FindDeployment(t.Context(), d); id != 0 || err != nil {
		t.Errorf("it finds %d, %v before there is one", id, err)
	}
	id, err := c.Deploy(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := c.FindDeployment(t.Context(), d); found != id || err != nil {
		t.Errorf("it finds %d, %v, want %d", found, err, id)
	}
	f.Say(forgetest.Answer{Status: 200, Body: "{}"})
	if id, err := c.Deploy(t.Context(), d); id != 0 || !refusal(t, err).Rights {
		t.Errorf("an answer without a number: %d, %v", id, err)
	}
	other := d
	other.Key = "web@2"
	if found, _ := c.FindDeployment(t.Context(), other); found != 0 {
		t.Errorf("it takes deployment %d for another rollout's", found)
	}
	for _, s := range []forge.State{forge.Pending, forge.Failure, forge.Success, forge.Replaced} {
		if err := c.SetDeployment(t.Context(), id, s, "text"); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(f.Deployments()[0].States, " "); got != "in_progress failure success inactive" {
		t.Errorf("it is told %s", got)
	}
}

// Of each kind a request is opened once, and found again.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, kind := range []forge.Kind{forge.GitHub, forge.GitLab, forge.Gitea} {
		f := forgetest.New(t, kind)
		c := client(t, f, forgetest.Token)
		if url, err := c.FindOpen(t.Context(), "windlass/web-v2", "main"); url != "" || err != nil {
			t.Errorf("%s: it finds %q, %v before there is one", kind, url, err)
		}
		f.Propose("windlass/web-v2", "main")
		if url, err := c.FindOpen(t.Context(), "windlass/web-v2", "main"); url != "" || err != nil {
			t.Errorf("%s: it takes %q for ours, which is from a fork: %v", kind, url, err)
		}
		opened, err := c.Open(t.Context(), forge.Request{Branch: "windlass/web-v2", Into: "main", Title: "web: v2 " + strings.Repeat("é", 300), Body: "text"})
		if err != nil {
			t.Fatal(err)
		}
		if url, err := c.FindOpen(t.Context(), "windlass/web-v2", "main"); url != opened || err != nil {
			t.Errorf("%s: it finds %q, %v, want %q", kind, url, err, opened)
		}
		if url, _ := c.FindOpen(t.Context(), "windlass/web-v2", "prod"); url != "" {
			t.Errorf("%s: it takes %s for one into another branch", kind, url)
		}
		for range 4 {
			f.Propose("windlass/web-v2", "main")
		}
		f.Page = 2
		if url, err := c.FindOpen(t.Context(), "windlass/web-v2", "main"); url != opened || err != nil {
			t.Errorf("%s: it finds %q, %v beside some from forks, want %q", kind, url, err, opened)
		}
		if got := f.Requests()[1]; !strings.HasPrefix(got.Title, "web: v2 é") || got.Body != "text" {
			t.Errorf("%s: it opened %+v", kind, got)
		}
		f.Say(forgetest.Answer{Status: http.StatusCreated, Body: `{"html_url":"javascript:x","web_url":"javascript:x"}`}, forgetest.Answer{Status: http.StatusOK, Body: "<html>"})
		if _, err := c.Open(t.Context(), forge.Request{}); !refusal(t, err).Rights {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := c.FindOpen(t.Context(), "x", "y"); !refusal(t, err).Rights {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
