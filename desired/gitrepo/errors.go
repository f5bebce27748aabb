package gitrepo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// A Reason is why the repo could not be read: the label of windlass_git_errors_total.
type Reason string

// The reasons there are.
const (
	Auth        Reason = "auth"         // the server does not let us in
	HostKey     Reason = "host_key"     // the SSH server is not one that known_hosts knows, or a certificate is not trusted
	Timeout     Reason = "timeout"      // no answer in time
	Network     Reason = "network"      // not reachable, cut off, or a server's own failure (HTTP 5xx)
	RateLimited Reason = "rate_limited" // asked too often
	NotFound    Reason = "not_found"    // no such repo, no such branch, or nothing in it
	Corrupt     Reason = "corrupt"      // what arrived is no git
	Other       Reason = "other"
)

// Reasons returns every Reason, for counters that must exist before the first error.
func Reasons() []Reason {
	return []Reason{Auth, HostKey, Timeout, Network, RateLimited, NotFound, Corrupt, Other}
}

// An Error is why the repo could not be read. It holds text only: whatever the transport's own error knew of credentials is
// gone from it (G40).
type Error struct {
	Reason Reason
	text   string
}

// Error is one line without credentials and control characters.
func (e *Error) Error() string { return e.text }

// failure is an error whose reason the place that found it knows best.
type failure struct {
	reason Reason
	err    error
	here   bool // on this machine: the repo itself was read
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(reason Reason, format string, args ...any) error {
	return &failure{reason: reason, err: fmt.Errorf(format, args...)}
}

// httpStatus is an answer that is no success.
type httpStatus struct {
	code    int
	limited bool // the server says when to come back
}

func (s *httpStatus) Error() string {
	text := fmt.Sprintf("the server answered %d %s", s.code, http.StatusText(s.code))
	switch s.reason() {
	case Auth:
		return text + ": check that the token is valid and may read the repo, and for a push write to it"
	case NotFound:
		return text + ": check the URL, and that the token may read the repo"
	}
	return text
}

func (s *httpStatus) reason() Reason {
	switch {
	case s.code == http.StatusTooManyRequests, s.limited:
		return RateLimited
	case s.code == http.StatusUnauthorized, s.code == http.StatusForbidden:
		return Auth
	case s.code == http.StatusNotFound, s.code == http.StatusGone:
		return NotFound
	case s.code >= http.StatusInternalServerError:
		return Network
	}
	return Other
}

// reasonOf tells why err happened. It falls back on texts where x/crypto and git say nothing better.
func reasonOf(err error) Reason {
	var known *failure
	var status *httpStatus
	var revoked *xknownhosts.RevokedError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &known):
		return known.reason
	case errors.As(err, &status):
		return status.reason()
	case knownhosts.IsHostKeyChanged(err), knownhosts.IsHostUnknown(err), errors.As(err, &revoked):
		return HostKey
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), strings.Contains(err.Error(), os.ErrDeadlineExceeded.Error()):
		return Timeout
	case errors.Is(err, transport.ErrRepositoryNotFound), errors.Is(err, transport.ErrEmptyRemoteRepository):
		return NotFound
	case errors.Is(err, plumbing.ErrObjectNotFound), isPackError(err):
		return Corrupt
	}
	return reasonByText(err)
}

func isPackError(err error) bool {
	for _, target := range []error{
		packfile.ErrEmptyPackfile, packfile.ErrInvalidDelta, packfile.ErrReferenceDeltaNotFound, plumbing.ErrInvalidType,
		packfile.ErrDeltaCmd, packfile.ErrInflatedSizeMismatch,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var scan *packfile.Error
	return errors.As(err, &scan)
}

func reasonByText(err error) Reason {
	var operation *net.OpError
	text := strings.ToLower(err.Error())
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("host key", "no authorities for hostname"):
		return HostKey
	case has("unable to authenticate", "permission denied", "access denied", "no supported methods"):
		return Auth
	case has("not found", "does not exist", "does not appear to be a git repository", "no such repository"):
		return NotFound
	case has("not our ref"): // rewritten between listing and pack; the next poll looks again
		return Other
	case errors.As(err, &operation), has("eof", "connection reset", "broken pipe", "closed network connection"):
		return Network
	case has("malformed", "unexpected", "invalid", "empty input", "pkt-line", "zlib", "checksum"):
		return Corrupt
	}
	return Other
}

// flatten makes the causes visible to errors.As that go-git hides: its UnexpectedError does not unwrap.
func flatten(err error) error {
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) {
		return flatten(unexpected.Err)
	}
	var requested *url.Error // "Get URL: cause": the caller says which repo it is
	if errors.As(err, &requested) {
		return requested.Err
	}
	return err
}

// advise says what to do about what people meet most.
func advise(err error) error {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return fail(HostKey, "%w: check the URL, or add its authority to those this machine trusts (SSL_CERT_FILE)", err)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fail(NotFound, "there is no git repository: check the URL")
	}
	return err
}

// noGit says of a listing that cannot be understood that it is none: most often a web page.
func noGit(err error) error {
	if strings.Contains(err.Error(), "object-format=sha256") {
		return fail(Other, "it is a SHA-256 repository, which windlass cannot read: make it one of SHA-1")
	}
	if reasonOf(flatten(err)) == Corrupt {
		return fail(Corrupt, "what answers there is no git server (%w): check the URL", err)
	}
	return err
}

// sourceAddress is our own end of a connection: another port at each try, so that the same trouble never reads the same.
var sourceAddress = regexp.MustCompile(`(\[[0-9a-fA-F:.%]+\]|[0-9.]+):\d+->`)

const longestText = 600

// explain makes an *Error of err: what was tried, why it failed, nothing secret (G40), nothing that a terminal obeys.
func (r *remote) explain(err error) *Error { return r.explainAs("read", err) }

// explainAs is explain of something else that was tried with the repo.
func (r *remote) explainAs(tried string, err error) *Error {
	err = advise(flatten(err))
	text := sourceAddress.ReplaceAllString(err.Error(), "")
	var known *failure
	if !errors.As(err, &known) || !known.here {
		text = fmt.Sprintf("cannot %s %s: %s", tried, r.name, text)
	}
	return &Error{Reason: reasonOf(err), text: r.redact(text)}
}

func (r *remote) redact(text string) string {
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return ' '
		}
		return c
	}, text)
	if len(text) > longestText {
		text = strings.ToValidUTF8(text[:longestText], "") + "…"
	}
	return text
}
