package hook

import (
	"net/http"
	"slices"
)

// A Provider is the kind of who sends a webhook.
type Provider string

// The providers there are.
const (
	GitHub    Provider = "github"
	GitLab    Provider = "gitlab"
	Gitea     Provider = "gitea" // and Forgejo
	Bitbucket Provider = "bitbucket"
	Generic   Provider = "generic" // anybody else who signs
)

// Providers are all of them.
func Providers() []Provider { return []Provider{GitHub, GitLab, Gitea, Bitbucket, Generic} }

// A dialect is how a provider says what happened, and proves that it is the one who says so.
type dialect struct {
	provider Provider
	event    string   // header that names the event; a request with it is the provider's
	pushes   []string // events after which there may be a new commit; nil: every one
	claim    func(http.Header) (claim, error)
}

// dialects, the first that fits. Gitea sends the headers of GitHub as well, with other signatures (its source, services/webhook/deliver.go).
var dialects = []dialect{
	{Gitea, "X-Forgejo-Event", []string{"push"}, signedBy("X-Forgejo-Signature", "")},
	{Gitea, "X-Gitea-Event", []string{"push"}, signedBy("X-Gitea-Signature", "")},
	{GitLab, "X-Gitlab-Event", []string{"Push Hook", "Tag Push Hook", "System Hook"}, gitLabClaim},
	{Bitbucket, "X-Event-Key", []string{"repo:push", "repo:refs_changed", "pr:merged", "mirror:repo_synchronized"}, signedBy("X-Hub-Signature", "sha256=")},
	{GitHub, "X-Github-Event", []string{"push"}, signedBy("X-Hub-Signature-256", "sha256=")},
}

// generic is the dialect of whoever speaks none of the others.
var generic = dialect{provider: Generic, claim: signedBy("X-Windlass-Signature-256", "sha256=")}

func dialectOf(h http.Header) dialect {
	for _, d := range dialects {
		if h.Get(d.event) != "" {
			return d
		}
	}
	return generic
}

// tellsOfPush reports whether there may be a new commit. What a request's header says is taken for that alone.
func (d dialect) tellsOfPush(h http.Header) bool {
	return d.pushes == nil || slices.Contains(d.pushes, h.Get(d.event))
}
