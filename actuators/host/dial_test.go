package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
	"windlass/desired"
)

func TestRefusedHandshakeSaysWhatToDo(t *testing.T) {
	t.Parallel()
	var at actuators.Place
	at.SSH.User = "deploy"
	negotiation := fmt.Errorf("ssh: handshake failed: %w", &ssh.AlgorithmNegotiationError{What: "x"})
	for name, c := range map[string]struct {
		trust trust
		limit time.Duration
		err   error
		want  string
	}{
		"host key":     {trust{problem: errors.New("it presents another")}, time.Second, os.ErrDeadlineExceeded, "it presents another"},
		"no such key":  {trust{algorithms: []string{"a", "b"}}, time.Second, negotiation, "it has no host key of the kind that is known (a, b): ssh: handshake failed: ssh: no common algorithm for x; we offered: [], peer offered: []; compare `ssh-keyscan` with known_hosts or hostKey"},
		"no cipher":    {trust{}, time.Second, negotiation, "the SSH handshake fails: ssh: handshake failed: ssh: no common algorithm for x; we offered: [], peer offered: []; look at sshd's log there (MaxStartups?)"},
		"silent":       {trust{}, time.Second, fmt.Errorf("read: %w", os.ErrDeadlineExceeded), "it accepts connections and does not finish the SSH handshake within 1s; look at sshd there, or raise ssh.connectTimeout, up to 12s"},
		"silent, long": {trust{}, desired.MostConnectTimeout, os.ErrDeadlineExceeded, "it accepts connections and does not finish the SSH handshake within 12s; look at sshd there"},
		"our key":      {trust{algorithms: []string{"a"}}, time.Second, errors.New("ssh: unable to authenticate, attempted methods [none]"), "user deploy is refused with our key; add the key to its authorized_keys there, or set ssh.user"},
		"else":         {trust{}, time.Second, errors.New("EOF\npassword=hunter2 " + strings.Repeat("x", 300)), "the SSH handshake fails: EOF password=[redacted] " + strings.Repeat("x", 300-len("EOF password=[redacted] ")) + "…; look at sshd's log there (MaxStartups?)"},
	} {
		if got := refusal(at, &c.trust, c.limit, c.err); got == nil || got.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", name, got, c.want)
		}
	}
}

// The fleet file's key is the only one, and asked for as all that it can sign with (an RSA key with SHA-2 too).
func TestHostKeyOfTheFleetFile(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]ssh.PublicKey{}
	for _, k := range []any{private, large} {
		signer, err := ssh.NewSignerFromKey(k)
		if err != nil {
			t.Fatal(err)
		}
		keys[signer.PublicKey().Type()] = signer.PublicKey()
	}
	for kind, want := range map[string][]string{
		"ssh-ed25519": {"ssh-ed25519"},
		"ssh-rsa":     {"rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"},
	} {
		var at actuators.Place
		at.Node.HostKey = string(ssh.MarshalAuthorizedKey(keys[kind]))
		trust, err := trustOf(at, "[127.0.0.1]:22", []string{"/no/such/file"})
		if err != nil || !slices.Equal(trust.algorithms, want) {
			t.Errorf("%s: asked for as %q, %v", kind, trust.algorithms, err)
			continue
		}
		for presented, key := range keys {
			trust.problem = nil
			if err := trust.callback("", nil, key); (err == nil) != (presented == kind) || err != trust.problem {
				t.Errorf("%s is named, %s presented: %v", kind, presented, err)
			}
		}
	}
	var at actuators.Place
	at.Node.HostKey = "garbage"
	if _, err := trustOf(at, "[127.0.0.1]:22", nil); err == nil || !strings.Contains(err.Error(), "its hostKey in the fleet file is no public key") {
		t.Errorf("garbage: %v", err)
	}
}

func TestWhyACallEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	err, why := errors.New("closed"), errors.New("superseded")
	if got := cause(ctx, err); got != err {
		t.Errorf("before: %v", got)
	}
	cancel(why)
	if got := cause(ctx, err); got != why {
		t.Errorf("after: %v", got)
	}
}
