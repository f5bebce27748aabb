package hook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/internal/hook"
)

// none is a signature that is right for nothing; short is a token with as few bytes as one may have.
var (
	none  = "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	short = "whsec_" + base64.StdEncoding.EncodeToString([]byte("sixteen bytes ok"))
)

const (
	secret = "It's a Secret to Everybody"                  // of GitHub's documentation
	token  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"      // of the specification of Standard Webhooks
	body   = `{"ref":"refs/heads/main","after":"3f2a9c1"}` // nothing of it is used
)

// noon is when what is signed with the time is signed.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A door is a handler, and what came of it.
type door struct {
	http.Handler
	file  string
	woken int
	seen  []string
	log   bytes.Buffer
}

func open(t testing.TB, secrets ...string) *door {
	t.Helper()
	d := &door{file: filepath.Join(t.TempDir(), "secret")}
	d.write(t, secrets...)
	h, err := hook.New(hook.Options{
		SecretFile: d.file, Wake: func() { d.woken++ }, Now: func() time.Time { return noon },
		Observe: func(p hook.Provider, r hook.Result) { d.seen = append(d.seen, string(p)+" "+string(r)) },
		Log:     slog.New(slog.NewTextHandler(&d.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = h
	return d
}

func (d *door) write(t testing.TB, secrets ...string) {
	t.Helper()
	if err := os.WriteFile(d.file, []byte(strings.Join(secrets, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

const here, elsewhere = "192.0.2.1:5000", "192.0.2.2:5000"

// knock sends headers, "Name: value" each, and a body.
func (d *door) knock(from, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", hook.Path, strings.NewReader(body))
	r.RemoteAddr = from
	r.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func sign(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hexed(key, text string) string { return hex.EncodeToString(sign(key, text)) }

// stamped are the headers of a GitLab that signs with a token.
func stamped(id string, at time.Time, signatures ...string) []string {
	return []string{"X-Gitlab-Event: Push Hook", "webhook-id: " + id, fmt.Sprintf("webhook-timestamp: %d", at.Unix()), "webhook-signature: " + strings.Join(signatures, " ")}
}

// standard is a signature by Standard Webhooks.
func standard(token, id string, at time.Time, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	if err != nil {
		panic(err) // it is one of this file
	}
	return "v1," + base64.StdEncoding.EncodeToString(sign(string(key), fmt.Sprintf("%s.%d.%s", id, at.Unix(), body)))
}

// gitea is what Gitea sends: its own headers, and those of GitHub with them.
func gitea(secret, body string) []string {
	digest := hexed(secret, body)
	return []string{
		"X-Gitea-Event: push", "X-Gitea-Signature: " + digest, "X-Gogs-Event: push", "X-Gogs-Signature: " + digest,
		"X-GitHub-Event: push", "X-Hub-Signature-256: sha256=" + digest,
	}
}

func TestWhoWakesTheAgent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		headers []string
		body    string
		seen    string
	}{
		"GitHub, the example of its documentation": {[]string{"X-GitHub-Event: push", "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, "Hello, World!", "github"},
		"GitHub":                       {[]string{"X-GitHub-Event: push", "X-Hub-Signature: sha1=whatever", "X-Hub-Signature-256: sha256=" + hexed(secret, body)}, body, "github"},
		"GitHub, in capitals":          {[]string{"X-GitHub-Event: push", "X-Hub-Signature-256: sha256=" + strings.ToUpper(hexed(secret, body))}, body, "github"},
		"GitLab, secret token":         {[]string{"X-Gitlab-Event: Push Hook", "X-Gitlab-Token: " + secret}, body, "gitlab"},
		"GitLab, tag, no body":         {[]string{"X-Gitlab-Event: Tag Push Hook", "X-Gitlab-Token: " + secret}, "", "gitlab"},
		"GitLab, signing token":        {stamped("7", noon, standard(token, "7", noon, body)), body, "gitlab"},
		"GitLab, signed 5 minutes ago": {stamped("7", noon.Add(-5*time.Minute), standard(token, "7", noon.Add(-5*time.Minute), body)), body, "gitlab"},
		"GitLab, the last of eight":    {stamped("7", noon, append(slices.Repeat([]string{none}, 7), standard(token, "7", noon, body))...), body, "gitlab"},
		"GitLab, a key of 16 bytes":    {stamped("7", noon, standard(short, "7", noon, body)), body, "gitlab"},
		"GitLab, clock 5 minutes off":  {stamped("7", noon.Add(5*time.Minute), standard(token, "7", noon.Add(5*time.Minute), body)), body, "gitlab"},
		"GitLab, signing key renewed":  {stamped("7", noon, "v2,x", none, standard(token, "7", noon, body)), body, "gitlab"},
		"Gitea":                        {gitea(secret, body), body, "gitea"},
		"Forgejo":                      {append(gitea(secret, body), "X-Forgejo-Event: push", "X-Forgejo-Signature: "+hexed(secret, body)), body, "gitea"},
		"Bitbucket Cloud":              {[]string{"X-Event-Key: repo:push", "X-Hub-Signature: sha256=" + hexed(secret, body)}, body, "bitbucket"},
		"Bitbucket Data Center":        {[]string{"X-Event-Key: repo:refs_changed", "X-Hub-Signature: sha256=" + hexed(secret, body), "Content-Type: application/json; charset=utf-8"}, body, "bitbucket"},
		"a script":                     {[]string{"X-Windlass-Signature-256: sha256=" + hexed(secret, body)}, body, "generic"},
		"a script, without any body":   {[]string{"X-Windlass-Signature-256: sha256=" + hexed(secret, "")}, "", "generic"},
		"the largest body":             {[]string{"X-Windlass-Signature-256: sha256=" + hexed(secret, strings.Repeat("x", 1<<20))}, strings.Repeat("x", 1<<20), "generic"},
		"a secret with blanks around":  {[]string{"X-Windlass-Signature-256: sha256=" + hexed("the other", body)}, body, "generic"},
		"content that is a kind of it": {[]string{"X-Windlass-Signature-256: sha256=" + hexed(secret, body), "Content-Type: application/cloudevents+json"}, body, "generic"},
	} {
		d := open(t, secret, " the other ", "", token, short)
		w := d.knock(here, c.body, c.headers...)
		if w.Code != 202 || d.woken != 1 || strings.Join(d.seen, ",") != c.seen+" accepted" || strings.Count(w.Body.String(), "\n") != 1 || d.log.Len() > 0 {
			t.Errorf("%s: %d %q, woken %d times, %v, log %q", name, w.Code, w.Body, d.woken, d.seen, &d.log)
		}
		if w.Header().Get("Connection") != "" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}

// TestStandardWebhooksExample is the example of the specification.
func TestStandardWebhooksExample(t *testing.T) {
	t.Parallel()
	at := time.Unix(1614265330, 0)
	if got := standard(token, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, `{"test": 2432232314}`); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("this file signs %s", got)
	}
}

func TestWhoDoesNot(t *testing.T) {
	t.Parallel()
	const github, tooOld = "X-GitHub-Event: push", "more than 5 minutes off"
	right := hexed(secret, body)
	stampedSum, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(standard(token, "7", noon, body), "v1,"))
	old, early := noon.Add(-301*time.Second), noon.Add(301*time.Second)
	for name, c := range map[string]struct {
		headers []string
		says    string
	}{
		"GitHub, another secret":              {[]string{github, "X-Hub-Signature-256: sha256=" + hexed("wrong", body)}, "X-Hub-Signature-256 does not prove what was sent"},
		"GitHub, another body":                {[]string{github, "X-Hub-Signature-256: sha256=" + hexed(secret, body+" ")}, "does not prove"},
		"GitHub, the secret itself":           {[]string{github, "X-Gitlab-Token: " + secret}, "there is no X-Hub-Signature-256"},
		"GitHub, no signature":                {[]string{github}, "there is no X-Hub-Signature-256: give the webhook the secret"},
		"GitHub, only the old one":            {[]string{github, "X-Hub-Signature: sha256=" + right}, "there is no X-Hub-Signature-256"},
		"GitHub, empty":                       {[]string{github, "X-Hub-Signature-256: sha256="}, "X-Hub-Signature-256 is empty: give the webhook the secret"},
		"GitHub, cut off":                     {[]string{github, "X-Hub-Signature-256: sha256=" + right[:62]}, "is not of the form sha256=<64 hexadecimal digits>"},
		"GitHub, too long":                    {[]string{github, "X-Hub-Signature-256: sha256=" + right + "00"}, "is not"},
		"GitHub, half a digit more":           {[]string{github, "X-Hub-Signature-256: sha256=" + right + "0"}, "is not"},
		"GitHub, there and nothing":           {[]string{github, "X-Hub-Signature-256: "}, "X-Hub-Signature-256 is empty"},
		"GitHub, no prefix":                   {[]string{github, "X-Hub-Signature-256: " + right}, "is not"},
		"GitHub, no digits":                   {[]string{github, "X-Hub-Signature-256: sha256=" + strings.Repeat("z", 64)}, "is not"},
		"GitHub, two":                         {[]string{github, "X-Hub-Signature-256: sha256=" + right, "X-Hub-Signature-256: sha256=" + right}, "is there 2 times"},
		"GitHub, Gitea's signature":           {[]string{github, "X-Gitea-Signature: " + right}, "there is no X-Hub-Signature-256"},
		"Gitea, without a secret":             {gitea("", body)[:1], "there is no X-Gitea-Signature"},
		"Gitea, empty":                        {[]string{"X-Gitea-Event: push", "X-Gitea-Signature: ", github, "X-Hub-Signature-256: sha256=" + right}, "X-Gitea-Signature is empty"},
		"Gitea, the signature of its GitHub":  {[]string{"X-Gitea-Event: push", github, "X-Hub-Signature-256: sha256=" + right}, "there is no X-Gitea-Signature"},
		"Forgejo, wrong, and Gitea's right":   {append(gitea(secret, body), "X-Forgejo-Event: push", "X-Forgejo-Signature: "+hexed("wrong", body)), "X-Forgejo-Signature does not prove"},
		"Gitea, an empty key":                 {gitea("", body), "X-Gitea-Signature does not prove"},
		"GitLab, another token":               {[]string{"X-Gitlab-Event: Push Hook", "X-Gitlab-Token: wrong"}, "X-Gitlab-Token does not prove"},
		"GitLab, a part of the token":         {[]string{"X-Gitlab-Event: Push Hook", "X-Gitlab-Token: " + secret[:5]}, "does not prove"},
		"GitLab, no token":                    {[]string{"X-Gitlab-Event: Push Hook"}, "there is no X-Gitlab-Token"},
		"GitLab, empty token":                 {[]string{"X-Gitlab-Event: Push Hook", "X-Gitlab-Token: "}, "X-Gitlab-Token is empty"},
		"GitLab, both tokens in one":          {[]string{"X-Gitlab-Event: Push Hook", "X-Gitlab-Token: " + secret + "\n" + token}, "does not prove"},
		"GitLab, signed long ago":             {stamped("7", old, standard(token, "7", old, body)), tooOld},
		"GitLab, signed in the future":        {stamped("7", early, standard(token, "7", early, body)), tooOld},
		"GitLab, stamped anew":                {stamped("7", noon, standard(token, "7", old, body)), "Webhook-Signature does not prove"},
		"GitLab, another id":                  {stamped("8", noon, standard(token, "7", noon, body)), "does not prove"},
		"GitLab, no time":                     {[]string{"X-Gitlab-Event: Push Hook", "webhook-id: 7", "webhook-signature: " + standard(token, "7", noon, body)}, "there is no Webhook-Timestamp"},
		"GitLab, no id":                       {[]string{"X-Gitlab-Event: Push Hook", "webhook-timestamp: 7", "webhook-signature: v1,"}, "there is no Webhook-Id"},
		"GitLab, a time that is none":         {[]string{"X-Gitlab-Event: Push Hook", "webhook-id: 7", "webhook-timestamp: 9999999999999999999", "webhook-signature: v1,"}, "is no number of seconds"},
		"GitLab, the last time there is":      {[]string{"X-Gitlab-Event: Push Hook", "webhook-id: 7", "webhook-timestamp: 9223372036854775807", "webhook-signature: " + standard(token, "7", noon, body)}, tooOld},
		"GitLab, the first":                   {[]string{"X-Gitlab-Event: Push Hook", "webhook-id: 7", "webhook-timestamp: -9223372036854775808", "webhook-signature: " + standard(token, "7", noon, body)}, tooOld},
		"GitLab, no version":                  {stamped("7", noon, "v2,abc", strings.TrimPrefix(standard(token, "7", noon, body), "v1,")), "has no signature of the form v1,BASE64"},
		"GitLab, more after it":               {stamped("7", noon, standard(token, "7", noon, body)+"!"), "has no signature of the form"},
		"GitLab, cut off":                     {stamped("7", noon, "v1,"+base64.StdEncoding.EncodeToString(stampedSum[:31])), "has no signature of the form"},
		"GitLab, too long":                    {stamped("7", noon, "v1,"+base64.StdEncoding.EncodeToString(append(stampedSum, 0))), "has no signature of the form"},
		"GitLab, the ninth":                   {stamped("7", noon, append(slices.Repeat([]string{none}, 8), standard(token, "7", noon, body))...), "does not prove"},
		"GitLab, a key that is cut off":       {stamped("7", noon, "v1,"+base64.StdEncoding.EncodeToString(sign("a key that is damaged...", fmt.Sprintf("7.%d.%s", noon.Unix(), body)))), "does not prove"},
		"GitLab, wrong beside a token":        {append(stamped("7", noon, standard(token, "7", noon, "x")), "X-Gitlab-Token: "+secret), "Webhook-Signature does not prove"},
		"GitLab, signed with text as the key": {stamped("7", noon, "v1,"+base64.StdEncoding.EncodeToString(sign(secret, fmt.Sprintf("7.%d.%s", noon.Unix(), body)))), "does not prove"},
		"GitLab, an empty key":                {stamped("7", noon, "v1,"+base64.StdEncoding.EncodeToString(sign("", fmt.Sprintf("7.%d.%s", noon.Unix(), body)))), "does not prove"},
		"GitLab, a key of three bytes":        {stamped("7", noon, standard("whsec_AAAA", "7", noon, body)), "does not prove"},
		"Bitbucket, the other header":         {[]string{"X-Event-Key: repo:push", "X-Hub-Signature-256: sha256=" + right}, "there is no X-Hub-Signature"},
		"Bitbucket, by SHA-1":                 {[]string{"X-Event-Key: repo:push", "X-Hub-Signature: sha1=" + right[:40]}, "is not"},
		"a script without a signature":        {nil, "there is no X-Windlass-Signature-256"},
		"a script, GitHub's signature":        {[]string{"X-Hub-Signature-256: sha256=" + right}, "there is no X-Windlass-Signature-256"},
		"a ping that proves nothing":          {[]string{"X-GitHub-Event: ping", "X-Hub-Signature-256: sha256=" + hexed("wrong", body)}, "does not prove"},
	} {
		d := open(t, secret, token, "whsec_", "whsec_AAAA", "whsec_"+base64.StdEncoding.EncodeToString([]byte("a key that is damaged..."))+"!")
		w := d.knock(here, body, c.headers...)
		if says := w.Body.String(); w.Code != 401 || d.woken != 0 || !strings.Contains(says, c.says) || strings.Count(says, "\n") != 1 {
			t.Errorf("%s: %d %q, woken %d times, want %q", name, w.Code, says, d.woken, c.says)
		}
		if len(d.seen) != 1 || !strings.HasSuffix(d.seen[0], " bad_signature") || strings.Count(d.log.String(), "webhook refused") != 1 {
			t.Errorf("%s: %v, log %q", name, d.seen, &d.log)
		}
		if w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: trying again is no use", name)
		}
		if told := d.log.String() + w.Body.String(); strings.Contains(told, secret) || strings.Contains(told, token) {
			t.Errorf("%s: a secret is told: %s", name, told)
		}
	}
}

func TestWhatIsNoPushWakesNobody(t *testing.T) {
	t.Parallel()
	signed := "X-Hub-Signature-256: sha256=" + hexed(secret, body)
	for name, headers := range map[string][]string{
		"GitHub's ping":    {"X-GitHub-Event: ping", signed},
		"an issue":         {"X-GitHub-Event: issues", signed},
		"GitLab's comment": {"X-Gitlab-Event: Note Hook", "X-Gitlab-Token: " + secret},
		"Bitbucket's test": {"X-Event-Key: diagnostics:ping", "X-Hub-Signature: sha256=" + hexed(secret, body)},
		"Gitea's issue":    {"X-Gitea-Event: issues", "X-Gitea-Signature: " + hexed(secret, body)},
	} {
		d := open(t, secret)
		if w := d.knock(here, body, headers...); w.Code != 200 || d.woken != 0 || !strings.HasSuffix(d.seen[0], " ignored") || d.log.Len() > 0 {
			t.Errorf("%s: %d %q, woken %d times, %v", name, w.Code, w.Body, d.woken, d.seen)
		}
	}
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	right := "X-Windlass-Signature-256: sha256=" + hexed(secret, body)
	large := strings.Repeat("x", 1<<20+1)
	request := func(method, path string, content io.Reader, headers ...string) *http.Request {
		r := httptest.NewRequest(method, path, content)
		r.Header.Set("Content-Type", "application/json")
		for _, line := range headers {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		return r
	}
	chunked := request("POST", hook.Path, io.MultiReader(strings.NewReader(large)), "X-Windlass-Signature-256: sha256="+hexed(secret, large))
	chunked.ContentLength = -1
	for name, c := range map[string]struct {
		request *http.Request
		status  int
		says    string
		seen    string
	}{
		"the page":               {request("GET", "/", nil), 404, "there is nothing here but /hooks/git", ""},
		"below":                  {request("POST", hook.Path+"/", strings.NewReader(body), right), 404, "nothing here", ""},
		"another path, signed":   {request("POST", "//hooks/git", strings.NewReader(body), right), 404, "nothing here", ""},
		"the API":                {request("GET", "/api/v1/fleets", nil), 404, "nothing here", ""},
		"GET":                    {request("GET", hook.Path, nil, right), 405, "sent with POST", ""},
		"PUT":                    {request("PUT", hook.Path, strings.NewReader(body), right), 405, "sent with POST", ""},
		"a form":                 {request("POST", hook.Path, strings.NewReader(body), right, "Content-Type: application/x-www-form-urlencoded"), 415, "set the webhook's content type to application/json", "generic bad_signature"},
		"no content type":        {request("POST", hook.Path, strings.NewReader(body), right, "Content-Type: "), 415, "application/json", "generic bad_signature"},
		"a large body":           {request("POST", hook.Path, strings.NewReader(large), "X-Windlass-Signature-256: sha256="+hexed(secret, large)), 413, "1 MB at most", "generic too_large"},
		"one that is not read":   {request("POST", hook.Path, strings.NewReader(large)), 413, "1 MB at most", "generic too_large"},
		"one of no known length": {chunked, 413, "1 MB at most", "generic too_large"},
		"GitLab's, ended early":  {request("POST", hook.Path, io.MultiReader(strings.NewReader(body), broken{}), "X-Gitlab-Event: Push Hook", "X-Gitlab-Token: "+secret), 400, "ended early", "gitlab bad_signature"},
		"GitLab's, too large":    {request("POST", hook.Path, io.MultiReader(strings.NewReader(large)), "X-Gitlab-Event: Push Hook", "X-Gitlab-Token: "+secret), 413, "1 MB at most", "gitlab too_large"},
		"a body that ends early": {request("POST", hook.Path, io.MultiReader(strings.NewReader(body), broken{}), right), 400, "ended early", "generic bad_signature"},
	} {
		d := open(t, secret)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, c.request)
		if says := w.Body.String(); w.Code != c.status || !strings.Contains(says, c.says) || strings.Count(says, "\n") != 1 || d.woken != 0 || strings.Join(d.seen, ",") != c.seen {
			t.Errorf("%s: %d %q, woken %d times, %v", name, w.Code, says, d.woken, d.seen)
		}
		if w.Header().Get("Connection") != "close" {
			t.Errorf("%s: the connection stays", name)
		}
		if told := strings.Contains(d.log.String(), "webhook refused"); told != (c.seen != "") {
			t.Errorf("%s: log %q", name, &d.log)
		}
		if w.Code == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("reset") }

// TestSecretsAreRenewed changes the file under a handler.
func TestSecretsAreRenewed(t *testing.T) {
	t.Parallel()
	d := open(t, "old")
	status := func(secret string) int {
		return d.knock(here, body, "X-Windlass-Signature-256: sha256="+hexed(secret, body)).Code
	}
	for _, step := range []struct {
		secrets  []string
		old, new int
	}{{[]string{"old"}, 202, 401}, {[]string{"old", "new"}, 202, 202}, {[]string{"new"}, 401, 202}, {nil, 503, 503}, {[]string{"new"}, 401, 202}} {
		d.write(t, step.secrets...)
		if got := []int{status("old"), status("new")}; got[0] != step.old || got[1] != step.new {
			t.Errorf("with %v in the file old and new are answered %v", step.secrets, got)
		}
	}
	d = open(t, "old")
	status("wrong") // what a stranger sends hides nothing
	d.write(t)
	if status("old"); !strings.Contains(d.log.String(), "no webhook can be told from a forged one; correct the file of --webhook-secret-file") {
		t.Errorf("log %q", &d.log)
	}
}

func TestFilesWithoutASecretAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "must hold a secret", " \n\n": "must hold a secret", strings.Repeat("x\n", 9): "between 1 and 8"} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := hook.New(hook.Options{SecretFile: file}); err == nil || !strings.Contains(err.Error(), "--webhook-secret-file") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAFloodIsRefusedAndKeepsNoForgeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		right, wrong := "X-Windlass-Signature-256: sha256="+hexed(secret, body), "X-Windlass-Signature-256: sha256="+hexed("wrong", body)
		d := open(t, secret)
		for i := range 10 {
			if w := d.knock(here, body, wrong); w.Code != 401 {
				t.Fatalf("try %d is answered %d", i+1, w.Code)
			}
		}
		if w := d.knock(here, body, right); w.Code != 429 || w.Header().Get("Retry-After") != "60" || d.woken != 0 || d.seen[10] != "generic rate_limited" {
			t.Errorf("after ten failures: %d %q %v, %v", w.Code, w.Body, w.Header(), d.seen[10:])
		}
		if w := d.knock(here, body, right); w.Code != 429 {
			t.Errorf("and again: %d", w.Code)
		}
		if told := strings.Count(d.log.String(), "webhook refused"); told != 1 {
			t.Errorf("a flood is told of %d times:\n%s", told, &d.log)
		}
		if w := d.knock(elsewhere, body, right); w.Code != 202 {
			t.Errorf("from another address: %d", w.Code)
		}
		// everybody who can have the forge send something comes from its address
		for range 20 {
			if w := d.knock(elsewhere, body, wrong); w.Code != 401 {
				t.Errorf("a wrong one from the forge's address is answered %d", w.Code)
			}
		}
		if w := d.knock(elsewhere, body, right); w.Code != 202 || d.woken != 2 {
			t.Errorf("the forge is answered %d, woken %d times", w.Code, d.woken)
		}
		time.Sleep(time.Minute)
		if w := d.knock(here, body, right); w.Code != 202 {
			t.Errorf("a minute later: %d", w.Code)
		}
		d.knock(here, body, wrong)
		if told := strings.Count(d.log.String(), "webhook refused"); told != 2 {
			t.Errorf("the next minute's is told of %d times", told-1)
		}
	})
}

func TestAPingOpensTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, secret)
		d.knock(here, body, "X-GitHub-Event: ping", "X-Hub-Signature-256: sha256="+hexed(secret, body))
		for range 11 {
			if w := d.knock(here, body, "X-GitHub-Event: push"); w.Code != 401 {
				t.Errorf("after a ping that proved itself: %d", w.Code)
			}
		}
	})
}

// TestAnAgentThatCannotReadItsSecretTrustsNobody: nobody has proven anything then.
func TestAnAgentThatCannotReadItsSecretTrustsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, secret)
		d.write(t)
		d.knock(here, body, "X-Windlass-Signature-256: sha256="+hexed(secret, body))
		d.write(t, secret)
		for range 10 {
			d.knock(here, body)
		}
		if w := d.knock(here, body); w.Code != 429 {
			t.Errorf("the eleventh is answered %d", w.Code)
		}
	})
}

// TestTheProvenAreBounded: of a thousand addresses all are forgotten when another one comes.
func TestTheProvenAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, secret)
		right := "X-Windlass-Signature-256: sha256=" + hexed(secret, body)
		d.knock(here, body, right)
		for i := range 999 {
			d.knock(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250), body, right)
		}
		for range 11 {
			d.knock(here, body)
		}
		if w := d.knock(here, body); w.Code != 401 {
			t.Errorf("the oldest of a thousand is answered %d", w.Code)
		}
		d.knock(elsewhere, body, right)
		if w := d.knock(here, body); w.Code != 429 {
			t.Errorf("after one more it is answered %d", w.Code)
		}
	})
}

// TestStampsAreComparedWithTheClock has a handler that is given none.
func TestStampsAreComparedWithTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, secret)
		h, err := hook.New(hook.Options{SecretFile: d.file, Wake: func() { d.woken++ }, Observe: func(hook.Provider, hook.Result) {}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		d.Handler = h
		d.write(t, token)
		for off, want := range map[time.Duration]int{0: 202, -6 * time.Minute: 401, 6 * time.Minute: 401} {
			at := time.Now().Add(off)
			if w := d.knock(here, body, stamped("7", at, standard(token, "7", at, body))...); w.Code != want {
				t.Errorf("%s off: %d %q", off, w.Code, w.Body)
			}
		}
	})
}
