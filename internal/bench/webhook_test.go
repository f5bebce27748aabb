package bench

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkWebhook measures a push that the forge tells of, to the first drain of a fleet of real sshd nodes, with an agent that would look
// at the repo once in ten minutes.
func BenchmarkWebhook(b *testing.B) {
	const secret = "open sesame"
	file := filepath.Join(b.TempDir(), "secret")
	check(b, os.WriteFile(file, []byte(secret), 0o600))
	f := startFleetAt(b, 10*time.Minute, "--webhook-listen", "127.0.0.1:0", "--webhook-secret-file", file)
	f.pushed = func() { f.sendHook(b, secret) }
	var pushes []time.Duration
	for b.Loop() {
		for i := range rounds {
			_, push := f.rollByAgent(b, []string{"v2", "v1"}[i%2])
			pushes = append(pushes, push)
		}
	}
	slowest := slices.Max(pushes)
	table.add(fmt.Sprintf("push that a webhook tells of to first drain, slowest of %d", len(pushes)), millis(slowest), "≤ 1 s", slowest <= time.Second)
}

// sendHook tells the agent of a push, as GitHub does.
func (f *realFleet) sendHook(b *testing.B, secret string) {
	b.Helper()
	const body = `{"ref":"refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+f.hears(b)+"/hooks/git", strings.NewReader(body))
	check(b, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Event", "push")
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	answer, err := http.DefaultClient.Do(r)
	check(b, err)
	check(b, answer.Body.Close())
	if answer.StatusCode != http.StatusAccepted {
		b.Fatalf("the webhook is answered %s", answer.Status)
	}
}

// hears is where the agent's log says that it hears of webhooks.
func (f *realFleet) hears(b *testing.B) string {
	b.Helper()
	for _, text := range f.Agent.Log(1000) {
		var line struct{ Msg, Addr string }
		if json.Unmarshal([]byte(text), &line) == nil && line.Msg == "webhooks are heard" {
			return line.Addr
		}
	}
	b.Fatal("the agent hears of no webhooks")
	return ""
}
