package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"windlass/internal/nettest"
	"windlass/internal/web"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"windlass": main})
}

// TestScripts runs each command as people do. UPDATE_SCRIPTS=1 writes what was compared anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("there are no scripts: %v", err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nstop") {
			t.Errorf("%s ends at stop, which is testscript's own, and passes", script)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:               func(e *testscript.Env) error { return errors.Join(neutral(e), certified(t, e)) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"agent":     startAgent,
			"end":       stopAgent,
			"phase":     awaitPhase,
			"problem":   awaitProblem,
			"commit":    commitAll,
			"serve":     serve,
			"past":      servePast,
			"occupy":    occupy,
			"lines":     countLines,
			"tries":     tryAgain,
			"gitserver": gitServer,
			"forge":     startForge,
			"report":    reportCheck,
			"requests":  showRequests,
			"told":      awaitTold,
			"back":      goBack,
			"says":      awaitSaid,
			"hook":      sendHook,
			"plain":     schemed("http"), "secured": schemed("https"),
		},
	})
}

// neutral is an environment that no setting of this machine reaches.
func neutral(e *testscript.Env) error {
	e.Values[agentKey{}] = new(agentProcess)
	e.Values[forgeKey{}] = new(forgeBox)
	e.Setenv("HOME", e.WorkDir)
	for name, value := range map[string]string{
		"GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "somebody", "GIT_AUTHOR_EMAIL": "somebody@example.com",
		"GIT_COMMITTER_NAME": "somebody", "GIT_COMMITTER_EMAIL": "somebody@example.com", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		e.Setenv(name, value)
	}
	return nil
}

// certified lays out a certificate of 127.0.0.1, its key, and the authority that signed it, and a certificate that another did.
func certified(t *testing.T, e *testscript.Env) error {
	ca := nettest.NewAuthority(t)
	cert, key := ca.Issue(t, "agent.example")
	strange, strangeKey := nettest.NewAuthority(t).Issue(t, "agent.example")
	var errs []error
	for name, text := range map[string][]byte{
		"ca.crt": ca.PEM, "agent.crt": cert, "agent.key": key, "strange.crt": strange, "strange.key": strangeKey,
	} {
		errs = append(errs, os.WriteFile(filepath.Join(e.WorkDir, name), text, 0o600))
	}
	return errors.Join(errs...)
}

// tries asks the agent in vain so many times: tries 8 --user carol …
func tryAgain(ts *testscript.TestScript, _ bool, args []string) {
	times, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range times {
		exits(ts, false, append([]string{"1", "windlass", "status"}, args[1:]...))
	}
}

// schemed asks from then on with another scheme.
func schemed(scheme string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		_, host, _ := strings.Cut(ts.Getenv("WINDLASS_SERVER"), "://")
		ts.Setenv("WINDLASS_SERVER", scheme+"://"+host)
	}
}

// exits runs a command that must end with an exit status: exits 2 windlass plan …
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var ended *exec.ExitError
	got := 0
	if errors.As(err, &ended) {
		got, err = ended.ExitCode(), nil
	}
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// lines counts what the last command wrote: lines stderr 1.
func countLines(ts *testscript.TestScript, _ bool, args []string) {
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], got, args[1])
	}
}

// commit makes a git repository of a directory when it is none, and commits all that is in it: commit deploy 'message'.
func commitAll(ts *testscript.TestScript, _ bool, args []string) {
	for _, command := range []string{"init -q -b main", "add -A", "commit -q --allow-empty -m"} {
		words := append([]string{"-C", args[0]}, strings.Fields(command)...)
		if strings.HasSuffix(command, "-m") {
			words = append(words, args[1])
		}
		ts.Check(ts.Exec("git", words...))
	}
}

// An agentProcess is the script's `windlass run`.
type agentProcess struct {
	cmd    *exec.Cmd
	logged chan struct{} // closed when agent.log is complete
}

// agent starts `windlass run` with the arguments, waits until it listens, and names where in $WINDLASS_SERVER.
func startAgent(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath("windlass")
	ts.Check(err)
	cmd := exec.Command(path, append([]string{"run", "--listen", "127.0.0.1:0", "--log-format", "json"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "PATH", "AWS_EC2_METADATA_DISABLED", "AWS_REGION", "AWS_ENDPOINT_URL"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	log, err := os.Create(ts.MkAbs("agent.log"))
	ts.Check(err)
	ts.Check(cmd.Start())
	p := ts.Value(agentKey{}).(*agentProcess)
	*p = agentProcess{cmd, make(chan struct{})}
	ts.Defer(func() { cmd.Process.Kill() }) // fails when stop has ended it
	address := make(chan string, 1)
	go func() {
		defer close(p.logged)
		defer log.Close()
		listenTo(io.TeeReader(stderr, log), address)
	}()
	select {
	case at := <-address:
		ts.Setenv("WINDLASS_SERVER", at)
	case <-p.logged:
		ts.Fatalf("the agent ended: %s", ts.ReadFile("agent.log"))
	}
}

type agentKey struct{}

// listenTo reads a log to its end, and tells the URL of what address it names.
func listenTo(log io.Reader, address chan<- string) {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct {
			Msg, Addr string
			TLS       bool
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
			continue
		}
		scheme := map[bool]string{false: "http://", true: "https://"}[line.TLS]
		address <- scheme + line.Addr
	}
}

// end ends the agent with SIGTERM; it must end well. Its log is then agent.log.
func stopAgent(ts *testscript.TestScript, _ bool, _ []string) {
	p := ts.Value(agentKey{}).(*agentProcess)
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.logged
	ts.Check(p.cmd.Wait())
}

// phase waits until the agent tells that a fleet is in a phase: phase web waiting.
func awaitPhase(ts *testscript.TestScript, _ bool, args []string) {
	await(ts, fmt.Sprintf("fleet %s never was %s", args[0], args[1]), func(p picture) bool {
		return slices.ContainsFunc(p.fleets, func(f web.Fleet) bool { return f.Name == args[0] && string(f.Phase) == args[1] })
	})
}

// problem waits until the agent tells of what is wrong with the deploy repo: problem 'is not signed'. Empty: of nothing.
func awaitProblem(ts *testscript.TestScript, _ bool, args []string) {
	wanted := regexp.MustCompile(args[0])
	await(ts, fmt.Sprintf("no problem %q was told", args[0]), func(p picture) bool {
		return wanted.MatchString(p.repo.Problem) && (args[0] != "") == (p.repo.Problem != "")
	})
}

// await follows the agent until it shows what is looked for.
func await(ts *testscript.TestScript, never string, is func(picture) bool) {
	at := agentAddress{server: ts.Getenv("WINDLASS_SERVER"), user: ts.Getenv("WINDLASS_USER")}
	for name, file := range map[string]*string{"WINDLASS_PASSWORD_FILE": &at.passwordFile, "WINDLASS_CA_FILE": &at.caFile} {
		if given := ts.Getenv(name); given != "" {
			*file = ts.MkAbs(given)
		}
	}
	c, err := newClient(at)
	ts.Check(err)
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	seen := false
	err = c.follow(ctx, func(p picture) {
		if is(p) {
			seen = true
			cancel()
		}
	})
	if !seen {
		ts.Fatalf("%s: %v", never, err)
	}
}

// serve answers API requests with the files of a directory, and names itself in $WINDLASS_SERVER.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	ts.Defer(server.Close)
	ts.Setenv("WINDLASS_SERVER", server.URL)
}

// occupy listens on a free port and names it in $TAKEN.
func occupy(ts *testscript.TestScript, _ bool, _ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
	ts.Setenv("TAKEN", listener.Addr().String())
}
