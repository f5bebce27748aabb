package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deployedFile is a fleet of nodes that nobody reaches: what is measured ends with the push.
const deployedFile = `apiVersion: windlass/v1
kind: Fleet
name: far
release: v0
nodes: {static: [{name: far-1, address: 127.0.0.1}, {name: far-2, address: 127.0.0.2}]}
ssh: {user: nobody, port: 1}
configure: {activate: [{name: install, run: 'true'}]}
health: [{name: serves, http: {port: 1, path: /, body: '{release}'}}]
`

// byGit does with git what windlass deploy does in a clone, knowing all that it has to find out; byURL what it does without one.
const (
	byGit = `set -e
tip=$(git ls-remote origin refs/heads/main | cut -f1)
git fetch -q --no-tags --no-write-fetch-head origin refs/heads/main
` + commitAndPush
	byURL = `set -e
git clone -q --depth 1 --bare "$3" "$4"
cd "$4"
tip=$(git rev-parse HEAD)
` + commitAndPush
)

const commitAndPush = `export GIT_INDEX_FILE=$2
git read-tree "$tip"
blob=$(git cat-file blob "$tip:fleets/far.yaml" | sed "s/^release:.*/release: $1/" | git hash-object -w --stdin)
git update-index --cacheinfo "100644,$blob,fleets/far.yaml"
git push -q origin "$(git commit-tree "$(git write-tree)" -p "$tip" -m "far: $1"):refs/heads/main"
git ls-remote origin refs/heads/main`

// BenchmarkDeploy measures the command from Enter to the end of its push, in a clone of a repo of 50,000 commits beside its remote, and the
// same by git alone. Then both without a clone, of which no more is fetched than the newest commit.
func BenchmarkDeploy(b *testing.B) {
	const commits = 50_000
	executable, err := windlass()
	check(b, err)
	root := b.TempDir()
	remote, dir := filepath.Join(root, "deploy.git"), filepath.Join(root, "clone")
	git(b, root, nil, "init", "-q", "--bare", "-b", "main", remote)
	git(b, remote, grow("", commits, 0), "fast-import", "--quiet")
	git(b, root, nil, "clone", "-q", remote, dir)
	check(b, os.WriteFile(filepath.Join(dir, "fleets", "far.yaml"), []byte(deployedFile), 0o644))
	for _, args := range [][]string{{"config", "user.name", "bench"}, {"config", "user.email", "bench@windlass.invalid"}, {"add", "."}, {"commit", "-qm", "far"}, {"push", "-q", "origin", "main"}} {
		git(b, dir, nil, args...)
	}
	server := startAgent(b, executable, remote, filepath.Join(root, "state"))
	by := []string{"GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@windlass.invalid", "GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=bench@windlass.invalid"}
	run := func(name string, args ...string) time.Duration {
		cmd := exec.CommandContext(b.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(gitEnv(), by...)
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return time.Since(began)
	}
	for b.Loop() {
		for _, c := range []struct{ where, repo, script string }{{"in a clone", dir, byGit}, {"by the URL", "file://" + remote, byURL}} {
			var ours, theirs []time.Duration
			for i := range 9 {
				ours = append(ours, run(executable, "deploy", "far", fmt.Sprintf("w%d", i), "--repo", c.repo, "--yes", "--no-follow", "--server", server))
				theirs = append(theirs, run("sh", "-c", c.script, "sh", fmt.Sprintf("g%d", i), filepath.Join(root, "index"), c.repo, filepath.Join(root, fmt.Sprintf("bare%d", i))))
			}
			w, g := halfway(ours), halfway(theirs)
			table.add(fmt.Sprintf("deploy, to the push's end, %s of a repo of %d commits : by git alone", c.where, commits), fmt.Sprintf("%s : %s", millis(w), millis(g)), "≤ 300 ms more", w-g <= 300*time.Millisecond)
		}
	}
}

func halfway(all []time.Duration) time.Duration {
	return median(all, func(d time.Duration) time.Duration { return d })
}

// startAgent runs an agent on a deploy repo, and returns its URL when it can be asked about its fleet.
func startAgent(b *testing.B, executable, repo, state string) string {
	b.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	check(b, err)
	address := free.Addr().String()
	check(b, free.Close())
	cmd := exec.Command(executable, "run", "--repo", repo, "--state-dir", state, "--listen", address, "--interval", "1s")
	cmd.Env = gitEnv()
	check(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	url := "http://" + address
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get(url + "/api/v1/fleets/far/plan")
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return url
			}
		}
		if time.Since(began) > patience {
			b.Fatalf("the agent at %s cannot be asked: %v", url, err)
		}
	}
}
