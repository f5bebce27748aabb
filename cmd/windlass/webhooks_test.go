package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// hook sends a webhook as GitHub does, signed with the secret in a file, to where the agent of the script hears of them, and wants a status:
// hook 202 push secret.
func sendHook(ts *testscript.TestScript, _ bool, args []string) {
	const body = `{"ref":"refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte(strings.TrimSpace(ts.ReadFile(args[2]))))
	mac.Write([]byte(body))
	request, err := http.NewRequest(http.MethodPost, heardAt(ts)+"/hooks/git", strings.NewReader(body))
	ts.Check(err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", args[1])
	request.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile("ca.crt")))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	ts.Check(err)
	answer.Body.Close()
	if strconv.Itoa(answer.StatusCode) != args[0] {
		ts.Fatalf("answered %s, want %s", answer.Status, args[0])
	}
}

// heardAt is the URL of where the log says that webhooks are heard.
func heardAt(ts *testscript.TestScript) string {
	for text := range strings.Lines(ts.ReadFile("agent.log")) {
		var line struct {
			Msg, Addr string
			TLS       bool
		}
		if json.Unmarshal([]byte(text), &line) == nil && line.Msg == "webhooks are heard" {
			return map[bool]string{false: "http://", true: "https://"}[line.TLS] + line.Addr
		}
	}
	ts.Fatalf("the agent hears of no webhooks")
	return ""
}
