package gitrepo

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"windlass/desired"
	"windlass/desired/source"
)

// releasesOf reads releases of a server, as an agent does.
func releasesOf(t *testing.T, url string) *source.Reader {
	t.Helper()
	return source.NewReader(source.Options{
		Remote: func(repository string) (source.Remote, error) {
			r, err := NewReleases(Options{URL: repository, Timeout: patience})
			if err == nil {
				t.Cleanup(r.Close)
			}
			return r, err
		},
		Forge: func(string) (source.Forge, error) { return nil, fmt.Errorf("there is no forge") },
	})
}

func judged(t *testing.T, s *gitServer, release string) source.Verdict {
	t.Helper()
	from := &desired.Source{Repository: s.url, Branch: "main", Tag: "{release}"}
	return releasesOf(t, s.url).Read(t.Context(), source.Ask{Fleet: "web", Release: release, Source: from})
}

// What real tags of a real server come to.
func TestReleasesOfAServer(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"a": text("1")})
	git := func(args ...string) { server.run(server.work, args...) }
	git("tag", "light")
	git("tag", "-a", "-m", "a release", "v1")
	git("tag", "-a", "-m", "a tag of a tag", "outer", "v1")
	git("tag", "-a", "-m", "files", "files", "HEAD^{tree}")
	git("tag", "file-itself", "HEAD:a")
	git("update-ref", "refs/tags/renamed", "refs/tags/v1")
	git("branch", "4217")
	git("checkout", "-q", "-b", "side")
	server.record(files{"b": text("2")}, "not merged")
	git("tag", "-a", "-m", "early", "early")
	git("checkout", "-q", "main")
	server.gap(150)
	git("push", "-q", "--tags", server.bare)
	git("push", "-q", server.bare, "4217")
	early := server.run(server.work, "rev-parse", "--short=12", "early^{}")
	for release, want := range map[string]struct {
		state source.State
		says  string
	}{
		"light": {source.Open, ""}, "v1": {source.Open, ""}, "outer": {source.Open, ""},
		"v2":          {source.Wait, "there is no tag v2 yet"},
		"4217":        {source.Wait, "there is no tag 4217 yet"},
		first[:7]:     {source.Wait, "there is no tag " + first[:7]},
		"files":       {source.Shut, `names a "tree"`},
		"file-itself": {source.Unread, "lacks the commit"},
		"renamed":     {source.Shut, `says that it is tag "v1"`},
		"early":       {source.Shut, "names commit " + early + ", which branch main does not contain"},
	} {
		v := judged(t, server, release)
		if v.State != want.state || !strings.Contains(v.Reason, want.says) || want.state == source.Open && v.Commit != first {
			t.Errorf("%s: %s of commit %q: %s", release, v.State, v.Commit, v.Reason)
		}
	}
}

// The raw bytes of a tag are those that were signed, however git packs it.
func TestTagsAreKeptAsTheyAre(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"a": text("1")})
	words := strings.Repeat("a long message that stays as it is, but for its number\n", 20)
	for n := range 20 {
		server.run(server.work, "tag", "-a", "-m", fmt.Sprint(words, n), fmt.Sprint("v", n))
	}
	server.run(server.work, "push", "-q", "--tags", server.bare)
	server.run(server.bare, "repack", "-q", "-adf")
	from, err := NewReleases(server.options())
	server.check(err)
	defer from.Close()
	refs, err := from.Refs(t.Context())
	server.check(err)
	var tags []string
	for name, hash := range refs {
		if strings.HasPrefix(name, "refs/tags/") {
			tags = append(tags, hash)
		}
	}
	slices.Sort(tags)
	have, err := from.Fetch(t.Context(), 0, tags...)
	server.check(err)
	if len(tags) != 20 {
		t.Fatalf("it lists %v", refs)
	}
	for _, hash := range tags {
		raw, ok := have.Tag(hash)
		if want := server.run(server.work, "cat-file", "tag", hash); !ok || strings.TrimSpace(string(raw)) != want {
			t.Errorf("tag %s is %q, want %q", hash, raw, want)
		}
	}
	if _, ok := have.Tag(refs["refs/heads/main"]); ok || !have.Commit(refs["refs/heads/main"]) {
		t.Error("a commit is a tag")
	}
}

// What a server cannot say holds, with why.
func TestSourcesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	empty := newGitServer(t)
	if v := judged(t, empty, "v1"); v.State != source.Wait || !strings.Contains(v.Reason, "no branch main yet") {
		t.Errorf("an empty one is %s: %s", v.State, v.Reason)
	}
	hashes := newGitServer(t)
	hashes.run(hashes.bare, "init", "-q", "--bare", "--object-format=sha256", "other.git")
	hashes.run(hashes.work, "init", "-q", "--object-format=sha256", "-b", "main", "other")
	hashes.run(hashes.work+"/other", "commit", "-q", "--allow-empty", "-m", "first")
	hashes.run(hashes.work+"/other", "push", "-q", hashes.bare+"/other.git", "main")
	hashes.url += "/other.git"
	if v := judged(t, hashes, "v1"); v.State != source.Unread || !strings.Contains(v.Reason, "it is a SHA-256 repository") {
		t.Errorf("one of SHA-256 is %s: %s", v.State, v.Reason)
	}
	cut := newGitServer(t)
	cut.commit(files{"a": text("1")})
	cut.run(cut.work, "checkout", "-q", "-b", "side")
	cut.record(files{"b": text("2")}, "aside")
	cut.run(cut.work, "tag", "v1")
	cut.run(cut.work, "checkout", "-q", "main")
	cut.gap(3)
	cut.run(cut.work, "push", "-q", "--tags", cut.bare)
	cut.run(cut.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
	cut.run(cut.work, "clone", "-q", "--bare", "--depth", "2", "--no-single-branch", "file://"+cut.bare, cut.bare+"/cut.git")
	cut.url += "/cut.git"
	if v := judged(t, cut, "v1"); v.State != source.Unread || !strings.Contains(v.Reason, "unshallow it") {
		t.Errorf("one that is cut is %s: %s", v.State, v.Reason)
	}
	shut := newGitServer(t)
	shut.commit(files{"a": text("1")})
	shut.answer(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusUnauthorized) })
	if v := judged(t, shut, "v1"); v.State != source.Unread || !strings.Contains(v.Reason, "401") {
		t.Errorf("one that lets nobody in is %s: %s", v.State, v.Reason)
	}
}

// A tag that moves between the listing and the pack is not taken for what was listed.
func TestAReferenceThatMovesWhileItIsRead(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"a": text("1")})
	from, err := NewReleases(server.options())
	server.check(err)
	defer from.Close()
	refs, err := from.Refs(t.Context())
	server.check(err)
	server.commit(files{"a": text("2")})
	if _, err := from.Fetch(t.Context(), 1, refs["refs/heads/main"]); err == nil || !strings.Contains(err.Error(), "it moved while it was read") {
		t.Errorf("it says %v", err)
	}
}
