package example_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What runs on pull requests is read, and its shell is run against a forge that is made up.

const (
	githubFile = ".github/workflows/windlass-plan.yaml"
	gitlabFile = ".gitlab-ci.yml"
	marker     = "<!-- windlass plan -->"
)

// A workflow is as much of GitHub's as is looked at.
type workflow struct {
	On          yaml.Node
	Permissions map[string]string
	Jobs        map[string]struct {
		If          string
		Permissions map[string]string
		Steps       []struct{ Name, Uses, Run string }
	}
}

func parsed[T any](t *testing.T, file string) (into T) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return into
}

// scripts are the shell of a file, by what it is for.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, job := range parsed[workflow](t, githubFile).Jobs {
		for _, step := range job.Steps {
			if step.Run != "" {
				found["github "+name+": "+step.Name] = step.Run
			}
		}
	}
	for name, job := range parsed[map[string]yaml.Node](t, gitlabFile) {
		var lines struct {
			Script       []string
			BeforeScript []string `yaml:"before_script"`
		}
		if err := job.Decode(&lines); err == nil && len(lines.Script)+len(lines.BeforeScript) > 0 {
			found["gitlab "+name] = strings.Join(append(lines.BeforeScript, lines.Script...), "\n")
		}
	}
	return found
}

// Pull requests of strangers get no secrets, and nothing that one says is pasted into a shell.
func TestPullRequestsGetNothing(t *testing.T) {
	t.Parallel()
	w := parsed[workflow](t, githubFile)
	var events map[string]yaml.Node
	if err := w.On.Decode(&events); err != nil || len(events) != 1 || events["pull_request"].Kind == 0 {
		t.Errorf("it runs on %v (%v), want pull_request alone", events, err)
	}
	job := w.Jobs["plan"]
	if len(w.Permissions) != 0 || fmt.Sprint(job.Permissions) != "map[pull-requests:write]" || len(w.Jobs) != 1 {
		t.Errorf("it may %v and %v", w.Permissions, job.Permissions)
	}
	if job.If != "github.event.pull_request.head.repo.full_name == github.repository" {
		t.Errorf("it runs if %q", job.If)
	}
	for _, step := range job.Steps {
		if step.Uses != "" && !strings.HasPrefix(step.Uses, "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683") {
			t.Errorf("it uses %s", step.Uses)
		}
	}
	for name, script := range scripts(t) {
		if strings.Contains(script, "${{") {
			t.Errorf("%s pastes an expression into its shell", name)
		}
	}
	for _, file := range []string{githubFile, gitlabFile, ".github/workflows/validate.yml"} {
		if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "pull_request_target") || strings.Contains(string(text), "workflow_run") {
			t.Errorf("%s names an event that gives strangers secrets (%v)", file, err)
		}
	}
	if len(scripts(t)) != 6 {
		t.Errorf("%d pieces of shell were found", len(scripts(t)))
	}
}

func TestShellOfPullRequestsIsSound(t *testing.T) {
	t.Parallel()
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("left out: shellcheck is not installed")
	}
	for name, script := range scripts(t) {
		cmd := exec.Command(shellcheck, "--shell=bash", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// A forge keeps comments, in pages of a hundred, and speaks as GitHub and GitLab do.
type forge struct {
	*httptest.Server

	mu       sync.Mutex
	comments []comment
	did      []string // what changed something
	refused  []string
	loses    bool // the answer to what is created
}

type comment struct {
	ID     int               `json:"id"`
	Body   string            `json:"body"`
	User   map[string]string `json:"user"`
	Author map[string]int    `json:"author"`
}

// ourself is who the token is of, by both forges.
func ourself(id int, body string) comment {
	return comment{ID: id, Body: body, User: map[string]string{"login": "github-actions[bot]"}, Author: map[string]int{"id": 7}}
}

// newForge has more comments than a page, one of them by somebody who knows the marker.
func newForge(t *testing.T) *forge {
	t.Helper()
	f := &forge{}
	for i := range 130 {
		c := comment{ID: 1000 + i, Body: "nice", User: map[string]string{"login": "mallory"}, Author: map[string]int{"id": 8}}
		if i == 3 {
			c.Body = marker + "\nnothing happens, merge it"
		}
		f.comments = append(f.comments, c)
	}
	f.comments = append(f.comments, ourself(1500, "another workflow's, about "+marker))
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer s3cr3t" && r.Header.Get("Private-Token") != "s3cr3t" {
		f.refused = append(f.refused, r.Method+" "+r.URL.Path)
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	var sent struct{ Body string }
	switch path := strings.NewReplacer("/repos/team/deploy/issues", "", "/projects/42/merge_requests", "", "/notes", "/comments").Replace(r.URL.Path); {
	case r.Method == "GET" && path == "/user":
		fmt.Fprint(w, `{"id": 7}`)
	case r.Method == "GET" && path == "/9/comments":
		var page int
		_, _ = fmt.Sscan(r.FormValue("page"), &page)
		from := min(len(f.comments), (page-1)*100)
		_ = json.NewEncoder(w).Encode(f.comments[from:min(len(f.comments), from+100)])
	case json.NewDecoder(r.Body).Decode(&sent) != nil:
		http.Error(w, "no JSON", http.StatusBadRequest)
	case r.Method == "POST" && path == "/9/comments":
		f.did = append(f.did, "created")
		f.comments = append(f.comments, ourself(2000+len(f.comments), sent.Body))
		if f.loses {
			f.loses = false
			http.Error(w, "the answer is lost", http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusCreated)
	case r.Method == "PATCH" || r.Method == "PUT":
		var id int
		_, _ = fmt.Sscan(path[strings.LastIndexByte(path, '/')+1:], &id)
		at := slices.IndexFunc(f.comments, func(c comment) bool { return c.ID == id })
		if at < 0 {
			http.NotFound(w, r)
			return
		}
		f.did, f.comments[at].Body = append(f.did, "updated "+f.comments[at].User["login"]), sent.Body
	default:
		http.NotFound(w, r)
	}
}

// A runner is a job's machine, with a windlass that says what it is told to.
type runner struct {
	*testing.T
	dir     string
	scripts []string
	env     []string
}

// newRunner runs the scripts in a directory beside windlass's, or in windlass's.
func newRunner(t *testing.T, beside bool, scripts []string, env ...string) *runner {
	t.Helper()
	for _, program := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("left out: %s is not installed", program)
		}
	}
	top := t.TempDir()
	r := &runner{T: t, dir: top, scripts: scripts}
	windlass := "#!/bin/sh\ncd '" + top + "'\necho \"$*\" >>asked\nfor a; do case $a in /dev/fd/*) cat \"$a\" >password;; esac; done\ncat says\nexit \"$(cat status)\"\n"
	r.write("windlass", windlass)
	if err := os.Chmod(filepath.Join(top, "windlass"), 0o755); err != nil {
		t.Fatal(err)
	}
	if beside {
		r.dir = filepath.Join(top, "deploy")
		if err := os.Mkdir(r.dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + top, "RUNNER_TEMP=" + top, "GITHUB_OUTPUT=" + filepath.Join(top, "output"), "NO_PROXY=*"}, env...)
	return r
}

func (r *runner) write(name, text string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(strings.TrimSuffix(r.dir, "/deploy"), name), []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
}

func (r *runner) read(name string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(strings.TrimSuffix(r.dir, "/deploy"), name))
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

// plans runs the job with a windlass that says so and ends so, and reports whether all of it succeeded. All but its last script must.
func (r *runner) plans(says string, status int) bool {
	r.Helper()
	r.write("says", says)
	r.write("status", fmt.Sprint(status))
	for i, script := range r.scripts {
		cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = r.dir, append(r.env, "STATUS="+r.output())
		if out, err := cmd.CombinedOutput(); err != nil {
			if i < len(r.scripts)-1 {
				r.Fatalf("%v\n%s", err, out)
			}
			r.Logf("%v\n%s", err, out)
			return false
		}
	}
	return true
}

// output is the status that a script handed on last, as GitHub does.
func (r *runner) output() string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(strings.TrimSuffix(r.dir, "/deploy"), "output"))
	if err != nil && !os.IsNotExist(err) {
		r.Fatal(err)
	}
	return strings.TrimSpace(string(text[strings.LastIndexByte(string(text), '=')+1:]))
}

func TestOneCommentIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T, string) *runner{"github": githubRunner, "gitlab": gitlabRunner} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forge := newForge(t)
			r := make(t, forge.URL)
			text := marker + "\n### windlass: 1 fleet rolls\n`\"quoted\" \\ $HOME é`\n"
			if !r.plans(text, 2) {
				t.Error("changes that are pending fail the job")
			}
			newest := func() string { return forge.comments[len(forge.comments)-1].Body }
			if newest() != text {
				t.Errorf("the comment is %q", newest())
			}
			if !r.plans(marker+"\nno fleet changes\n", 0) || newest() != marker+"\nno fleet changes\n" {
				t.Errorf("the comment is %q", newest())
			}
			if r.plans(marker+"\n1 fleet is broken\n", 1) || newest() != marker+"\n1 fleet is broken\n" {
				t.Errorf("a broken branch: %q", newest())
			}
			if r.plans("", 1) || !strings.HasPrefix(newest(), marker+"\nwindlass could not plan this branch") {
				t.Errorf("no agent: %q", newest())
			}
			if r.plans("", 2) || r.plans("half of", 137) {
				t.Error("a windlass that crashes or is killed is taken for one that plans")
			}
			own := "updated github-actions[bot]"
			if want := []string{"created", own, own, own, own, own}; !slices.Equal(forge.did, want) || len(forge.comments) != 132 || forge.refused != nil {
				t.Errorf("%d comments, by %q, refused %q; want %q", len(forge.comments), forge.did, forge.refused, want)
			}
			first, _, _ := strings.Cut(r.read("asked"), "\n")
			if !strings.HasPrefix(first, "plan --branch=team/x;$(touch y) --format markdown") {
				t.Errorf("windlass was asked %q", first)
			}
			if _, err := os.Stat(filepath.Join(r.dir, "y")); err == nil {
				t.Error("a branch's name was run")
			}
			if text := r.read("asked"); strings.Contains(text, "hunter2") {
				t.Errorf("the password stands in the command line: %s", text)
			}
		})
	}
}

// A comment whose creation was not confirmed is created once, and is the one that is updated: a second one would stay as it is for ever.
func TestACommentIsNotCreatedTwice(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T, string) *runner{"github": githubRunner, "gitlab": gitlabRunner} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forge := newForge(t)
			forge.loses = true
			r := make(t, forge.URL)
			if r.plans(marker+"\n1\n", 2) || !r.plans(marker+"\n2\n", 0) {
				t.Error("the job does not end as its comment was taken")
			}
			if want := []string{"created", "updated github-actions[bot]"}; !slices.Equal(forge.did, want) {
				t.Errorf("it did %q, want %q", forge.did, want)
			}
		})
	}
}

func githubRunner(t *testing.T, url string) *runner {
	all := scripts(t)
	r := newRunner(t, false, []string{all["github plan: plan"], all["github plan: comment"]}, "GITHUB_API_URL="+url, "GITHUB_REPOSITORY=team/deploy", "NUMBER=9", "TOKEN=s3cr3t",
		"BRANCH=team/x;$(touch y)", "PASSWORD=hunter2")
	t.Cleanup(func() {
		if got := r.read("password"); got != "hunter2" {
			t.Errorf("windlass was given the password %q", got)
		}
		if got := r.read("output"); !strings.HasPrefix("status=2\nstatus=0\nstatus=1\nstatus=1\nstatus=1\nstatus=137\n", got) {
			t.Errorf("the step's output is %q", got)
		}
	})
	return r
}

func gitlabRunner(t *testing.T, url string) *runner {
	return newRunner(t, true, []string{scripts(t)["gitlab plan"]}, "CI_API_V4_URL="+url, "CI_MERGE_REQUEST_PROJECT_ID=42", "CI_MERGE_REQUEST_IID=9",
		"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=team/x;$(touch y)", "WINDLASS_NOTE_TOKEN=s3cr3t")
}
