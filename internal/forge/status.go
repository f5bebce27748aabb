package forge

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// MostStatuses is how many statuses a commit can have of one context at GitHub (REST reference, "Commit statuses"); after that each is refused.
const MostStatuses = 1000

// MostText is how many characters a description may have.
const MostText = 140

// A State is what a commit status or a deployment says at a glance.
type State string

// The states there are.
const (
	Pending  State = "pending" // of a deployment: in progress
	Success  State = "success"
	Failure  State = "failure"
	Replaced State = "replaced" // by something newer, before it came to an end
)

// A Status is what a commit says in one context.
type Status struct {
	Commit  string
	Context string
	State   State
	Text    string // at most MostText characters are shown
}

// words are the forges' own for the states of a commit.
var words = map[Kind]map[State]string{
	GitHub: {Pending: "pending", Success: "success", Failure: "failure", Replaced: "error"},
	Gitea:  {Pending: "pending", Success: "success", Failure: "failure", Replaced: "error"},
	GitLab: {Pending: "running", Success: "success", Failure: "failed", Replaced: "canceled"},
}

// Retells reports whether a status can be given another text in the same state. GitLab refuses that.
func (c *Client) Retells() bool { return c.Host.Kind != GitLab }

// SetStatus makes a commit say something. What it says already is no error.
func (c *Client) SetStatus(ctx context.Context, s Status) error {
	body := map[string]string{"state": words[c.Host.Kind][s.State], "description": Shortened(s.Text, MostText)}
	name := "context"
	if c.Host.Kind == GitLab {
		name = "name"
	}
	body[name] = s.Context
	err := c.call(ctx, "set the status of commit "+brief(s.Commit), http.MethodPost, c.repository("statuses", s.Commit), body, nil)
	var refused *Refusal
	if c.Host.Kind == GitLab && errors.As(err, &refused) && refused.Status == http.StatusBadRequest && strings.Contains(refused.Says, "Cannot transition status via") {
		return nil // it has that state (GitLab's spec/requests/api/commit_statuses_spec.rb); only its text is older
	}
	return err
}

func brief(revision string) string { return revision[:min(len(revision), 7)] }
