package forge

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Request asks people to merge a branch: a pull request, at GitLab a merge request.
type Request struct {
	Branch string
	Into   string
	Title  string
	Body   string // Markdown
}

// A page is a request as forges tell of it.
type page struct {
	HTMLURL string `json:"html_url"`
	Head    side   `json:"head"`
	Base    side   `json:"base"`

	WebURL string `json:"web_url"` // GitLab's, as are the next
	Source int64  `json:"source_project_id"`
	Target int64  `json:"target_project_id"`
}

// A side of a request is a branch of a repository.
type side struct {
	Ref  string   `json:"ref"`
	Repo struct { // null, once it is gone
		ID int64 `json:"id"`
	} `json:"repo"`
}

// foreign reports whether the branch is of another repository than it is to be merged into: anybody can name one in a fork as ours is named.
func (p page) foreign() bool { return p.Head.Repo.ID != p.Base.Repo.ID || p.Source != p.Target }

func (p page) url() string {
	if p.WebURL != "" {
		return p.WebURL
	}
	return p.HTMLURL
}

// mostTitle is how many characters every forge takes as a title: GitLab 255, GitHub 256.
const mostTitle = 255

// Open opens a request, and returns the address of its page.
func (c *Client) Open(ctx context.Context, r Request) (string, error) {
	r.Title = Shortened(r.Title, mostTitle)
	kind, body := "pulls", map[string]any{"title": r.Title, "head": r.Branch, "base": r.Into, "body": r.Body}
	if c.Host.Kind == GitLab {
		kind, body = "merge_requests", map[string]any{
			"title": r.Title, "source_branch": r.Branch, "target_branch": r.Into, "description": r.Body, "remove_source_branch": true,
		}
	}
	var made page
	err := c.call(ctx, "open a pull request for branch "+r.Branch, http.MethodPost, c.repository(kind), body, &made)
	if err != nil {
		return "", err
	}
	return c.checked(made)
}

// FindOpen returns the page of the open request that asks to merge one branch into another; empty: there is none.
func (c *Client) FindOpen(ctx context.Context, branch, into string) (string, error) {
	query := url.Values{}
	kind := "pulls"
	switch c.Host.Kind {
	case Gitea: // which has no list by branch
		return c.findListed(ctx, branch, into)
	case GitLab:
		kind = "merge_requests"
		query.Set("state", "opened")
		query.Set("source_branch", branch)
		query.Set("target_branch", into)
	default:
		owner, _, _ := strings.Cut(c.Place.Path, "/")
		query.Set("state", "open")
		query.Set("head", owner+":"+branch)
		query.Set("base", into)
	}
	at := c.repository(kind)
	at.RawQuery = query.Encode()
	var all []page
	if err := c.call(ctx, looking, http.MethodGet, at, nil, &all); err != nil {
		return "", err
	}
	if all = slices.DeleteFunc(all, page.foreign); len(all) == 0 {
		return "", nil
	}
	return c.checked(all[0])
}

const looking = "look for a pull request"

// findListed looks through the open requests, the newest first, as far as it is reasonable.
func (c *Client) findListed(ctx context.Context, branch, into string) (string, error) {
	const perPage, mostPages = 50, 10
	for n := 1; n <= mostPages; n++ {
		at := c.repository("pulls")
		at.RawQuery = url.Values{"state": {"open"}, "limit": {strconv.Itoa(perPage)}, "page": {strconv.Itoa(n)}}.Encode()
		var all []page
		if err := c.call(ctx, looking, http.MethodGet, at, nil, &all); err != nil {
			return "", err
		}
		for _, one := range all {
			if one.Head.Ref == branch && one.Base.Ref == into && !one.foreign() {
				return c.checked(one)
			}
		}
		if len(all) == 0 { // a page may be shorter than what is asked for, by the server's own settings
			break
		}
	}
	return "", nil
}

// checked is the address of a request's page, where it is one.
func (c *Client) checked(p page) (string, error) {
	at, err := url.Parse(p.url())
	if err != nil || at.Host == "" || at.User != nil || at.Scheme != "https" && at.Scheme != "http" {
		return "", &Refusal{Rights: true, Says: "what " + c.Host.Name + " answers names no page of a pull request: correct api in the file of --forges"}
	}
	return at.String(), nil
}
