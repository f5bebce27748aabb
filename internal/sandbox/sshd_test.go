package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// A shell is an embedded SSH server and a client that is logged into it.
type shell struct {
	*ssh.Client
	home    string
	address string
	key     keyPair
	hostKey keyPair
}

func newShell(t *testing.T) *shell {
	t.Helper()
	t.Parallel()
	s := &shell{home: t.TempDir(), key: must(newKeyPair())(t), hostKey: must(newKeyPair())(t)}
	server := newSSHServer(s.home, "127.0.0.1", s.hostKey.Signer, s.key.PublicKey(), nodeEnvironment(s.home))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	s.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		check(t, <-ended)
	})
	s.Client = must(ssh.Dial("tcp", s.address, s.config(s.key.Signer)))(t)
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *shell) config(key ssh.Signer) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User: "anybody", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(s.hostKey.PublicKey()),
	}
}

func TestCommandsRunInTheHome(t *testing.T) {
	s := newShell(t)
	session := must(s.NewSession())(t)
	session.Stdin = strings.NewReader("from the client")
	var stderr bytes.Buffer
	session.Stderr = &stderr
	output, err := session.Output(`pwd; cat; echo aside >&2; echo there >"$HOME/file"; exit 7`)
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("it ended with %v, want exit status 7", err)
	}
	if want := s.home + "\nfrom the client"; string(output) != want {
		t.Errorf("it wrote %q, want %q", output, want)
	}
	if stderr.String() != "aside\n" || read(t, s.home, "file") != "there" {
		t.Errorf("standard error was %q, the file holds %q", stderr.String(), read(t, s.home, "file"))
	}
}

func TestSessionsOfOneConnectionRunSideBySide(t *testing.T) {
	s := newShell(t)
	check(t, must(s.NewSession())(t).Run("mkfifo there back"))
	first, second := must(s.NewSession())(t), must(s.NewSession())(t)
	check(t, first.Start("read line <there && echo $line again >back"))
	output := must(second.Output("echo once >there; cat back"))(t)
	check(t, first.Wait())
	if string(output) != "once again\n" {
		t.Errorf("they said %q", output)
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	s := newShell(t)
	session := must(s.NewSession())(t)
	output := must(session.StdoutPipe())(t)
	check(t, session.Start("echo begun; exec sleep 600"))
	must(io.ReadFull(output, make([]byte, len("begun\n"))))(t)
	check(t, session.Signal(ssh.SIGTERM))
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("it ended with %v, want signal TERM", err)
	}
}

// G27: a job outlives the connection that started it.
func TestDetachedChildrenSurviveTheirConnection(t *testing.T) {
	s := newShell(t)
	session := must(s.NewSession())(t)
	check(t, session.Run("mkfifo go gone && setsid -f sh -c 'read line <go; echo still here >gone' >/dev/null 2>&1 </dev/null"))
	check(t, s.Close())
	check(t, os.WriteFile(filepath.Join(s.home, "go"), []byte("go\n"), 0))
	if got := read(t, s.home, "gone"); got != "still here" {
		t.Errorf("it said %q", got)
	}
}

// G27: the exit status comes although a child in the background holds the output.
func TestExitStatusDoesNotWaitForBackgroundChildren(t *testing.T) {
	s := newShell(t)
	channel, requests, err := s.OpenChannel("session", nil)
	check(t, err)
	must(channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"sleep 600 & exit 3"})))(t)
	request := <-requests
	if request == nil || request.Type != "exit-status" || !bytes.Equal(request.Payload, []byte{0, 0, 0, 3}) {
		t.Errorf("got %+v, want exit status 3", request)
	}
	channel.Close()
	go ssh.DiscardRequests(requests)
}

func TestForwardsToTheNodeOnly(t *testing.T) {
	s := newShell(t)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") })}
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	go web.Serve(listener)
	t.Cleanup(func() { web.Close() })
	client := &http.Client{Transport: &http.Transport{DialContext: s.DialContext, DisableKeepAlives: true}}
	response := must(client.Get("http://localhost:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)))(t)
	defer response.Body.Close()
	if body := must(io.ReadAll(response.Body))(t); string(body) != "served" {
		t.Errorf("it answered %q", body)
	}
	if _, err := s.Dial("tcp", "192.0.2.1:80"); err == nil || !strings.Contains(err.Error(), "only the node's own ports") {
		t.Errorf("another machine's port: %v", err)
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	s := newShell(t)
	if _, err := ssh.Dial("tcp", s.address, s.config(must(newKeyPair())(t).Signer)); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestOpenSSHLogsIn(t *testing.T) {
	client := installedTool(t, "ssh")
	s := newShell(t)
	dir := t.TempDir()
	host, port, _ := net.SplitHostPort(s.address)
	check(t, os.WriteFile(filepath.Join(dir, "id"), s.key.private, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "known_hosts"), []byte("["+host+"]:"+port+" "+s.hostKey.public()), 0o600))
	cmd := exec.Command(client, "-F", "/dev/null", "-o", "UserKnownHostsFile="+filepath.Join(dir, "known_hosts"), "-o", "StrictHostKeyChecking=yes",
		"-o", "IdentitiesOnly=yes", "-i", filepath.Join(dir, "id"), "-p", port, "demo@"+host, "cat; exit 5")
	cmd.Stdin = strings.NewReader(strings.Repeat("a longer line of input\n", 10_000))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Fatalf("ssh ended with %v, want exit status 5: %s", err, &stderr)
	}
	if len(output) != 230_000 {
		t.Errorf("%d bytes came back of 230000", len(output))
	}
}
