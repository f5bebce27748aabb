package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/desired/source"
	"windlass/internal/forge"
	"windlass/internal/forge/forgetest"
)

// A token goes to the host that it is for, and to no other: where code is read from is said in the deploy repo, by whoever may change that.
func TestTokensOfSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("token-of-"+name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	asked := func() (url string, said *string) {
		said = new(string)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, *said, _ = r.BasicAuth()
			http.NotFound(w, r)
		}))
		t.Cleanup(server.Close)
		return server.URL, said
	}
	deploy, deploySaw := asked()
	listed, listedSaw := asked()
	other, otherSaw := asked()
	hosts := forge.Hosts{strings.TrimPrefix(listed, "http://"): {Kind: forge.GitHub, TokenFile: file("listed")}}
	git := gitrepo.Options{URL: deploy + "/ops/deploy.git", TokenFile: file("deploy")}
	for url, c := range map[string]struct {
		saw  *string
		want string
	}{deploy: {deploySaw, "token-of-deploy"}, listed: {listedSaw, "token-of-listed"}, other: {otherSaw, ""}} {
		v := newReleases(git, hosts, 0).Read(t.Context(), source.Ask{Fleet: "web", Release: "v1", Source: &desired.Source{Repository: url + "/shop/web", Branch: "main", Tag: "{release}"}})
		if v.State != source.Unread || *c.saw != c.want {
			t.Errorf("it says %q, want %q: %s", *c.saw, c.want, v.Reason)
		}
		if strings.Contains(v.Reason, "token-of") {
			t.Errorf("the reason tells a secret: %s", v.Reason)
		}
	}
}

// A forge that has had too many questions says for how long it wants none.
func TestForgesThatWantToBeLeftAlone(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	f.Limit(0)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(forgetest.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	asks, err := openChecks(forge.Hosts{"git.example.com": {Kind: forge.GitHub, TokenFile: token, API: f.URL}}, "https://git.example.com/ops/deploy")
	if err != nil {
		t.Fatal(err)
	}
	_, err = asks.Checks(t.Context(), strings.Repeat("ab", 20), []string{"ci"})
	var later *source.Later
	if !errors.As(err, &later) || later.Wait < time.Second {
		t.Errorf("it says %v", err)
	}
	for repository, says := range map[string]string{"https://elsewhere.example.com/a/b": "host elsewhere.example.com is in no file of --forges", "https://git.example.com/alone": "is on no forge"} {
		if _, err := openChecks(nil, repository); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("of %s it says %v", repository, err)
		}
	}
}

// What is wrong with who may sign is told by its place in the deploy repo, and as one line where a gate says so.
func TestWhoMaySignIsToldByItsPlace(t *testing.T) {
	t.Parallel()
	s := desired.Source{Signers: map[string][]byte{"allowed_signers": []byte("ann@example.com ssh-ed25519 AAAA\nbob\n")}}
	_, err := readSigners(s.SignerFiles())
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "trust/releases/allowed_signers:1: ") || !strings.Contains(err.Error(), "; trust/releases/allowed_signers:2: ") {
		t.Errorf("it says %v", err)
	}
	if _, err := readSigners((&desired.Source{}).SignerFiles()); err == nil {
		t.Error("nobody may sign, and that is all right")
	}
}
