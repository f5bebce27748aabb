package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/internal/sandbox/aws"
)

// login is a client on a node.
func (f *Fleet) login(t *testing.T, n *Node) *ssh.Client {
	t.Helper()
	hostKey := must(ssh.ParsePrivateKey(n.site.HostKey))(t)
	client, err := ssh.Dial("tcp", net.JoinHostPort(n.Address, strconv.Itoa(f.sshPort)), &ssh.ClientConfig{
		User: f.options.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(f.key.Signer)}, HostKeyCallback: ssh.FixedHostKey(hostKey.PublicKey()),
	})
	check(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// page asks a node's web service.
func (f *Fleet) page(n *Node, path string) (int, string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + net.JoinHostPort(n.Address, strconv.Itoa(f.webPort)) + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(body)), err
}

func TestNodesServeTheirReleaseOnOnePortEach(t *testing.T) {
	t.Parallel()
	f := startFleet(t, Options{Nodes: 2, Release: "v7"})
	for _, n := range f.Nodes() {
		if status, body, err := f.page(n, "/version"); status != 200 || body != "v7" || err != nil {
			t.Errorf("%s answers %d %q %v", n.Name, status, body, err)
		}
	}
}

// The steps of the deploy repo, run as the agent runs them, put another release in service.
func TestRestartServesWhatIsInstalled(t *testing.T) {
	t.Parallel()
	f := startFleet(t, Options{Nodes: 1})
	n := f.Nodes()[0]
	check(t, f.Publish(Build{Release: "v2"}))
	check(t, f.Publish(Build{Release: "v3", Fault: "no database"}))
	check(t, f.Publish(Build{Release: "v4", Serves: "v1"}))
	client := f.login(t, n)
	for _, want := range []struct {
		release, path string
		status        int
		body          string
	}{
		{"v2", "/version", 200, "v2"}, {"v2", "/", 200, "v2 on web-1"}, {"v3", "/healthz", 500, "no database"}, {"v3", "/", 500, "no database"}, {"v4", "/version", 200, "v1"},
	} {
		session := must(client.NewSession())(t)
		output, err := session.CombinedOutput(`cp -R store/` + want.release + ` releases/ && ln -sfn releases/` + want.release + ` current && bin/restart-web`)
		if err != nil {
			t.Fatalf("%s: %v: %s", want.release, err, output)
		}
		if status, body, err := f.page(n, want.path); status != want.status || body != want.body || err != nil {
			t.Errorf("%s of %s: %d %q %v", want.path, want.release, status, body, err)
		}
	}
}

func TestRestartDropsRequests(t *testing.T) {
	t.Parallel()
	f := startFleet(t, Options{Nodes: 1, Startup: 300 * time.Millisecond})
	check(t, must(f.login(t, f.Nodes()[0]).NewSession())(t).Run("bin/restart-web"))
	f.Traffic.Stop()
	if count := f.Traffic.Count(); count.Failed == 0 {
		t.Errorf("no request failed although the only node was restarted in service: %+v", count)
	}
}

func TestKilledNodeTakesItsProcessesWithIt(t *testing.T) {
	t.Parallel()
	f := startFleet(t, Options{Nodes: 2})
	n := f.Nodes()[0]
	output := must(must(f.login(t, n).NewSession())(t).Output("mkfifo pid; setsid -f sh -c 'echo $$ >pid; exec sleep 600' >/dev/null 2>&1 </dev/null; cat pid"))(t)
	check(t, f.Terminate(n))
	awaitEnd(t, strings.TrimSpace(string(output)))
	if _, _, err := f.page(n, "/"); err == nil {
		t.Error("it still serves")
	}
	if health := must(f.Cloud.Health("web"))(t)[aws.Target{ID: n.Instance, Port: f.webPort}]; health.State != aws.Unused {
		t.Errorf("the balancer has it as %+v", health)
	}
	check(t, n.Start(t.Context()))
	if _, body, err := f.page(n, "/version"); body != "v1" {
		t.Errorf("after booting again it serves %q, %v", body, err)
	}
}

// G30: a frozen node accepts connections and never answers.
func TestFrozenNodeSaysNothing(t *testing.T) {
	t.Parallel()
	f := startFleet(t, Options{Nodes: 1})
	n := f.Nodes()[0]
	check(t, n.Freeze())
	conn := must(net.Dial("tcp", net.JoinHostPort(n.Address, strconv.Itoa(f.sshPort))))(t)
	defer conn.Close()
	check(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if read, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it answered %d bytes, %v", read, err)
	}
	check(t, n.Thaw())
	f.login(t, n)
	check(t, n.Freeze()) // and can be killed all the same
}

func TestNewNodeWaitsForItsFirstRelease(t *testing.T) {
	t.Parallel()
	f := startFleet(t, Options{Nodes: 1})
	n := must(f.AddNode(t.Context()))(t)
	if _, _, err := f.page(n, "/"); err == nil {
		t.Error("it serves although nothing is installed")
	}
	check(t, must(f.login(t, n).NewSession())(t).Run("mkdir current && echo v1 >current/version && bin/restart-web"))
	if _, body, err := f.page(n, "/"); body != "v1 on web-2" {
		t.Errorf("it serves %q, %v", body, err)
	}
}

// running reports whether a process is there and not a zombie.
func running(t *testing.T, pid string) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// runParent starts a fleet with an agent, tells the ids of their processes, and waits to be killed.
func runParent() error {
	f, err := Start(context.Background(), Options{Nodes: 2, Dir: os.Args[2]})
	if err != nil {
		return err
	}
	f.Agent.Command.Args = []string{"idle"}
	if err := f.Agent.Start(); err != nil {
		return err
	}
	fmt.Println(f.Agent.process().cmd.Process.Pid)
	for _, n := range f.nodes {
		fmt.Println(n.child.cmd.Process.Pid)
	}
	fmt.Println("up")
	select {}
}

func TestEverythingEndsWithItsParent(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(testBinary(t), "parent", t.TempDir())
	output := must(cmd.StdoutPipe())(t)
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	var pids []string
	for lines := bufio.NewScanner(output); lines.Scan() && lines.Text() != "up"; {
		pids = append(pids, lines.Text())
	}
	if len(pids) != 3 {
		t.Fatalf("the parent told of %d processes", len(pids))
	}
	check(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, pid := range pids {
		awaitEnd(t, pid)
	}
}

// awaitEnd waits for the end of a process that is no child of ours and was killed a moment ago.
func awaitEnd(t *testing.T, pid string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for running(t, pid) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %s goes on", pid)
		}
	}
}
