package access

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/crypto/bcrypt"

	"windlass/internal/tries"
)

// A User is who makes a request. The zero User is nobody, and may change nothing.
type User struct {
	Name      string // empty: the file names no users
	MayChange bool   // false: a reader
}

type userKey struct{}

// Who is the user that a gate let through with a request of this context.
func Who(ctx context.Context) User {
	u, _ := ctx.Value(userKey{}).(User)
	return u
}

// errTakenOut is why requests of a user end.
var errTakenOut = errors.New("the agent knows you no more, or with another password or other rights")

// Check passes on requests of those who said who they are, and answers the others itself. A request ends when the user is taken out
// of the file, or given another password or other rights there.
func (g *Gate) Check(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, refused := g.admit(r)
		if refused != nil {
			refused.answer(w)
			return
		}
		ctx, end := context.WithCancelCause(context.WithValue(r.Context(), userKey{}, a.User))
		defer end(nil)
		defer context.AfterFunc(a.inForce, func() { end(errTakenOut) })()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Headers adds the headers that the file names to every answer.
func (g *Gate) Headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range g.inForce.Load().headers {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

// admit returns whose request it is, or why it is refused.
func (g *Gate) admit(r *http.Request) (*account, *refusal) {
	now := g.inForce.Load()
	if now.trust != nil && !now.trust.accepts(r.TLS) {
		return nil, &refusal{status: http.StatusUnauthorized, says: "the client certificate of this connection is not accepted any more: connect again"}
	}
	if now.everyone != nil {
		return now.everyone, nil
	}
	name, password, given := r.BasicAuth()
	if !given {
		return nil, &refusal{status: http.StatusUnauthorized, says: "say who you are: give user and password", ask: true}
	}
	from := tries.Address(r.RemoteAddr)
	if wait := g.tries.Wait(from); wait > 0 {
		return nil, tooMany(wait)
	}
	return g.prove(r.Context(), now, name, password, from)
}

// prove finds the account that name and password are of. What was right before is not hashed again. A name that is no account's is
// hashed like one that is, so that the time it takes tells nothing about it.
func (g *Gate) prove(ctx context.Context, now *version, name, password string, from netip.Prefix) (*account, *refusal) {
	of, known := now.accounts[name]
	if !known {
		of = now.accounts[now.names[g.proofs.pick(name, len(now.names))]]
	}
	right := g.proofs.of(name, of.hash, password)
	if known && g.proofs.has(right) {
		return of, nil
	}
	if busy := g.turn(ctx); busy != nil {
		return nil, busy
	}
	defer func() { <-g.hashing }()
	if known && g.proofs.has(right) { // by a request that came along with this one
		return of, nil
	}
	if wait := g.tries.Wait(from); wait > 0 {
		return nil, tooMany(wait)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(of.hash), []byte(password)); err != nil || !known {
		g.tries.Fail(from)
		return nil, &refusal{status: http.StatusUnauthorized, says: "wrong user or password", ask: true}
	}
	g.proofs.add(right)
	return of, nil
}

// patience is how long a request waits for its turn to be hashed.
const patience = 10 * time.Second

// turn waits until nobody else hashes: guessing costs the machine one processor at most.
func (g *Gate) turn(ctx context.Context) *refusal {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case g.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
	case <-late.C:
	}
	return &refusal{status: http.StatusServiceUnavailable, says: "too many are being asked for their passwords: try again", retry: time.Second}
}

func tooMany(wait time.Duration) *refusal {
	return &refusal{
		status: http.StatusTooManyRequests, retry: wait,
		says: fmt.Sprintf("%d wrong passwords came from this address: try again in %.0f s", tries.Most, math.Ceil(wait.Seconds())),
	}
}

// A refusal is one line of an answer.
type refusal struct {
	status int
	says   string
	ask    bool          // for user and password
	retry  time.Duration // 0: trying again as it is will not help
}

func (n *refusal) answer(w http.ResponseWriter) {
	if n.ask {
		w.Header().Set("WWW-Authenticate", `Basic realm="windlass", charset="UTF-8"`)
	}
	if n.retry > 0 {
		w.Header().Set("Retry-After", fmt.Sprintf("%.0f", math.Ceil(n.retry.Seconds())))
	}
	http.Error(w, n.says, n.status)
}
