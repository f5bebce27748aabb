package hook_test

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"windlass/internal/hook"
)

// FuzzRequests sends whatever headers and body: nobody wakes the agent whose request does not hold what only a secret's owner can make.
func FuzzRequests(f *testing.F) {
	for _, headers := range [][]string{
		gitea(secret, body), stamped("7", noon, standard(token, "7", noon, body)), {"X-Gitlab-Event: Push Hook", "X-Gitlab-Token: " + secret},
		{"X-GitHub-Event: push", "X-Hub-Signature-256: sha256=" + hexed(secret, body)}, {"X-Event-Key: repo:push", "X-Hub-Signature: sha256="},
		{"X-Windlass-Signature-256: sha256=" + hexed("", body), "Content-Type: application/json; charset="}, {"X-Forgejo-Event: push"},
	} {
		f.Add(strings.Join(headers, "\n"), body)
	}
	f.Fuzz(func(t *testing.T, headers, body string) {
		d := open(t, secret, token)
		r := httptest.NewRequest("POST", hook.Path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		for line := range strings.Lines(headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			r.Header.Add(name, value)
		}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if passed := w.Code < 400; len(d.seen) != 1 || (d.woken == 1) != (w.Code == 202) || passed && !couldBeProven(r.Header, body) {
			t.Errorf("%q %q: %d %q, woken %d times, %v", headers, body, w.Code, w.Body, d.woken, d.seen)
		}
	})
}

// couldBeProven reports whether one of the values anywhere is what a secret's owner makes of the body.
func couldBeProven(headers map[string][]string, body string) bool {
	var proofs []string
	for _, key := range []string{secret, token} {
		proofs = append(proofs, key, hexed(key, body), "sha256="+hexed(key, body))
	}
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	for _, id := range headers["Webhook-Id"] {
		for _, stamp := range headers["Webhook-Timestamp"] {
			proofs = append(proofs, "v1,"+base64.StdEncoding.EncodeToString(sign(string(key), fmt.Sprintf("%s.%s.%s", id, stamp, body))))
		}
	}
	for _, values := range headers {
		for _, word := range append(slices.Clone(values), strings.Fields(strings.Join(values, " "))...) {
			if slices.ContainsFunc(proofs, func(proof string) bool { return proof == word || proof == strings.ToLower(word) }) {
				return true
			}
		}
	}
	return false
}
