package forge_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/forge"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"https://github.com/ops/deploy":                   "github.com/ops/deploy",
		"https://github.com/ops/deploy.git/":              "github.com/ops/deploy",
		"https://user:secret@GitHub.com/ops/deploy.git":   "github.com/ops/deploy",
		"https://git.example.com:8443/ops/deploy":         "git.example.com:8443/ops/deploy",
		"ssh://git@git.example.com:2222/ops/deploy.git":   "git.example.com/ops/deploy",
		"git@git.example.com:ops/deploy.git":              "git.example.com/ops/deploy",
		"git.example.com:/ops/deploy":                     "git.example.com/ops/deploy",
		"git@gitlab.com:ops/prod/eu/deploy.git":           "gitlab.com/ops/prod/eu/deploy",
		"https://[::1]:3000/ops/deploy":                   "[::1]:3000/ops/deploy",
		"http://127.0.0.1:3000/gitea/ops/deploy":          "127.0.0.1:3000/gitea/ops/deploy",
		"https://git.example.com/ops/deploy?token=secret": "git.example.com/ops/deploy",
		"file:///srv/git/ops/deploy":                      "",
		"/srv/git/ops/deploy.git":                         "",
		"../deploy.git":                                   "",
		"deploy.git":                                      "",
		"https://git.example.com/deploy":                  "",
		"https://git.example.com/ops/../deploy":           "",
		"https://git.example.com/ops//deploy":             "",
		"https://git.example.com/%2e%2e/deploy":           "",
		"https://git.example.com/ops/de%0aploy":           "",
		"https://:3000/ops/deploy":                        "",
		"::::":                                            "",
		"":                                                "",
	} {
		p, ok := forge.Locate(remote)
		if got := p.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s is at %q, %v, want %q", remote, got, ok, want)
		}
	}
}

// A revision is whatever an agent or a record says, and never makes another address.
func TestPages(t *testing.T) {
	t.Parallel()
	const a, b = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	hosts := forge.Hosts{"git.example.com": {Kind: forge.Gitea}, "lab.example.com:8443": {Kind: forge.GitLab}}
	for _, c := range []struct{ remote, from, to, want string }{
		{"git@github.com:ops/deploy.git", a, b, "https://github.com/ops/deploy/compare/" + a + "..." + b},
		{"git@github.com:ops/deploy.git", "", b, "https://github.com/ops/deploy/commit/" + b},
		{"git@github.com:ops/deploy.git", b, b, "https://github.com/ops/deploy/commit/" + b},
		{"https://gitlab.com/ops/prod/deploy", a, b, "https://gitlab.com/ops/prod/deploy/-/compare/" + a + "..." + b},
		{"https://gitlab.com/ops/prod/deploy", "", b, "https://gitlab.com/ops/prod/deploy/-/commit/" + b},
		{"ssh://git@git.example.com:2222/ops/deploy", a, b, "https://git.example.com/ops/deploy/compare/" + a + "..." + b},
		{"https://lab.example.com:8443/ops/deploy", a, b, "https://lab.example.com:8443/ops/deploy/-/compare/" + a + "..." + b},
		{"https://user:secret@github.com/ops/b%3fc", "", b, "https://github.com/ops/b%3Fc/commit/" + b},
		{"https://other.example.com/ops/deploy", a, b, ""},
		{"/srv/deploy.git", a, b, ""},
		{"git@github.com:ops/deploy.git", "../../evil", b, "https://github.com/ops/deploy/commit/" + b},
		{"git@github.com:ops/deploy.git", a, "../../../evil", ""},
		{"git@github.com:ops/deploy.git", a, "HEAD", ""},
		{"git@github.com:ops/deploy.git", a, "", ""},
	} {
		if got := hosts.PagesOf(c.remote).Change(c.from, c.to); got != c.want {
			t.Errorf("%s, %q to %q: %q, want %q", c.remote, c.from, c.to, got, c.want)
		}
	}
	if got := (forge.Pages{}).Commit(b); got != "" {
		t.Errorf("no page is at %q", got)
	}
}

func TestForgesFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func(text string) (forge.Hosts, error) {
		path := filepath.Join(dir, "forges.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		hosts, err := forge.Read(path)
		if err != nil {
			err = &plain{strings.ReplaceAll(err.Error(), dir+"/", "")}
		}
		return hosts, err
	}
	hosts, err := read("github.com: {kind: github, tokenFile: token}\nlab.example.com: {kind: gitlab, tokenFile: /etc/token}\n" +
		"hub.example.com: {kind: github, tokenFile: t}\ntea.example.com:3000: {kind: gitea, tokenFile: t, api: http://127.0.0.1:3000/api/v1}\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]forge.Host{
		"github.com":           {Kind: forge.GitHub, TokenFile: filepath.Join(dir, "token"), API: "https://api.github.com"},
		"lab.example.com":      {Kind: forge.GitLab, TokenFile: "/etc/token", API: "https://lab.example.com/api/v4"},
		"hub.example.com":      {Kind: forge.GitHub, TokenFile: filepath.Join(dir, "t"), API: "https://hub.example.com/api/v3"},
		"tea.example.com:3000": {Kind: forge.Gitea, TokenFile: filepath.Join(dir, "t"), API: "http://127.0.0.1:3000/api/v1"},
	} {
		if want.Name = name; hosts[name] != want {
			t.Errorf("%s: %+v, want %+v", name, hosts[name], want)
		}
	}
	for text, want := range map[string]string{
		"github.com: {kind: githib, tokenFile: t}":                                           `forges.yaml:1:20: github.com.kind is "githib"; it must be one of github, gitlab, gitea; did you mean github?`,
		"github.com: {kind: github}":                                                         "forges.yaml:1:13: github.com needs tokenFile",
		"github.com: {tokenFile: t}":                                                         "forges.yaml:1:13: github.com needs kind",
		"github.com: {kind: github, tokenFile: t, ca: b}":                                    `forges.yaml:1:42: unknown key "ca" in github.com; known here: api, caFile, kind, tokenFile`,
		"github.com: {tokenFile: t, kind: [github]}":                                         "forges.yaml:1:34: github.com.kind is a list; it must be one of github, gitlab, gitea",
		"https://github.com: {kind: github, tokenFile: t}":                                   `forges.yaml: host "https://github.com": it must be written as the deploy repo's URL does, in small letters, as in git.example.com`,
		"github.com: {kind: github, tokenFile: t, api: 'http://api.github.com'}":             `forges.yaml:1:47: github.com.api is "http://api.github.com"; its address (host api.github.com) is http, which everybody on the way can read: give https; http is for loopback`,
		"github.com: {kind: github, tokenFile: t}\ngithub.com: {kind: github, tokenFile: t}": `forges.yaml:2:1: key "github.com" is given twice; it is first given at line 1`,
		"github.com: {kind: github, tokenFile: t, caFile: none}":                             `forges.yaml: host "github.com": cannot read who signs certificates: open none: no such file or directory`,
		"- x": "forges.yaml:1:1: the file is a list; it must be a mapping of keys such as github.com",
		"":    "forges.yaml:1:1: the file is empty",
	} {
		if _, err := read(text); err == nil || err.Error() != want {
			t.Errorf("%s:\n%v, want\n%s", text, err, want)
		}
	}
	if hosts, err := forge.Read(""); hosts != nil || err != nil {
		t.Errorf("no file: %v, %v", hosts, err)
	}
	if _, err := forge.Read(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "cannot read --forges") {
		t.Errorf("a file that is not there: %v", err)
	}
}

type plain struct{ text string }

func (p *plain) Error() string { return p.text }
