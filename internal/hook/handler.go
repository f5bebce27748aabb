package hook

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"windlass/internal/outbound"
	"windlass/internal/tries"
)

// Path is the only one that is served.
const Path = "/hooks/git"

const (
	mostBody    = 1 << 20 // bytes of a body
	mostSecrets = 8       // of the file: each is a digest to make of every body
)

// A Result is how a request was answered.
type Result string

// The results there are.
const (
	Accepted     Result = "accepted"      // it woke the agent
	BadSignature Result = "bad_signature" // it proved nothing
	Ignored      Result = "ignored"       // it proved who it is, and tells of no push
	TooLarge     Result = "too_large"
	RateLimited  Result = "rate_limited" // its address had failed too often
)

// Results are all of them.
func Results() []Result { return []Result{Accepted, BadSignature, Ignored, TooLarge, RateLimited} }

// Options are what a handler needs.
type Options struct {
	SecretFile string                 // of --webhook-secret-file, read at each request
	Wake       func()                 // called when there was a push; returns at once
	Observe    func(Provider, Result) // told of each request to Path
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
}

type handler struct {
	Options
	tries *tries.Tries
	tell  *rate.Sometimes // of what was refused
	blind *rate.Sometimes // of secrets that cannot be read: what strangers send must not hide that

	mu     sync.Mutex
	proven map[netip.Prefix]bool // addresses that a proven request came from
}

// New returns the handler. Its error says what to do about a file that holds no secrets.
func New(o Options) (http.Handler, error) {
	if _, err := outbound.Secrets(o.SecretFile, mostSecrets); err != nil {
		return nil, fmt.Errorf("%w; correct --webhook-secret-file", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &handler{Options: o, tries: tries.New(), tell: &rate.Sometimes{Interval: time.Minute}, blind: &rate.Sometimes{Interval: time.Minute}, proven: map[netip.Prefix]bool{}}, nil
}

// ServeHTTP answers one request, with one line.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path {
		refuse(w, "there is nothing here but "+Path, http.StatusNotFound)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, "webhooks are sent with POST", http.StatusMethodNotAllowed)
		return
	}
	from, d := tries.Address(r.RemoteAddr), dialectOf(r.Header)
	a := h.judge(w, r, from, d)
	h.note(a, from)
	h.Observe(d.provider, a.result)
	if a.result == Accepted {
		h.Wake()
	} else if a.guess {
		h.tell.Do(func() {
			h.Log.Warn("webhook refused; others within the next minute are counted and not told of", "provider", d.provider, "from", from.Addr(), "why", a.says)
		})
	}
	a.send(w)
}

// An answer is what becomes of a request.
type answer struct {
	status int
	result Result
	says   string
	wait   time.Duration // before trying again; 0: that it may
	guess  bool          // it counts against its address
}

// judge decides about a request. All that is known without the body comes first.
func (h *handler) judge(w http.ResponseWriter, r *http.Request, from netip.Prefix, d dialect) answer {
	if wait := h.wait(from); wait > 0 {
		return answer{status: http.StatusTooManyRequests, result: RateLimited, wait: wait,
			says: fmt.Sprintf("%d requests of this address within a minute proved nothing: try again in %.0f s", tries.Most, math.Ceil(wait.Seconds()))}
	}
	if r.ContentLength > mostBody {
		return tooLarge
	}
	if !isJSON(r.Header) {
		return answer{status: http.StatusUnsupportedMediaType, result: BadSignature, guess: true, says: "set the webhook's content type to application/json"}
	}
	c, err := d.claim(r.Header)
	if err == nil {
		err = c.fresh(h.Now())
	}
	if err != nil {
		return unproven(err.Error())
	}
	secrets, err := outbound.Secrets(h.SecretFile, mostSecrets)
	if err != nil {
		h.blind.Do(func() {
			h.Log.Warn("no webhook can be told from a forged one; correct the file of --webhook-secret-file", "error", err)
		})
		return answer{status: http.StatusServiceUnavailable, result: BadSignature, says: "the agent cannot read its secret: its log says why"}
	}
	right, err := c.proven(http.MaxBytesReader(w, r.Body, mostBody), secrets)
	switch large := new(http.MaxBytesError); {
	case errors.As(err, &large):
		return tooLarge
	case err != nil:
		return answer{status: http.StatusBadRequest, result: BadSignature, guess: true, says: "the body ended early, or took too long"}
	case !right:
		return unproven(c.header + " does not prove what was sent: give the webhook the secret that the agent has")
	case !d.tellsOfPush(r.Header):
		return answer{status: http.StatusOK, result: Ignored, says: "the secret is right; this tells of no push, and nothing is done"}
	}
	return answer{status: http.StatusAccepted, result: Accepted, says: "the deploy repo is looked at"}
}

var tooLarge = answer{status: http.StatusRequestEntityTooLarge, result: TooLarge, guess: true, says: "a webhook has 1 MB at most"}

func unproven(says string) answer {
	return answer{status: http.StatusUnauthorized, result: BadSignature, says: says, guess: true}
}

// isJSON reports whether the content is JSON by its header. A form is not signed as it is sent by every forge: Gitea signs the JSON within.
func isJSON(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")) // empty: it is none
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// wait is how long an address is not listened to. One that a proven request came from always is: it is the forge's, or a proxy's, and what others
// send from there must not keep the forge out. A request costs no more than making digests of what it sends.
func (h *handler) wait(from netip.Prefix) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proven[from] {
		return 0
	}
	return h.tries.Wait(from)
}

// mostProven is how many addresses are remembered: more than a forge sends from. Only who knows a secret adds one.
const mostProven = 1000

// note remembers what the answer says of an address.
func (h *handler) note(a answer, from netip.Prefix) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case a.guess:
		h.tries.Fail(from)
	case a.result == Accepted || a.result == Ignored:
		if len(h.proven) >= mostProven {
			clear(h.proven)
		}
		h.proven[from] = true
	}
}

func (a answer) send(w http.ResponseWriter) {
	if a.wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprintf("%.0f", math.Ceil(a.wait.Seconds())))
	}
	if a.status >= http.StatusBadRequest {
		refuse(w, a.says, a.status)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(a.status)
	fmt.Fprintln(w, a.says)
}

// refuse answers with an error, and closes the connection: its place is for others.
func refuse(w http.ResponseWriter, says string, status int) {
	w.Header().Set("Connection", "close")
	http.Error(w, says, status)
}
