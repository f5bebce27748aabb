package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"windlass/desired/gitrepo"
)

const (
	ancestryMark = "WINDLASS_BENCH_ANCESTRY" // in the environment of the process that reads the repo: its URL and state directory, a line each
	fileSize     = 100_000                   // bytes that nothing makes smaller
)

// BenchmarkAncestry reports what it takes to tell a long gap from a rewritten history on a server that cannot leave files out: with much
// in few commits, and with little in many.
func BenchmarkAncestry(b *testing.B) {
	for b.Loop() {
		benchAncestry(b, 3_000, fileSize)
		benchAncestry(b, 100_000, 0)
	}
}

func benchAncestry(b *testing.B, commits, each int) {
	root := b.TempDir()
	repo := filepath.Join(root, "repo.git")
	git(b, root, nil, "init", "-q", "--bare", "-b", "main", repo)
	git(b, repo, nil, "config", "core.compression", "0")
	git(b, repo, grow("", 1, 0), "fast-import", "--quiet")
	server := httptest.NewServer(&cgi.Handler{
		Path: "/usr/bin/env", Args: []string{"git", "http-backend"}, Stderr: io.Discard,
		Env: append(gitEnv(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),
	})
	defer server.Close()
	url, state := server.URL+"/repo.git", filepath.Join(root, "state")
	_, err := readRepo(b.Context(), url, state)
	check(b, err)
	git(b, repo, grow("refs/heads/main^0", commits, each), "fast-import", "--quiet")

	self, err := os.Executable()
	check(b, err)
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), ancestryMark+"="+url+"\n"+state)
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	what := fmt.Sprintf("a gap of %d commits, %d MB of files", commits, commits*each/1e6)
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v: %s", what, err, trouble.String())
	}
	var took float64
	var peak int
	if _, err := fmt.Sscan(out.String(), &took, &peak); err != nil {
		b.Fatalf("%s: it says %q: %v", what, out.String(), err)
	}
	table.add(what+": resident, at most", fmt.Sprintf("%d MB in %.1f s", peak/1000, took), "≤ 250 MB", peak <= 250_000)
}

// ancestry reads the repo as an agent does that was away for long, and prints the seconds it took and its peak memory in kB.
func ancestry() {
	url, state, _ := strings.Cut(os.Getenv(ancestryMark), "\n")
	took, err := readRepo(context.Background(), url, state)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(took.Seconds(), ownMemory("VmHWM:"))
}

// readRepo puts the head of the repo in force.
func readRepo(ctx context.Context, url, state string) (time.Duration, error) {
	repo, err := gitrepo.Open(gitrepo.Options{URL: url, Dir: state})
	if err != nil {
		return 0, err
	}
	defer repo.Close()
	began := time.Now()
	polled, err := repo.Poll(ctx)
	if err == nil && polled.Problem != "" {
		err = fmt.Errorf("the head is not in force: %s", polled.Problem)
	}
	return time.Since(began), err
}

// grow is what makes git commit so often, each time with a file of so many bytes in place of the one before, and without it in the end.
func grow(from string, commits, each int) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		w := bufio.NewWriter(writer)
		noise, content := rand.NewChaCha8([32]byte{}), make([]byte, each)
		for i := range commits {
			fmt.Fprintf(w, "commit refs/heads/main\ncommitter bench <bench@windlass.invalid> %d +0000\ndata 3\ngap\n", 1_700_000_000+i)
			if i == 0 && from != "" {
				fmt.Fprintf(w, "from %s\n", from)
			}
			if i == 0 {
				fmt.Fprintf(w, "M 100644 inline fleets/README\ndata 3\nno\n\n")
			}
			if each > 0 {
				noise.Read(content)
				fmt.Fprintf(w, "M 100644 inline noise\ndata %d\n%s\n", each, content)
			}
		}
		writer.CloseWithError(w.Flush())
	}()
	return reader
}

func git(b *testing.B, dir string, input io.Reader, args ...string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, gitEnv(), input
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func gitEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"}
}
