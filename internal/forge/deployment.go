package forge

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
)

// A Deployment is something that is brought to an environment.
type Deployment struct {
	Commit      string
	Environment string
	Text        string
	Key         string // tells it from all others, also to who has lost its number
}

// A payload is what of a deployment only windlass reads.
type payload struct {
	Windlass string `json:"windlass"`
}

// Deploys reports whether the forge has deployments.
func (c *Client) Deploys() bool { return c.Host.Kind == GitHub }

// Deploy begins a deployment and returns its number. It merges nothing, and needs no status of the commit to be good: ours is not yet (GitHub's
// REST reference: auto_merge is true by default, and required_contexts are all, by which it would answer 409).
func (c *Client) Deploy(ctx context.Context, d Deployment) (int64, error) {
	body := map[string]any{
		"ref": d.Commit, "environment": d.Environment, "description": Shortened(d.Text, MostText),
		"auto_merge": false, "required_contexts": []string{}, "payload": payload{d.Key},
	}
	var made struct {
		ID int64 `json:"id"`
	}
	what := "begin a deployment of commit " + brief(d.Commit)
	if err := c.call(ctx, what, http.MethodPost, c.repository("deployments"), body, &made); err != nil {
		return 0, err
	}
	if made.ID == 0 {
		return 0, c.stranger(what)
	}
	return made.ID, nil
}

// FindDeployment returns the number of a deployment that may have begun; 0: it has not.
func (c *Client) FindDeployment(ctx context.Context, d Deployment) (int64, error) {
	at := c.repository("deployments")
	query := at.Query()
	query.Set("sha", d.Commit)
	query.Set("environment", d.Environment)
	query.Set("per_page", "100")
	at.RawQuery = query.Encode()
	var all []struct {
		ID      int64           `json:"id"`
		Payload json.RawMessage `json:"payload"` // anything, of others
	}
	if err := c.call(ctx, "look for the deployment of commit "+brief(d.Commit), http.MethodGet, at, nil, &all); err != nil {
		return 0, err
	}
	for _, one := range all {
		if keyOf(one.Payload) == d.Key {
			return one.ID, nil
		}
	}
	return 0, nil
}

// keyOf is the key in a payload, which GitHub gives back as it was, or as a text of it.
func keyOf(raw json.RawMessage) string {
	var p payload
	if json.Unmarshal(raw, &p) == nil {
		return p.Windlass
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && json.Unmarshal([]byte(text), &p) == nil {
		return p.Windlass
	}
	return ""
}

// deploymentWords are GitHub's for the states of a deployment.
var deploymentWords = map[State]string{Pending: "in_progress", Success: "success", Failure: "failure", Replaced: "inactive"}

// SetDeployment says how a deployment stands. One that is a success makes those before it in its environment inactive.
func (c *Client) SetDeployment(ctx context.Context, id int64, state State, text string) error {
	body := map[string]any{"state": deploymentWords[state], "description": Shortened(text, MostText), "auto_inactive": true}
	at := c.repository("deployments", strconv.FormatInt(id, 10), "statuses")
	return c.call(ctx, "set the status of deployment "+strconv.FormatInt(id, 10), http.MethodPost, at, body, nil)
}
