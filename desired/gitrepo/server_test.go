package gitrepo

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/desired"
)

// patience is how long tests let a server be silent. It is real time: the servers are real processes.
const patience = 500 * time.Millisecond

// A gitServer is a real bare repo behind git's own HTTP backend, and a clone to commit in.
type gitServer struct {
	t    *testing.T
	bare string
	work string
	url  string

	mu       sync.Mutex
	requests []string // "GET /repo.git/info/refs"
	instead  func(http.ResponseWriter, *http.Request, http.Handler)
}

func newGitServer(t *testing.T) *gitServer {
	t.Helper()
	dir := t.TempDir()
	s := &gitServer{t: t, bare: filepath.Join(dir, "repo.git"), work: filepath.Join(dir, "work")}
	s.run(dir, "init", "-q", "--bare", "-b", "main", s.bare)
	s.run(dir, "init", "-q", "-b", "main", s.work)
	server := httptest.NewServer(s.handler(dir))
	t.Cleanup(server.Close)
	s.url = server.URL + "/repo.git"
	return s
}

func (s *gitServer) handler(root string) http.Handler {
	git, err := exec.LookPath("git")
	if err != nil {
		s.t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path:   git,
		Args:   []string{"http-backend"},
		Env:    append(gitEnv(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),
		Stderr: io.Discard,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		instead := s.instead
		s.mu.Unlock()
		if instead != nil {
			instead(w, r, backend)
			return
		}
		backend.ServeHTTP(w, r)
	})
}

// answer replaces the server's behaviour; nil makes it well again.
func (s *gitServer) answer(with func(http.ResponseWriter, *http.Request, http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = with
}

// took returns the requests since it was last asked.
func (s *gitServer) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := s.requests
	s.requests = nil
	return took
}

func gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=windlass test", "GIT_AUTHOR_EMAIL=test@windlass.invalid",
		"GIT_COMMITTER_NAME=windlass test", "GIT_COMMITTER_EMAIL=test@windlass.invalid",
	}
}

func (s *gitServer) run(dir string, args ...string) string {
	s.t.Helper()
	return s.pipe(dir, "", args...)
}

func (s *gitServer) pipe(dir, input string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, gitEnv(), strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// files are a change: content by path; a nil content removes.
type files map[string]*string

func text(content string) *string { return &content }

// commit changes files and pushes, even what rewrites history. It returns the new head.
func (s *gitServer) commit(change files) string {
	s.t.Helper()
	s.record(change, "change")
	return s.push()
}

// record changes files and pushes nothing.
func (s *gitServer) record(change files, message string) {
	s.t.Helper()
	for name, content := range change {
		path := filepath.Join(s.work, name)
		if content == nil {
			s.check(os.Remove(path))
			continue
		}
		s.check(os.MkdirAll(filepath.Dir(path), 0o755))
		s.check(os.WriteFile(path, []byte(*content), 0o644))
	}
	s.run(s.work, "add", "-A")
	s.run(s.work, "commit", "-q", "--allow-empty", "-m", message)
}

func (s *gitServer) push() string {
	s.t.Helper()
	s.run(s.work, "push", "-q", "--force", s.bare, "HEAD:refs/heads/main")
	return s.run(s.work, "rev-parse", "HEAD")
}

// rewind moves the branch back before further commits rewrite it.
func (s *gitServer) rewind(to string) { s.run(s.work, "reset", "-q", "--hard", to) }

// gap pushes many empty commits at once.
func (s *gitServer) gap(commits int) string {
	s.t.Helper()
	var stream strings.Builder
	from := s.run(s.work, "rev-parse", "HEAD")
	for i := range commits {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter windlass test <test@windlass.invalid> %d +0000\ndata 3\ngap\n", 1700000000+i)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\n", from)
		}
	}
	s.pipe(s.work, stream.String(), "fast-import", "--quiet", "--force")
	s.run(s.work, "reset", "-q", "--hard", "main")
	return s.push()
}

func (s *gitServer) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// options follow the server with a state directory of their own.
func (s *gitServer) options() Options {
	return Options{URL: s.url, Dir: filepath.Join(s.t.TempDir(), "git"), Timeout: 20 * time.Second}
}

func (s *gitServer) open(options Options) *Repo {
	s.t.Helper()
	repo, err := Open(options)
	s.check(err)
	s.t.Cleanup(repo.Close)
	return repo
}

// poll must succeed.
func poll(t *testing.T, repo *Repo) desired.State {
	t.Helper()
	state, err := repo.Poll(t.Context())
	if err != nil {
		t.Fatalf("poll: %v", err)
	}
	return state
}

// fleet is a small valid fleet file.
func fleet(name, release string) *string {
	return text(fmt.Sprintf(`apiVersion: windlass/v1
kind: Fleet
name: %[1]s
release: %[2]s
nodes: {static: [{name: %[1]s-1, address: %[1]s.invalid}]}
configure:
  activate:
    - {name: install, run: 'true'}
health:
  - {name: serves, http: {port: 8080, path: /version, body: '{release}'}}
`, name, release))
}

// broken names its fleet; garbled does not even do that.
func broken(name string) *string { return text(*fleet(name, "v1") + "unknown: key\n") }
func garbled() *string           { return text("name: [\n") }

// releases describes what is in force: "web=v1 db=v2(released)".
func releases(state desired.State) map[string]string {
	found := map[string]string{}
	for name, version := range state.Fleets {
		found[name] = version.Fleet.Release
		if version.Released {
			found[name] += " released"
		}
	}
	return found
}
