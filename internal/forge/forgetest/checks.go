package forgetest

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"windlass/desired/source"
	"windlass/internal/forge"
)

// A Report is what somebody's CI says of a commit.
type Report struct {
	Kind     source.CheckKind
	Commit   string
	Name     string
	App      string // of a check run
	State    string // in the forge's own word; of a check run how it ended, or how it stands
	Page     string
	Warnings bool  // of a pipeline that is a success: a job failed that was allowed to
	ID       int64 // 0: greater than all so far
}

// Report makes a commit have reports.
func (f *Forge) Report(reports ...Report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range reports {
		f.report(r)
	}
}

func (f *Forge) report(r Report) {
	f.newest = max(f.newest+1, r.ID)
	r.ID = cmp.Or(r.ID, f.newest)
	f.reports = append(f.reports, r)
}

// Limit lets so many questions be asked in this hour. One whose answer is that nothing has changed does not count. Negative: any number.
func (f *Forge) Limit(questions int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limited, f.left = questions >= 0, questions
}

// Lie has questions about a commit answered about another; empty: no longer.
func (f *Forge) Lie(commit string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.other = commit
}

// Endless has each page of a list be followed by another like it.
func (f *Forge) Endless() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endless = true
}

// Short has lists say that there is more than they show.
func (f *Forge) Short() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.short = true
}

// Unchanged is how many questions were answered by that.
func (f *Forge) Unchanged() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unchanged
}

// finish sends an answer, or only that it is what the one who asks has; a Gitea knows nothing of that. It counts.
func (f *Forge) finish(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
	tag := ""
	if r.Method == http.MethodGet && answer.Code == http.StatusOK && f.Kind != forge.Gitea {
		tag = fmt.Sprintf(`W/"%x"`, sha256.Sum256(fmt.Append(nil, answer.Header(), answer.Body)))
		w.Header().Set("ETag", tag)
	}
	if tag != "" && r.Header.Get("If-None-Match") == tag {
		f.unchanged++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if f.limited && f.left == 0 {
		w.Header().Del("ETag")
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(20*time.Minute).Unix(), 10))
		refuse(w, http.StatusForbidden, "API rate limit exceeded for user ID 1.")
		return
	}
	f.left--
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// checks answers a question about what is reported of a commit, and reports whether it was one.
func (f *Forge) checks(w http.ResponseWriter, r *http.Request, parts []string) bool {
	switch path := strings.Join(parts, "/"); {
	case r.Method != http.MethodGet:
		return false
	case f.Kind == forge.GitHub && len(parts) == 3 && parts[0] == "commits" && parts[2] == "status":
		f.githubStatuses(w, r, parts[1])
	case f.Kind == forge.GitHub && len(parts) == 3 && parts[0] == "commits" && parts[2] == "check-runs":
		f.githubRuns(w, r, parts[1])
	case f.Kind == forge.GitLab && len(parts) == 4 && strings.HasPrefix(path, "repository/commits/") && parts[3] == "statuses":
		f.gitlabStatuses(w, r, parts[2])
	case f.Kind == forge.GitLab && path == "pipelines":
		f.gitlabPipelines(w, r)
	case f.Kind == forge.GitLab && len(parts) == 2 && parts[0] == "pipelines":
		f.gitlabPipeline(w, parts[1])
	case f.Kind == forge.Gitea && len(parts) == 2 && parts[0] == "statuses":
		f.giteaStatuses(w, r, parts[1])
	default:
		return false
	}
	return true
}

// of are the reports of a commit, the newest first, and the commit that is named with them.
func (f *Forge) of(commit string, kind source.CheckKind) ([]Report, string) {
	commit = cmp.Or(f.other, commit)
	var all []Report
	for _, r := range slices.Backward(f.reports) {
		if r.Commit == commit && r.Kind == kind {
			all = append(all, r)
		}
	}
	return all, commit
}

// lastOfEach leaves the newest report of each name.
func lastOfEach(all []Report, key func(Report) string) []Report {
	last := map[string]int64{}
	for _, r := range all {
		last[key(r)] = max(last[key(r)], r.ID)
	}
	return slices.DeleteFunc(all, func(r Report) bool { return r.ID != last[key(r)] })
}

// turned is the page of a list that is asked for, as a forge shows it, and how many there are in all.
func (f *Forge) turned(r *http.Request, size string, most int, all []Report, show func(Report) map[string]any) ([]map[string]any, int) {
	per, _ := strconv.Atoi(r.FormValue(size))
	if per = min(cmp.Or(per, 30), most); f.Page > 0 {
		per = min(per, f.Page)
	}
	page, _ := strconv.Atoi(cmp.Or(r.FormValue("page"), "1"))
	total := len(all)
	if f.short {
		total++
	}
	if f.endless && total > 0 {
		page, total = 1, 1<<30
		for len(all) < per {
			all = append(all, all...)
		}
	}
	from := min(len(all), per*(page-1))
	shown := []map[string]any{}
	for _, one := range all[from:min(len(all), from+per)] {
		shown = append(shown, show(one))
	}
	return shown, total
}

func (f *Forge) githubStatuses(w http.ResponseWriter, r *http.Request, commit string) {
	all, commit := f.of(commit, source.Status)
	all = lastOfEach(all, func(r Report) string { return strings.ToLower(r.Name) })
	shown, total := f.turned(r, "per_page", 100, all, func(r Report) map[string]any {
		return map[string]any{"id": r.ID, "context": r.Name, "state": r.State, "target_url": r.Page, "description": nil}
	})
	json.NewEncoder(w).Encode(map[string]any{"state": "pending", "sha": commit, "total_count": total, "statuses": shown})
}

// standing are GitHub's words for a check run that has not ended.
var standing = []string{"queued", "in_progress", "waiting", "requested", "pending"}

func (f *Forge) githubRuns(w http.ResponseWriter, r *http.Request, commit string) {
	all, commit := f.of(commit, source.CheckRun)
	name, latest := r.FormValue("check_name"), r.FormValue("filter") != "all"
	all = slices.DeleteFunc(all, func(r Report) bool {
		return name != "" && r.Name != name || latest && slices.Contains(standing, r.State) // what has not ended has no time at which it did
	})
	if latest {
		all = lastOfEach(all, func(r Report) string { return r.Name + "\x00" + r.App })
	}
	shown, total := f.turned(r, "per_page", 100, all, func(r Report) map[string]any {
		run := map[string]any{"id": r.ID, "head_sha": commit, "name": r.Name, "status": "completed", "conclusion": r.State, "html_url": r.Page, "app": nil}
		if slices.Contains(standing, r.State) {
			run["status"], run["conclusion"] = r.State, nil
		}
		if r.App != "" {
			run["app"] = map[string]any{"id": 1, "slug": r.App}
		}
		return run
	})
	json.NewEncoder(w).Encode(map[string]any{"total_count": total, "check_runs": shown})
}

func (f *Forge) gitlabStatuses(w http.ResponseWriter, r *http.Request, commit string) {
	all, commit := f.of(commit, source.Status)
	name := r.FormValue("name")
	all = slices.DeleteFunc(all, func(r Report) bool { return name != "" && r.Name != name })
	if r.FormValue("all") != "true" {
		all = lastOfEach(all, func(r Report) string { return r.Name })
	}
	shown, total := f.turned(r, "per_page", 100, all, func(r Report) map[string]any {
		return map[string]any{"id": r.ID, "sha": commit, "name": r.Name, "status": r.State, "target_url": r.Page, "allow_failure": r.Warnings}
	})
	if total <= 10000 { // beyond, it does not count
		w.Header().Set("X-Total", strconv.Itoa(total))
	}
	json.NewEncoder(w).Encode(shown)
}

func (f *Forge) gitlabPipelines(w http.ResponseWriter, r *http.Request) {
	all, commit := f.of(r.FormValue("sha"), source.Pipeline)
	slices.SortFunc(all, func(a, b Report) int { return cmp.Compare(b.ID, a.ID) })
	shown, total := f.turned(r, "per_page", 100, all, func(r Report) map[string]any {
		return map[string]any{"id": r.ID, "sha": commit, "status": r.State, "web_url": r.Page}
	})
	w.Header().Set("X-Total", strconv.Itoa(total))
	json.NewEncoder(w).Encode(shown)
}

func (f *Forge) gitlabPipeline(w http.ResponseWriter, id string) {
	for _, r := range f.reports {
		if r.Kind != source.Pipeline || strconv.FormatInt(r.ID, 10) != id {
			continue
		}
		group := r.State
		if r.Warnings && r.State == "success" {
			group = "success-with-warnings"
		}
		json.NewEncoder(w).Encode(map[string]any{
			"id": r.ID, "sha": r.Commit, "status": r.State, "web_url": r.Page, "detailed_status": map[string]string{"group": group},
		})
		return
	}
	refuse(w, http.StatusNotFound, "404 Not found")
}

func (f *Forge) giteaStatuses(w http.ResponseWriter, r *http.Request, commit string) {
	all, commit := f.of(commit, source.Status)
	shown, total := f.turned(r, "limit", 50, all, func(r Report) map[string]any {
		return map[string]any{
			"id": r.ID, "context": r.Name, "status": r.State, "target_url": r.Page,
			"url": "https://forge.example/api/v1/repos/" + f.Path + "/statuses/" + commit,
		}
	})
	w.Header().Set("X-Total-Count", strconv.Itoa(total))
	json.NewEncoder(w).Encode(shown)
}
