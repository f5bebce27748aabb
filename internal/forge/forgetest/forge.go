// Package forgetest is forges for tests: each answers as the API of its kind does, good and bad, as far as windlass asks.
package forgetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"windlass/desired/source"
	"windlass/internal/forge"
)

// Token is the one that may do everything.
const Token = "right-token-of-a-test"

// Weak is a token that may set statuses, and nothing else.
const Weak = "weak-token-of-a-test"

// A Status is one that was set.
type Status struct{ Commit, Context, State, Text string }

// A Deployment is one that began.
type Deployment struct {
	ID                int64
	Commit, Key, Text string
	Environment       string
	States            []string
}

// A Request is a pull request.
type Request struct {
	Branch, Into, Title, Body, URL, State string

	Fork bool // its branch is in a repository of somebody else's
}

// An Answer is what is said in place of the right thing.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
	After  bool // what was asked is done first
}

// A Forge is a forge with the one repository ops/deploy. Its fields are set before it is asked for anything.
type Forge struct {
	Kind forge.Kind
	Path string // of the repository; empty: ops/deploy
	URL  string
	Page int           // most of a list that a Gitea answers at once, whatever it is asked for (its MAX_RESPONSE_ITEMS); 0: as it is asked for
	Told chan struct{} // gets a value, if there is room, when something was written

	mu          sync.Mutex
	statuses    []Status
	deployments []Deployment
	requests    []Request
	answers     []Answer
	asked       []string
	down        *Answer

	reports   []Report
	newest    int64 // the greatest number of a report
	limited   bool
	left      int // questions
	other     string
	endless   bool
	short     bool
	unchanged int
}

// New serves a forge of a kind until the test ends.
func New(t testing.TB, kind forge.Kind) *Forge {
	f := &Forge{Kind: kind, Path: "ops/deploy", Told: make(chan struct{}, 1)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// Say has the next questions answered otherwise, one after another.
func (f *Forge) Say(answers ...Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, answers...)
}

// Down has all questions answered so, until it is nil.
func (f *Forge) Down(a *Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = a
}

// Statuses are those that were set, in order.
func (f *Forge) Statuses() []Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.statuses)
}

// Deployments are those that began, in order.
func (f *Forge) Deployments() []Deployment {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.deployments)
	for i := range all {
		all[i].States = slices.Clone(all[i].States)
	}
	return all
}

// Requests are those that were opened, in order.
func (f *Forge) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// Asked are the questions so far: method and path.
func (f *Forge) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// Propose opens a request to merge a branch of somebody else's fork, and returns its page.
func (f *Forge) Propose(branch, into string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := Request{Branch: branch, Into: into, State: "open", Fork: true, URL: fmt.Sprintf("https://forge.example/%s/pull/%d", f.Path, len(f.requests)+1)}
	f.requests = append(f.requests, p)
	return p.URL
}

// Fill sets so many statuses of a commit and context.
func (f *Forge) Fill(commit, context string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.statuses = append(f.statuses, Status{Commit: commit, Context: context, State: "pending"})
	}
}

// ServeHTTP answers.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Method+" "+r.URL.EscapedPath())
	instead := f.down
	if instead == nil && len(f.answers) > 0 {
		instead, f.answers = &f.answers[0], f.answers[1:]
	}
	if instead == nil || instead.After {
		answer := httptest.NewRecorder()
		f.route(answer, r)
		if instead == nil {
			f.finish(w, r, answer)
			return
		}
	}
	for name, value := range instead.Header {
		w.Header().Set(name, value)
	}
	if instead.Status == 0 {
		panic(http.ErrAbortHandler) // the connection is lost
	}
	w.WriteHeader(instead.Status)
	fmt.Fprint(w, instead.Body)
}

func refuse(w http.ResponseWriter, status int, message any) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"message": message})
}

func create(w http.ResponseWriter, value any) {
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(value)
}

func (f *Forge) token(r *http.Request) string {
	switch f.Kind {
	case forge.GitLab:
		return r.Header.Get("PRIVATE-TOKEN")
	case forge.Gitea:
		return strings.TrimPrefix(r.Header.Get("Authorization"), "token ")
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (f *Forge) route(w http.ResponseWriter, r *http.Request) {
	root := "/repos/" + f.Path + "/"
	if f.Kind == forge.GitLab {
		root = "/projects/" + strings.ReplaceAll(f.Path, "/", "%2F") + "/"
	}
	path, ours := strings.CutPrefix(r.URL.EscapedPath(), root)
	token := f.token(r)
	may := token == Token || token == Weak && strings.HasPrefix(path, "statuses/") && r.Method == http.MethodPost
	switch {
	case token != Token && token != Weak:
		refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	case !ours || !may && f.Kind == forge.GitHub:
		refuse(w, http.StatusNotFound, "Not Found") // what a token may not do is not there
		return
	case !may:
		refuse(w, http.StatusForbidden, "403 Forbidden")
		return
	}
	var body map[string]any
	if r.Method == http.MethodPost {
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			refuse(w, http.StatusBadRequest, "Problems parsing JSON")
			return
		}
		defer func() {
			select {
			case f.Told <- struct{}{}:
			default:
			}
		}()
	}
	parts := strings.Split(path, "/")
	switch {
	case f.checks(w, r, parts):
	case parts[0] == "statuses" && len(parts) == 2 && r.Method == http.MethodPost:
		f.setStatus(w, parts[1], body)
	case parts[0] == "deployments" && f.Kind == forge.GitHub:
		f.deploys(w, r, parts, body)
	case path == "pulls" && f.Kind != forge.GitLab, path == "merge_requests" && f.Kind == forge.GitLab:
		f.pulls(w, r, body)
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

func text(body map[string]any, key string) string { s, _ := body[key].(string); return s }

func (f *Forge) setStatus(w http.ResponseWriter, commit string, body map[string]any) {
	key, states := "context", []string{"error", "failure", "pending", "success"}
	if f.Kind == forge.GitLab {
		key, states = "name", []string{"pending", "running", "success", "failed", "canceled", "skipped"}
	}
	s := Status{Commit: commit, Context: text(body, key), State: text(body, "state"), Text: text(body, "description")}
	count, last := 0, ""
	for _, old := range f.statuses {
		if old.Commit == s.Commit && old.Context == s.Context {
			count, last = count+1, old.State
		}
	}
	switch {
	case !slices.Contains(states, s.State) || s.Context == "":
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
	case len([]rune(s.Text)) > forge.MostText && f.Kind == forge.GitHub:
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
	case len(commit) != 40:
		refuse(w, http.StatusUnprocessableEntity, "No commit found for SHA: "+commit)
	case f.Kind == forge.GitHub && count >= forge.MostStatuses:
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"message":"Validation Failed","errors":[{"message":"This SHA and context has reached the maximum number of statuses."}]}`)
	case f.Kind == forge.GitLab && last == s.State:
		refuse(w, http.StatusBadRequest, `Cannot transition status via :run from :running (Reason(s): Status cannot transition via "run")`)
	default:
		f.statuses = append(f.statuses, s)
		f.report(Report{Kind: source.Status, Commit: commit, Name: s.Context, State: s.State})
		create(w, map[string]any{"id": len(f.statuses), "state": s.State})
	}
}

func (f *Forge) deploys(w http.ResponseWriter, r *http.Request, parts []string, body map[string]any) {
	switch {
	case len(parts) == 1 && r.Method == http.MethodGet:
		found := []map[string]any{}
		for _, d := range slices.Backward(f.deployments) {
			if d.Commit == r.FormValue("sha") && d.Environment == r.FormValue("environment") {
				found = append(found, map[string]any{"id": d.ID, "payload": map[string]string{"windlass": d.Key}})
			}
		}
		json.NewEncoder(w).Encode(found)
	case len(parts) == 1:
		f.begin(w, body)
	case len(parts) == 3 && parts[2] == "statuses" && r.Method == http.MethodPost:
		id, _ := strconv.ParseInt(parts[1], 10, 64)
		at := slices.IndexFunc(f.deployments, func(d Deployment) bool { return d.ID == id })
		if at < 0 {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		f.deployments[at].States = append(f.deployments[at].States, text(body, "state"))
		create(w, map[string]any{"id": 1})
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

func (f *Forge) begin(w http.ResponseWriter, body map[string]any) {
	if merge, given := body["auto_merge"].(bool); !given || merge {
		refuse(w, http.StatusConflict, "Conflict merging main into it")
		return
	}
	if contexts, given := body["required_contexts"].([]any); !given || len(contexts) > 0 {
		refuse(w, http.StatusConflict, "Conflict: Commit status checks failed for it.")
		return
	}
	payload, _ := body["payload"].(map[string]any)
	d := Deployment{
		ID: int64(len(f.deployments) + 1), Commit: text(body, "ref"), Environment: text(body, "environment"),
		Text: text(body, "description"), Key: text(payload, "windlass"),
	}
	f.deployments = append(f.deployments, d)
	create(w, map[string]any{"id": d.ID})
}

func (f *Forge) pulls(w http.ResponseWriter, r *http.Request, body map[string]any) {
	keys := [3]string{"head", "base", "body"}
	if f.Kind == forge.GitLab {
		keys = [3]string{"source_branch", "target_branch", "description"}
	}
	if r.Method == http.MethodPost {
		p := Request{Branch: text(body, keys[0]), Into: text(body, keys[1]), Title: text(body, "title"), Body: text(body, keys[2]), State: "open"}
		if len([]rune(p.Title)) > 255 || len([]rune(p.Body)) > 1<<16 {
			refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
			return
		}
		p.URL = fmt.Sprintf("https://forge.example/%s/pull/%d", f.Path, len(f.requests)+1)
		f.requests = append(f.requests, p)
		create(w, f.shown(p))
		return
	}
	owner, _, _ := strings.Cut(f.Path, "/")
	wanted := func(p Request) bool {
		switch f.Kind {
		case forge.GitLab:
			return r.FormValue("source_branch") == p.Branch && r.FormValue("target_branch") == p.Into && r.FormValue("state") == "opened"
		case forge.GitHub:
			return !p.Fork && r.FormValue("head") == owner+":"+p.Branch && r.FormValue("base") == p.Into && r.FormValue("state") == "open"
		}
		return r.FormValue("state") == "open"
	}
	found := []map[string]any{}
	for _, p := range slices.Backward(f.requests) {
		if p.State == "open" && wanted(p) {
			found = append(found, f.shown(p))
		}
	}
	if f.Kind == forge.Gitea {
		found = f.onPage(r, found)
	}
	json.NewEncoder(w).Encode(found)
}

// onPage is the part of a list that a Gitea shows of it.
func (f *Forge) onPage(r *http.Request, all []map[string]any) []map[string]any {
	page, _ := strconv.Atoi(r.FormValue("page"))
	size, _ := strconv.Atoi(r.FormValue("limit"))
	if f.Page > 0 {
		size = min(size, f.Page)
	}
	from := min(len(all), size*max(0, page-1))
	return all[from:min(len(all), from+size)]
}

func (f *Forge) shown(p Request) map[string]any {
	const here, fork = 7, 8
	from := here
	if p.Fork {
		from = fork
	}
	if f.Kind == forge.GitLab {
		return map[string]any{"web_url": p.URL, "source_project_id": from, "target_project_id": here}
	}
	side := func(branch string, id int) map[string]any {
		return map[string]any{"ref": branch, "repo": map[string]int{"id": id}}
	}
	return map[string]any{"html_url": p.URL, "state": p.State, "head": side(p.Branch, from), "base": side(p.Into, here)}
}
