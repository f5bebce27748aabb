package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"windlass/desired"
	"windlass/internal/sandbox"
	"windlass/internal/sandbox/sshdtest"
	"windlass/internal/web"
)

// The fleet that rolls.
const (
	nodes    = 8
	interval = time.Second // at which the agent polls
	patience = 90 * time.Second
)

// steps are what configures a node, for windlass and for the shell loop.
const steps = `cp -Rf store/$WINDLASS_RELEASE releases/ && ln -sfn releases/$WINDLASS_RELEASE .current && mv -T .current current && bin/restart-web`

// fleetFile asks for no wait that is not of use: nothing bakes, and one answer of the wanted release is proof.
// fleetFile is the fleet's; what a schema from before does not know is left out.
const fleetFile = `apiVersion: windlass/v1
kind: Fleet
name: web
release: v1
nodes: {ec2: {tags: {app: web}}}
loadBalancers: [{targetGroup: web}]
ssh: {user: %s, port: %d}
configure:
  activate:
    - {name: install, run: 'cd "$HOME" && %s'}
health:
  - {name: serves, http: {port: %d, path: /version, body: "{release}"}, interval: 1s, successes: 1}
rollout: {bake: 0s%s}
`

// A realFleet is eight nodes with real sshds behind the sandbox's balancer, with the agent that rolls them.
type realFleet struct {
	*sandbox.Fleet
	user             string
	sshPort, webPort int
	logins           atomic.Int64 // connections that sshds let in
	listings         atomic.Int64 // of the deploy repo's references
	fetches          atomic.Int64 // of its objects
	pushed           func()       // told of each push; nil: nobody is
}

// startFleet returns when the agent has adopted every node. The end of the benchmark ends it.
func startFleet(b *testing.B) *realFleet {
	b.Helper()
	return startFleetAt(b, interval)
}

// startFleetAt is startFleet with an agent that polls at an interval and has more arguments.
func startFleetAt(b *testing.B, interval time.Duration, args ...string) *realFleet {
	b.Helper()
	if sshdtest.Path() == "" {
		b.Skip("left out: sshd is not installed (package openssh-server)")
	}
	executable, err := windlass()
	check(b, err)
	me, err := user.Current()
	check(b, err)
	f := &realFleet{user: me.Username}
	f.Fleet, err = sandbox.Start(b.Context(), sandbox.Options{
		Executable: executable, Dir: b.TempDir(), Nodes: nodes, Rate: 1, Delay: time.Nanosecond, Startup: time.Nanosecond, Interval: interval,
		User: f.user, SSH: f.serveSSH, AgentArgs: args,
	})
	check(b, err)
	b.Cleanup(func() { check(b, f.Close()) })
	f.countGit(b)
	f.webPort = f.servicePort(b)
	check(b, f.Publish(sandbox.Build{Release: "v2"}))
	_, err = f.Repo.Edit(b.Context(), "web: as fast as can be", "fleets/web.yaml", func(string) string {
		settle := ""
		if bytes.Contains(desired.Schema(), []byte(`"settle"`)) {
			settle = ", drain: {settle: 0s}"
		}
		return fmt.Sprintf(fleetFile, f.user, f.sshPort, steps, f.webPort, settle)
	})
	check(b, err)
	check(b, f.Agent.Start())
	f.await(b, "v1")
	return f
}

// servicePort is where the nodes' web service listens, as the sandbox's own fleet file has it.
func (f *realFleet) servicePort(b *testing.B) int {
	b.Helper()
	base, err := os.ReadFile(filepath.Join(f.Repo.Work, "base", "web.yaml"))
	check(b, err)
	port, err := strconv.Atoi(string(regexp.MustCompile(`port: (\d+), path`).FindSubmatch(base)[1]))
	check(b, err)
	return port
}

// await returns when every node rests with the release, or with whatever is wanted when that is empty.
func (f *realFleet) await(b *testing.B, release string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	_, err := f.Agent.Wait(ctx, release+" on every node", func(s web.Fleet) bool {
		wanted := s.Desired.Release
		return s.Phase == "idle" && (release == "" || release == wanted) && s.Releases[wanted] == nodes && s.InService == nodes
	})
	check(b, err)
}

// serveSSH starts a node's sshd.
func (f *realFleet) serveSSH(at sandbox.Site) (stop func() error, err error) {
	f.sshPort = at.Port
	dir := filepath.Join(at.Home, "sshd")
	config := fmt.Sprintf("ListenAddress %s:%d\nHostKey %s/key\nAuthorizedKeysFile %[3]s/authorized\nPidFile none\nStrictModes no\nUsePAM no\nUseDNS no\nSetEnv", at.Address, at.Port, dir)
	for _, variable := range at.Env {
		config += fmt.Sprintf(" %q", variable)
	}
	if os.Getuid() == 0 {
		err = os.MkdirAll("/run/sshd", 0o755) // where sshd separates its privileges
	}
	err = errors.Join(err,
		os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "key"), at.HostKey, 0o600),
		os.WriteFile(filepath.Join(dir, "authorized"), []byte(at.Authorized), 0o600),
		os.WriteFile(filepath.Join(dir, "config"), []byte(config+"\n"), 0o600),
	)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(sshdtest.Path(), "-D", "-e", "-f", filepath.Join(dir, "config"))
	cmd.Stderr = counter{"Accepted ", &f.logins}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	return stop, listening(net.JoinHostPort(at.Address, strconv.Itoa(at.Port)))
}

// listening returns when somebody listens: sshd tells nobody that it does.
func listening(address string) error {
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		switch {
		case err == nil:
			return conn.Close()
		case time.Since(began) > 10*time.Second:
			return err
		}
	}
}

// A counter counts a word in what is written to it.
type counter struct {
	word  string
	count *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	c.count.Add(int64(strings.Count(string(b), c.word)))
	return len(b), nil
}

// countGit puts a proxy that counts between the agent and the deploy repo.
func (f *realFleet) countGit(b *testing.B) {
	b.Helper()
	repo, err := url.Parse(f.Repo.URL)
	check(b, err)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: repo.Scheme, Host: repo.Host})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			f.listings.Add(1)
		} else {
			f.fetches.Add(1)
		}
		forward.ServeHTTP(w, r)
	}))
	b.Cleanup(proxy.Close)
	args := f.Agent.Command.Args
	args[slices.Index(args, f.Repo.URL)] = proxy.URL + repo.Path
}
