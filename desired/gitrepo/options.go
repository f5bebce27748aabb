package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Defaults of Options.
const (
	DefaultBranch  = "main"
	DefaultPath    = "."
	DefaultDepth   = 100
	DefaultTimeout = 30 * time.Second
)

// Options say which repo is polled and how it is reached.
type Options struct {
	URL    string // https://, ssh://, user@host:path, file:// or a path; http:// without credentials
	Branch string // default DefaultBranch
	Path   string // directory in the repo that fleets/ is in; default DefaultPath

	Dir            string // where the accepted commit is kept; of this agent alone, made when it is missing
	ReadOnly       bool   // keep nothing in Dir, and do without what must not be read there
	AcceptRevision string // the commit (7 hex digits or more) whose rewritten history a person accepted; empty: none

	Verify string // VerifyNone or VerifySigned: which commits can be in force; default VerifyNone
	Trust  string // directory whose files say who may sign commits, in place of those of the repo; empty: those of the repo

	TokenFile  string // file of the password for https, read again at each connection; the user comes from URL, else "git"
	SSHKey     string // file of an unencrypted private key; empty: the agent at SSHAgent
	SSHAgent   string // socket of an ssh agent
	KnownHosts string // file; needed for ssh, read again at each connection

	Depth   int           // commits fetched when the head moved; default DefaultDepth
	Timeout time.Duration // of a listing, and of any silence in a transfer; default DefaultTimeout

	// Observe is told of each exchange with the server, which is one of Operations. It returns at once; nil: nobody is told.
	Observe func(operation string, took time.Duration, failed bool)
}

// What Options.Verify may be.
const (
	VerifyNone   = "none"
	VerifySigned = "signed" // commits that are signed by who may sign, and lead from one to the next
)

// Operations lists what is asked of a server: its references, the newest history, and all of it.
var Operations = [...]string{listing, fetching, cloning}

const (
	listing  = "list"
	fetching = "fetch"
	cloning  = "clone"
)

var (
	revisionPrefix = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	errNoURL       = errors.New("no deploy repo is named: give its URL with --repo")
)

// withDefaults fills what was left out and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	o.Branch = strings.TrimPrefix(orDefault(o.Branch, DefaultBranch), "refs/heads/")
	o.Path = path.Clean(orDefault(o.Path, DefaultPath))
	o.Depth = orDefault(o.Depth, DefaultDepth)
	o.Timeout = orDefault(o.Timeout, DefaultTimeout)
	o.Verify = orDefault(o.Verify, VerifyNone)
	o.AcceptRevision = strings.ToLower(o.AcceptRevision)
	switch {
	case o.URL == "":
		return o, errNoURL
	case o.Dir == "":
		return o, errors.New("no directory is named to keep the accepted commit in: give --state-dir")
	case o.Depth < 0 || o.Timeout < 0:
		return o, errors.New("a depth or a timeout cannot be negative")
	case !fs.ValidPath(o.Path):
		return o, fmt.Errorf("path %q is not inside the deploy repo: name a directory relative to its root", o.Path)
	case o.AcceptRevision != "" && !revisionPrefix.MatchString(o.AcceptRevision):
		return o, fmt.Errorf("--accept-revision %q is no commit: give 7 to 40 hex digits of its hash", o.AcceptRevision)
	}
	if err := o.checkVerify(); err != nil {
		return o, err
	}
	if err := plumbing.NewBranchReferenceName(o.Branch).Validate(); err != nil {
		return o, fmt.Errorf("--branch %q is no branch name: %w", o.Branch, err)
	}
	return o, nil
}

func (o Options) checkVerify() error {
	switch {
	case o.Verify != VerifyNone && o.Verify != VerifySigned:
		return fmt.Errorf("--verify %q is unknown: give none or signed", o.Verify)
	case o.Trust != "" && o.Verify == VerifyNone:
		return errors.New("--trust says who may sign commits, and none is verified: give --verify signed as well")
	case o.Trust != "":
		_, err := readTrust(o.Trust)
		return err
	}
	return nil
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// newRemote makes the remote that the options name. It connects nowhere. Its errors never quote the URL, which may hold a
// password that a malformed URL hides from redaction (G40).
func newRemote(o Options) (*remote, error) {
	acceptMultiACK()
	endpoint, err := transport.NewEndpoint(o.URL)
	if err != nil {
		return nil, errors.New("the deploy repo's URL cannot be read: use https://HOST/PATH, ssh://HOST/PATH or file:///PATH")
	}
	r := &remote{
		branch: o.Branch, timeout: o.Timeout, most: limits{largestHistory, largestCommits}, observe: o.Observe,
		secrets: secretsOf(*endpoint, "", o.TokenFile != ""), close: func() {},
	}
	r.name = publicName(*endpoint)
	switch endpoint.Protocol {
	case "https", "http":
		return r, r.useHTTP(*endpoint, o)
	case "ssh":
		return r, r.useSSH(*endpoint, o)
	case "file":
		return r, r.useFile(*endpoint)
	}
	return nil, fmt.Errorf("cannot read a deploy repo over %q: use https, ssh or file", endpoint.Protocol)
}

// acceptMultiACK lets go-git ask for multi_ack where a server offers it: AWS CodeCommit and Azure DevOps refuse clients that
// do not (G37). go-git cannot negotiate with it, but a fetch into an empty store has nothing to negotiate.
var acceptMultiACK = sync.OnceFunc(func() {
	transport.UnsupportedCapabilities = []capability.Capability{capability.ThinPack}
})

// publicName is the repo's URL without credentials. An ssh user is none; an http user or query may be a token.
func publicName(endpoint transport.Endpoint) string {
	endpoint.Password = ""
	switch endpoint.Protocol {
	case "http", "https":
		endpoint.User = ""
		endpoint.Path, _, _ = strings.Cut(endpoint.Path, "?")
	case "file":
		return endpoint.Path
	}
	return endpoint.String()
}

// secretsOf lists what must never be shown, in each spelling it may turn up in. A user alone may be a token, beside one it is none.
func secretsOf(endpoint transport.Endpoint, token string, tokenFile bool) []string {
	found := []string{endpoint.Password, token}
	if endpoint.Protocol != "ssh" && endpoint.Password == "" && !tokenFile {
		found = append(found, endpoint.User)
	}
	if _, query, asks := strings.Cut(endpoint.Path, "?"); asks && endpoint.Protocol != "ssh" {
		found = append(found, query)
	}
	var secrets []string
	for _, secret := range found {
		if secret != "" {
			secrets = append(secrets, secret, url.QueryEscape(secret), url.PathEscape(secret))
		}
	}
	return secrets
}

// needGit says early that file URLs are read by git itself.
func needGit() error {
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("a deploy repo on this machine's disk is read with git, which is not installed: install git, or name the repo by https or ssh")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
