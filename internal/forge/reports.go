package forge

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"

	"windlass/desired/source"
	"windlass/internal/outbound"
	"windlass/internal/redact"
)

// statusWords are the words that forges have for the state of a status, and GitLab for that of a job and a pipeline. A job that waits for a person to start
// it (manual) is pending; one that was skipped tells nothing, and is not green; nor is a warning of Gitea's.
var statusWords = map[Kind]map[string]source.CheckState{
	GitHub: {"success": source.CheckGreen, "pending": source.CheckPending, "failure": source.CheckRed, "error": source.CheckRed},
	Gitea: {
		"success": source.CheckGreen, "pending": source.CheckPending,
		"failure": source.CheckRed, "error": source.CheckRed, "warning": source.CheckRed, "skipped": source.CheckRed,
	},
	GitLab: {
		"success": source.CheckGreen,
		"created": source.CheckPending, "waiting_for_resource": source.CheckPending, "waiting_for_callback": source.CheckPending,
		"preparing": source.CheckPending, "pending": source.CheckPending, "running": source.CheckPending, "manual": source.CheckPending,
		"scheduled": source.CheckPending, "canceling": source.CheckPending,
		"failed": source.CheckRed, "canceled": source.CheckRed, "skipped": source.CheckRed,
	},
}

// runWords are GitHub's for how a check run stands, and how it ended.
var runWords = map[string]source.CheckState{
	"queued": source.CheckPending, "in_progress": source.CheckPending, "waiting": source.CheckPending, "requested": source.CheckPending,
	"pending": source.CheckPending,
	"success": source.CheckGreen, "neutral": source.CheckNeutral,
	"failure": source.CheckRed, "cancelled": source.CheckRed, "timed_out": source.CheckRed, "action_required": source.CheckRed,
	"skipped": source.CheckRed, "stale": source.CheckRed, "startup_failure": source.CheckRed,
}

// pipelineWords are GitLab's for how a pipeline stands that is a success by its plainer word: one with a job that was allowed to fail, and did, is less.
var pipelineWords = map[string]source.CheckState{"success": source.CheckGreen, "success-with-warnings": source.CheckNeutral}

// reading is what Checks does, for errors.
func reading(commit string) string { return "read the checks of commit " + brief(commit) }

// otherCommit is the refusal of an answer that speaks of another commit than the one it was asked about.
func (c *Client) otherCommit(commit, told string) *Refusal {
	return c.untold(reading(commit), "answers about commit %s instead", Shortened(redact.Line(told), 80))
}

// listed decodes an answer that is a list, and not null.
func listed[T any](c *Client, commit string, answer outbound.Answer) ([]T, error) {
	var told []T
	if err := c.decode(reading(commit), answer, &told); err != nil {
		return nil, err
	}
	if told == nil {
		return nil, c.stranger(reading(commit))
	}
	return told, nil
}

// githubReports reads the newest status of each context, and all check runs of each name. Those that began again have not ended, so what GitHub calls
// the latest, by the time they ended, will not do.
func (c *Client) githubReports(ctx context.Context, commit string, names []string) ([]report, error) {
	all, err := c.list(ctx, reading(commit), c.repository("commits", commit, "status"), "per_page", c.githubStatuses(commit))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		at := c.repository("commits", commit, "check-runs")
		at.RawQuery = url.Values{"check_name": {name}, "filter": {"all"}}.Encode()
		runs, err := c.list(ctx, reading(commit), at, "per_page", c.githubRuns(commit))
		if err != nil { // GitHub's page of fine-grained tokens has no such right, whatever its reference says (rest-api-description, issue 4290)
			return nil, also(err, http.StatusForbidden, ": a fine-grained one cannot read check runs, give a classic one with scope repo or that of a GitHub App")
		}
		all = append(all, runs...)
	}
	return all, nil
}

func (c *Client) githubStatuses(commit string) reader {
	return func(answer outbound.Answer) (portion, error) {
		var told struct {
			SHA      string `json:"sha"`
			Total    int    `json:"total_count"`
			Statuses []struct {
				ID      int64  `json:"id"`
				Context string `json:"context"`
				State   string `json:"state"`
				Target  string `json:"target_url"`
			} `json:"statuses"`
		}
		if err := c.decode(reading(commit), answer, &told); err != nil {
			return portion{}, err
		}
		switch {
		case told.Statuses == nil || told.SHA == "":
			return portion{}, c.stranger(reading(commit))
		case told.SHA != commit:
			return portion{}, c.otherCommit(commit, told.SHA)
		}
		page := portion{total: told.Total}
		for _, s := range told.Statuses {
			page.reports = append(page.reports, made(s.ID, source.Status, s.Context, "", s.State, statusWords[GitHub], s.Target))
		}
		return page, nil
	}
}

func (c *Client) githubRuns(commit string) reader {
	return func(answer outbound.Answer) (portion, error) {
		var told struct {
			Total int `json:"total_count"`
			Runs  []struct {
				ID         int64  `json:"id"`
				Head       string `json:"head_sha"`
				Name       string `json:"name"`
				Status     string `json:"status"`
				Conclusion string `json:"conclusion"`
				Page       string `json:"html_url"`
				App        struct {
					Slug string `json:"slug"`
				} `json:"app"`
			} `json:"check_runs"`
		}
		if err := c.decode(reading(commit), answer, &told); err != nil {
			return portion{}, err
		}
		if told.Runs == nil {
			return portion{}, c.stranger(reading(commit))
		}
		page := portion{total: told.Total}
		for _, r := range told.Runs {
			if r.Head != commit {
				return portion{}, c.otherCommit(commit, r.Head)
			}
			page.reports = append(page.reports, made(r.ID, source.CheckRun, r.Name, r.App.Slug, endOf(r.Status, r.Conclusion), runWords, r.Page))
		}
		return page, nil
	}
}

// endOf is the word that counts of a run: how it ended, once it has.
func endOf(status, conclusion string) string {
	if status == "completed" {
		return conclusion
	}
	return status
}

// pipelineName is what a pipeline as a whole is asked for by.
const pipelineName = "pipeline"

// gitlabReports reads the statuses of each name, which jobs have as well as what others set; of those that were tried again it shows the last. The
// pipeline is read where its name is asked for.
func (c *Client) gitlabReports(ctx context.Context, commit string, names []string) ([]report, error) {
	var all []report
	for _, name := range names {
		at := c.repository("repository", "commits", commit, "statuses")
		at.RawQuery = url.Values{"name": {name}}.Encode()
		statuses, err := c.list(ctx, reading(commit), at, "per_page", c.gitlabStatuses(commit))
		if err != nil {
			return nil, err
		}
		all = append(all, statuses...)
	}
	if !slices.Contains(names, pipelineName) {
		return all, nil
	}
	pipelines, err := c.newestPipeline(ctx, commit)
	return append(all, pipelines...), err
}

func (c *Client) gitlabStatuses(commit string) reader {
	return func(answer outbound.Answer) (portion, error) {
		told, err := listed[struct {
			ID     int64  `json:"id"`
			SHA    string `json:"sha"`
			Name   string `json:"name"`
			Status string `json:"status"`
			Target string `json:"target_url"`
		}](c, commit, answer)
		if err != nil {
			return portion{}, err
		}
		page := portion{total: counted(answer.Header, "X-Total")}
		for _, s := range told {
			if s.SHA != commit {
				return portion{}, c.otherCommit(commit, s.SHA)
			}
			page.reports = append(page.reports, made(s.ID, source.Status, s.Name, "", s.Status, statusWords[GitLab], s.Target))
		}
		return page, nil
	}
}

// A pipeline as GitLab tells of it.
type pipeline struct {
	ID       int64  `json:"id"`
	SHA      string `json:"sha"`
	Status   string `json:"status"`
	Page     string `json:"web_url"`
	Detailed struct {
		Group string `json:"group"`
	} `json:"detailed_status"`
}

// newestPipeline reads the newest pipeline of a commit, if there is one, and of one that is a success how much of one.
func (c *Client) newestPipeline(ctx context.Context, commit string) ([]report, error) {
	at := c.repository("pipelines")
	at.RawQuery = url.Values{"sha": {commit}, "order_by": {"id"}, "sort": {"desc"}, "per_page": {"1"}}.Encode()
	page, err := c.portion(ctx, reading(commit), at.String(), func(answer outbound.Answer) (portion, error) {
		told, err := listed[pipeline](c, commit, answer)
		if err != nil || len(told) == 0 {
			return portion{}, err
		}
		return c.pipelineReport(commit, told[0], statusWords[GitLab], told[0].Status)
	})
	if err != nil || len(page.reports) == 0 || page.reports[0].State != source.CheckGreen {
		return page.reports, err
	}
	at = c.repository("pipelines", strconv.FormatInt(page.reports[0].id, 10))
	page, err = c.portion(ctx, reading(commit), at.String(), func(answer outbound.Answer) (portion, error) {
		var told pipeline
		if err := c.decode(reading(commit), answer, &told); err != nil {
			return portion{}, err
		}
		if told.Status != "success" { // since a moment ago
			return c.pipelineReport(commit, told, statusWords[GitLab], told.Status)
		}
		return c.pipelineReport(commit, told, pipelineWords, told.Detailed.Group)
	})
	return page.reports, err
}

func (c *Client) pipelineReport(commit string, p pipeline, words map[string]source.CheckState, word string) (portion, error) {
	if p.SHA != commit {
		return portion{}, c.otherCommit(commit, p.SHA)
	}
	return portion{reports: []report{made(p.ID, source.Pipeline, pipelineName, "", word, words, p.Page)}}, nil
}

// giteaReports reads the statuses of a commit, the newest first. They are asked for by hash rather than by reference, which could be a branch's name; and
// not as a combined status, of which some versions leave the list out.
func (c *Client) giteaReports(ctx context.Context, commit string, _ []string) ([]report, error) {
	at := c.repository("statuses", commit)
	at.RawQuery = "sort=highestindex"
	return c.list(ctx, reading(commit), at, "limit", func(answer outbound.Answer) (portion, error) {
		told, err := listed[struct {
			ID      int64  `json:"id"`
			URL     string `json:"url"` // in the API; it ends with the commit
			Context string `json:"context"`
			Status  string `json:"status"`
			Target  string `json:"target_url"`
		}](c, commit, answer)
		if err != nil {
			return portion{}, err
		}
		page := portion{total: counted(answer.Header, "X-Total-Count")}
		for _, s := range told {
			if of := path.Base(s.URL); s.URL != "" && of != commit {
				return portion{}, c.otherCommit(commit, of)
			}
			page.reports = append(page.reports, made(s.ID, source.Status, s.Context, "", s.Status, statusWords[Gitea], s.Target))
		}
		return page, nil
	})
}
