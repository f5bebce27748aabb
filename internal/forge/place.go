package forge

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A Place is where a repository is, as its URL tells.
type Place struct {
	Host   string // in small letters
	Port   string // of its pages; empty: the usual one. The port of ssh says nothing of pages
	Scheme string // of its pages
	Path   string // owner/name, with as many groups before them as there are
}

// String is how people name it.
func (p Place) String() string { return p.site() + "/" + p.Path }

func (p Place) site() string {
	if p.Port == "" {
		return p.Host
	}
	return net.JoinHostPort(strings.Trim(p.Host, "[]"), p.Port)
}

// scpForm is user@host:path, as git takes it for ssh.
var scpForm = regexp.MustCompile(`^(?:[^@:/\s]+@)?(\[[0-9a-fA-F:.]+\]|[^@:/\s]+):([^:].*)$`)

// Locate tells from the URL of a repository, https, ssh or user@host:path, where it is. A path, a file: URL and what has no owner and name are nowhere.
func Locate(remote string) (Place, bool) {
	p := Place{Scheme: "https"}
	at, err := url.Parse(remote)
	switch {
	case strings.Contains(remote, "://") && err == nil:
		p.Host, p.Path = at.Hostname(), at.Path
		switch at.Scheme {
		case "https", "http":
			p.Scheme, p.Port = at.Scheme, at.Port()
		case "ssh", "git+ssh", "ssh+git":
		default:
			return Place{}, false
		}
	case strings.Contains(remote, "://"):
		return Place{}, false
	default:
		m := scpForm.FindStringSubmatch(remote)
		if m == nil {
			return Place{}, false
		}
		p.Host, p.Path = strings.Trim(m[1], "[]"), m[2]
	}
	p.Host = strings.ToLower(p.Host)
	p.Path = strings.TrimSuffix(strings.Trim(p.Path, "/"), ".git")
	parts := strings.Split(p.Path, "/")
	if p.Host == "" || len(parts) < 2 || slices.ContainsFunc(parts, noName) {
		return Place{}, false
	}
	return p, true
}

// noName reports whether a part of a path can be no owner, group or repository: it would make another path of it.
func noName(part string) bool {
	return part == "" || part == "." || part == ".." || strings.ContainsFunc(part, func(c rune) bool { return c <= ' ' || c == 0x7f })
}

// Of is the forge that a place is on: by host and port, else by host.
func (h Hosts) Of(p Place) (Host, bool) {
	if host, ok := h[p.site()]; ok {
		return host, true
	}
	host, ok := h[p.Host]
	return host, ok
}

// kind is the software of a place's forge.
func (h Hosts) kind(p Place) (Kind, bool) {
	if host, ok := h.Of(p); ok {
		return host.Kind, true
	}
	kind, ok := builtin[p.Host]
	return kind, ok
}

// Pages names the pages of a repository. The zero value has none.
type Pages struct {
	root *url.URL
	kind Kind
}

// PagesOf are the pages of the repository with that URL, where its host is one of the file's, or github.com or gitlab.com.
func (h Hosts) PagesOf(remote string) Pages {
	p, ok := Locate(remote)
	if !ok {
		return Pages{}
	}
	kind, ok := h.kind(p)
	if !ok {
		return Pages{}
	}
	return Pages{root: &url.URL{Scheme: p.Scheme, Host: p.site(), Path: "/" + p.Path}, kind: kind}
}

// full is a whole commit hash: what an agent or a node names may be anything.
var full = regexp.MustCompile(`^[0-9a-f]{40}(?:[0-9a-f]{24})?$`)

// Commit is the page of a commit; empty: there is none.
func (p Pages) Commit(revision string) string {
	if !full.MatchString(revision) {
		return ""
	}
	return p.page("commit", revision)
}

// Change is the page that shows what lies between two commits, or, when the older one is not known, that of the newer.
func (p Pages) Change(from, to string) string {
	if !full.MatchString(from) || !full.MatchString(to) || from == to {
		return p.Commit(to)
	}
	return p.page("compare", from+"..."+to)
}

func (p Pages) page(parts ...string) string {
	if p.root == nil {
		return ""
	}
	if p.kind == GitLab {
		parts = append([]string{"-"}, parts...)
	}
	return p.root.JoinPath(parts...).String()
}
