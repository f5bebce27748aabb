package e2e

import (
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
)

// A gitServer is git's own HTTP backend for the bare repos in a directory, which can be out of order.
type gitServer struct {
	url  string // of the deploy repo
	down atomic.Bool
}

func serveGit(t *testing.T, dir string) *gitServer {
	t.Helper()
	backend := &cgi.Handler{
		Path: must(exec.LookPath("git"))(t),
		Args: []string{"http-backend"},
		Root: "/ops",
		Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1",
		},
		Stderr: io.Discard,
	}
	g := &gitServer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.down.Load() {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL + "/ops/deploy.git" // as forges have it: an owner and a name
	return g
}

// run runs git itself, whatever is set on this machine.
func (g *gitServer) run(args ...string) ([]byte, error) {
	cmd := exec.Command("git", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"}
	return cmd.CombinedOutput()
}
