package forge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"windlass/internal/outbound"
	"windlass/internal/redact"
)

// A Client reads from and writes to one repository of a forge. Its methods make one attempt each, and may be called side by side. Their errors are a
// *Refusal where the forge answered.
type Client struct {
	Host  Host
	Place Place
	http  *outbound.Client
	api   *url.URL
	now   func() time.Time
	kept  kept
}

// mostAnswer is how many bytes an answer may have: a hundred check runs, each with a summary of 64 KiB, are the most that is asked for.
const mostAnswer = 16 << 20

// NewClient makes a client of the repository at a place. It connects nowhere. The error says what is wrong with the host's file of authorities, or with the place.
func NewClient(host Host, place Place) (*Client, error) {
	if parts := strings.Count(place.Path, "/") + 1; parts != 2 && host.Kind == GitHub {
		return nil, fmt.Errorf("%s is no repository of a GitHub: its address is %s/OWNER/NAME", place, place.site())
	}
	api, err := outbound.ParseURL(host.API)
	if err != nil {
		return nil, fmt.Errorf("forge %s: %w", host.Name, err)
	}
	c, err := outbound.New(outbound.Options{CAFile: host.CAFile, Body: mostAnswer})
	if err != nil {
		return nil, fmt.Errorf("forge %s: %w", host.Name, err)
	}
	return &Client{Host: host, Place: place, http: c, api: api, now: time.Now}, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.Close() }

// A Refusal is an answer that is no success.
type Refusal struct {
	Status int
	Says   string        // one line: what was asked, what the forge said, what to do
	Wait   time.Duration // how long it wants to be left alone: after too many requests a minute where it does not say (GitHub's docs), else 0
	Busy   bool          // it would have been done at another time: too many requests, or a fault of the forge
	Rights bool          // the token, or where it is used, is not right: asking again helps once somebody has changed that
}

func (r *Refusal) Error() string { return r.Says }

// Final reports whether asking for the same again is of no use.
func (r *Refusal) Final() bool { return !r.Busy && !r.Rights }

// repository is the address of the repository in the API.
func (c *Client) repository(parts ...string) *url.URL {
	path := strings.Split(c.Place.Path, "/")
	if c.Host.Kind == GitLab {
		return c.under(append([]string{"projects", c.Place.Path}, parts...))
	}
	return c.under(append([]string{"repos", path[len(path)-2], path[len(path)-1]}, parts...)) // a Gitea may live below another path
}

// under is an address below the API's; each part is one, whatever is in it.
func (c *Client) under(parts []string) *url.URL {
	at := *c.api
	base := strings.TrimSuffix(at.EscapedPath(), "/")
	for _, part := range parts {
		base += "/" + url.PathEscape(part)
	}
	at.RawPath = base
	at.Path, _ = url.PathUnescape(base) // of what was escaped just now
	return &at
}

// call asks for something, and decodes the answer, which is an object at least: a login page says that all is well, too.
func (c *Client) call(ctx context.Context, what, method string, at *url.URL, body, into any) error {
	answer, err := c.ask(ctx, what, outbound.Request{Method: method, URL: at.String()}, body)
	if err != nil {
		return err
	}
	if into == nil {
		into = new(struct{})
	}
	return c.decode(what, answer, into)
}

// decode reads the first value of an answer.
func (c *Client) decode(what string, answer outbound.Answer, into any) error {
	if err := json.NewDecoder(bytes.NewReader(answer.Body)).Decode(into); err != nil {
		return c.stranger(what)
	}
	return nil
}

// ask makes a request with the token, and with a body as JSON unless it is nil. An answer that is no success is an error, but for the one that says that
// what is known is true still (RFC 9110, section 15.4.5).
func (c *Client) ask(ctx context.Context, what string, request outbound.Request, body any) (outbound.Answer, error) {
	token, err := c.token()
	if err != nil {
		return outbound.Answer{}, err
	}
	conditional := request.Header.Get("If-None-Match") != ""
	request.Header, request.Secrets = c.header(token, request.Header), []string{token}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		if request.Body, err = json.Marshal(body); err != nil {
			return outbound.Answer{}, err
		}
	}
	answer, err := c.http.Do(ctx, request)
	if err != nil {
		return answer, fmt.Errorf("cannot %s: %w", what, err)
	}
	if answer.OK() || conditional && answer.Status == http.StatusNotModified {
		return answer, nil
	}
	return answer, c.refused(what, token, answer)
}

// header is that of a request, with what the kind wants and what else is given.
func (c *Client) header(token string, given http.Header) http.Header {
	header := http.Header{"Accept": {"application/json"}, "User-Agent": {"windlass"}}
	switch c.Host.Kind {
	case GitHub:
		header.Set("Accept", "application/vnd.github+json")
		header.Set("X-GitHub-Api-Version", "2022-11-28")
		header.Set("Authorization", "Bearer "+token)
	case GitLab:
		header.Set("PRIVATE-TOKEN", token)
	case Gitea:
		header.Set("Authorization", "token "+token)
	}
	maps.Copy(header, given)
	return header
}

// stranger is the refusal of who is no forge of the kind.
func (c *Client) stranger(what string) *Refusal {
	return &Refusal{Rights: true, Says: fmt.Sprintf("cannot %s: what %s answers is no %s: correct api in the file of --forges", what, c.Host.Name, c.Host.Kind)}
}

func (c *Client) token() (string, error) {
	token, err := outbound.Secret(c.Host.TokenFile)
	if err != nil {
		return "", &Refusal{Rights: true, Says: fmt.Sprintf("cannot read the token for %s: %v", c.Host.Name, err)}
	}
	return token, nil
}

// refused makes of an answer why nothing was done.
func (c *Client) refused(what, token string, answer outbound.Answer) *Refusal {
	said := Shortened(strings.ReplaceAll(reason(answer.Body), token, redact.Mark), 300)
	r := &Refusal{Status: answer.Status, Wait: wait(answer, c.now())}
	limited := r.Wait > 0 || answer.Header.Get("X-RateLimit-Remaining") == "0" || strings.Contains(strings.ToLower(said), "rate limit")
	advice := ""
	switch {
	case answer.Status == http.StatusTooManyRequests, answer.Status == http.StatusForbidden && limited:
		r.Busy, r.Wait = true, cmp.Or(r.Wait, time.Minute)
	case answer.Status >= http.StatusInternalServerError, answer.Status == http.StatusRequestTimeout:
		r.Busy = true
	case answer.Status == http.StatusUnauthorized:
		r.Rights, advice = true, "; give a token that is valid in "+c.Host.TokenFile
	case answer.Status == http.StatusForbidden, answer.Status == http.StatusNotFound:
		r.Rights, advice = true, "; check that the token of "+c.Host.TokenFile+" may do that there"+needed(answer.Header)
	case answer.Status/100 == 3:
		r.Rights, advice = true, "; it sends on to another place: correct api, or the deploy repo's URL"
	}
	r.Says = fmt.Sprintf("cannot %s: %s answers %d %s%s", what, c.Place, answer.Status, orText(said, answer.Status), advice)
	return r
}

func orText(said string, status int) string {
	if said == "" {
		return http.StatusText(status)
	}
	return said
}

// needed is which rights GitHub says that there must be, which it does to tokens that have some but not those (its docs, "Insufficient permission errors").
func needed(header http.Header) string {
	if rights := redact.Line(header.Get("X-Accepted-GitHub-Permissions")); rights != "" {
		return " (" + Shortened(rights, 100) + ")"
	}
	return ""
}

// wait is how long a forge asks to be left alone: Retry-After, else, when no request is left, until its x-ratelimit-reset (GitHub's docs; RateLimit-Reset at GitLab).
func wait(answer outbound.Answer, now time.Time) time.Duration {
	if asked := outbound.RetryAfter(answer.Header, now); asked > 0 {
		return asked
	}
	for _, name := range []string{"X-RateLimit-", "RateLimit-"} {
		reset, err := strconv.ParseInt(answer.Header.Get(name+"Reset"), 10, 64)
		if err == nil && answer.Header.Get(name+"Remaining") == "0" {
			return min(time.Hour, max(time.Second, time.Unix(reset, 0).Sub(now)))
		}
	}
	return 0
}

// reason is what a forge says of a refusal, in one line: {"message": …, "errors": […]}, where GitLab's message may be anything, or {"error": …}.
func reason(body []byte) string {
	var told struct {
		Message, Error any
		Errors         []any
	}
	if json.Unmarshal(body, &told) != nil {
		return ""
	}
	var parts []string
	for _, part := range append([]any{told.Message, told.Error}, told.Errors...) {
		switch v := part.(type) {
		case nil:
		case string:
			parts = append(parts, v)
		case map[string]any:
			if text, ok := v["message"].(string); ok {
				parts = append(parts, text)
				continue
			}
			parts = append(parts, flat(v))
		default:
			parts = append(parts, flat(v))
		}
	}
	return redact.Line(strings.Join(parts, "; "))
}

func flat(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// Shortened is a text of at most so many characters.
func Shortened(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
