package notify

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"windlass/desired"
	"windlass/internal/nettest"
	"windlass/internal/notify/notifytest"
	"windlass/internal/outbound"
)

var hostile = Message{
	ID: "web@1/halted", Thread: "web@1", Kind: Post, At: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC), Fleet: "web", On: desired.OnHalted, Mood: Bad,
	Title: "web: v1 → v2 <!channel> halted",
	Lines: []string{"by <@U1>: *fix* `all` & <https://evil.example|this> <users/all> [x](https://evil.example)", "it said _no_"},
	Link:  "https://git.example.com/compare/a...b?x=1&y=2",
}

func httpClient(t *testing.T) *outbound.Client {
	t.Helper()
	c, err := outbound.New(outbound.Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A record of what a server was sent.
type received struct {
	path   string
	header http.Header
	body   map[string]any
	text   []byte
}

func recorder(t *testing.T, status int) (string, chan received) {
	t.Helper()
	all := make(chan received, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := received{path: r.URL.RequestURI(), header: r.Header}
		got.text, _ = io.ReadAll(r.Body)
		_ = json.Unmarshal(got.text, &got.body)
		all <- got
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, all
}

func TestSlack(t *testing.T) {
	t.Parallel()
	chat := &notifytest.Slack{Token: "xoxb-good"}
	server := httptest.NewServer(chat)
	t.Cleanup(server.Close)
	token := secretFile(t, "xoxb-good")
	s := &slack{SlackPlace{TokenFile: token, Channel: "#deploys", API: server.URL + "/api"}, httpClient(t)}
	place, err := s.Say(t.Context(), hostile)
	if err != nil {
		t.Fatal(err)
	}
	const want = "🔴 *web: v1 → v2 &lt;!channel&gt; halted*\n" +
		"by &lt;@U1&gt;: ∗fix∗ ˋallˋ &amp; &lt;https://evil.example|this&gt; &lt;users/all&gt; [x](https://evil.example)\nit said _no_\n" +
		"<https://git.example.com/compare/a...b?x=1&amp;y=2|what changed>"
	if got := chat.Messages()[0].Text; got != want {
		t.Errorf("it reads\n%s\nwant\n%s", got, want)
	}
	reply, update := hostile, hostile
	reply.Kind, reply.Place, reply.Title = Reply, place, "a reply"
	update.Kind, update.Place, update.Title = Update, place, "updated"
	for _, m := range []Message{reply, update} {
		if _, err := s.Say(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	threads := chat.Threads()
	if len(threads) != 1 || len(threads[0].Replies) != 1 || !strings.Contains(threads[0].Head.Text, "updated") || threads[0].Head.Edits != 1 {
		t.Errorf("%+v", threads)
	}
	if err := os.WriteFile(token, []byte("xoxb-renewed"), 0o600); err != nil { // it is read at each use
		t.Fatal(err)
	}
	if _, err := s.Say(t.Context(), hostile); err == nil || !failureOf(err).Refused || !strings.Contains(err.Error(), "invalid_auth of #deploys: put a good token into tokenFile") {
		t.Errorf("a token that is not good: %v", err)
	}
}

func TestWhatSlackAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trouble notifytest.Trouble
		want    Failure
	}{
		"429":       {notifytest.Trouble{RetryAfter: 30}, Failure{Wait: 30 * time.Second}},
		"502":       {notifytest.Trouble{Status: 502}, Failure{Unsure: true}},
		"503":       {notifytest.Trouble{Status: 503}, Failure{}},
		"504":       {notifytest.Trouble{Status: 504}, Failure{Unsure: true}},
		"404":       {notifytest.Trouble{Status: 404}, Failure{Refused: true}},
		"cut":       {notifytest.Trouble{Cut: true}, Failure{Unsure: true}},
		"cut late":  {notifytest.Trouble{Cut: true, Late: true}, Failure{Unsure: true}},
		"not there": {notifytest.Trouble{Error: "channel_not_found"}, Failure{Refused: true}},
		"internal":  {notifytest.Trouble{Error: "internal_error"}, Failure{Unsure: true}},
		"removed":   {notifytest.Trouble{Error: "message_not_found"}, Failure{Gone: true}},
		"hostile":   {notifytest.Trouble{Error: "\x1b[31m\ntoken=xoxb-12345678"}, Failure{Refused: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(&notifytest.Slack{Trouble: func(string, int) notifytest.Trouble { return c.trouble }})
			t.Cleanup(server.Close)
			s := &slack{SlackPlace{TokenFile: secretFile(t, "xoxb-12345678"), Channel: "C1", API: server.URL}, httpClient(t)}
			_, err := s.Say(t.Context(), hostile)
			if err == nil {
				t.Fatal("it was said")
			}
			got := *failureOf(err)
			if strings.Contains(got.Says, "xoxb-1") || strings.ContainsAny(got.Says, "\x1b\n") {
				t.Errorf("it says %q", got.Says)
			}
			got.Says = ""
			if got != c.want {
				t.Errorf("%v: %+v, want %+v", err, got, c.want)
			}
		})
	}
}

func TestGoogleChat(t *testing.T) {
	t.Parallel()
	at, all := recorder(t, 200)
	g := &googleChat{URLPlace{secretFile(t, at+"/v1/spaces/S/messages?key=k&token=t")}, httpClient(t)}
	if _, err := g.Say(t.Context(), hostile); err != nil {
		t.Fatal(err)
	}
	got := <-all
	if want := "/v1/spaces/S/messages?key=k&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD&token=t"; got.path != want {
		t.Errorf("asked %s, want %s", got.path, want)
	}
	if key := got.body["thread"].(map[string]any)["threadKey"]; key != "web@1" {
		t.Errorf("in thread %v", key)
	}
	const want = "🔴 *web: v1 → v2 ‹!channel› halted*\nby ‹@U1›: ∗fix∗ ˋallˋ & ‹https://evil.example|this› ‹users/all› [x](https://evil.example)\nit said ＿no＿\n" +
		"<https://git.example.com/compare/a...b?x=1&y=2|what changed>"
	if got.body["text"] != want {
		t.Errorf("it reads\n%s\nwant\n%s", got.body["text"], want)
	}
}

// Only text runs are no Markdown in a card; so what is hostile stands in them alone.
func TestTeams(t *testing.T) {
	t.Parallel()
	at, all := recorder(t, 202)
	if _, err := (&teams{URLPlace{secretFile(t, at+"/workflows/x?sig=secret")}, httpClient(t)}).Say(t.Context(), hostile); err != nil {
		t.Fatal(err)
	}
	got := <-all
	card := got.body["attachments"].([]any)[0].(map[string]any)["content"].(map[string]any)
	var runs []string
	for _, block := range card["body"].([]any) {
		block := block.(map[string]any)
		if block["type"] != "RichTextBlock" {
			t.Errorf("a block is %v", block["type"])
		}
		inline := block["inlines"].([]any)[0].(map[string]any)
		if inline["type"] != "TextRun" {
			t.Errorf("an inline is %v", inline["type"])
		}
		runs = append(runs, inline["text"].(string))
	}
	if want := hostile.Title + "\n" + strings.Join(hostile.Lines, "\n"); strings.Join(runs, "\n") != want {
		t.Errorf("it reads %q", runs)
	}
	if action := card["actions"].([]any)[0].(map[string]any); action["url"] != hostile.Link || action["type"] != "Action.OpenUrl" {
		t.Errorf("the action is %v", action)
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	at, all := recorder(t, 204)
	m := hostile
	m.Event = eventOf(m, standingOf("v1", "v2").fleet, standingOf("v1", "v2").fleet.Rollout)
	if _, err := (&webhook{WebhookPlace{secretFile(t, at+"/hook"), secretFile(t, "s3cret")}, httpClient(t)}).Say(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := <-all
	stamp, sum, ok := strings.Cut(got.header.Get("X-Windlass-Signature"), ",v1=")
	seconds, err := strconv.ParseInt(strings.TrimPrefix(stamp, "t="), 10, 64)
	if !ok || err != nil || time.Since(time.Unix(seconds, 0)) > time.Minute {
		t.Errorf("signed %q", got.header.Get("X-Windlass-Signature"))
	}
	mac := hmac.New(sha256.New, []byte("s3cret"))
	fmt.Fprintf(mac, "%d.%s", seconds, got.text)
	if hex.EncodeToString(mac.Sum(nil)) != sum {
		t.Error("the signature is of something else")
	}
	if got.body["id"] != "web@1/halted" || got.body["event"] != "halted" || got.body["fleet"] != "web" || got.body["rollout"].(map[string]any)["release"] != "v2" {
		t.Errorf("%s", got.text)
	}
}

func TestAddressesThatAreSecretsAreInNoError(t *testing.T) {
	t.Parallel()
	at, _ := recorder(t, 403)
	dead := httptest.NewServer(nil)
	dead.Close()
	for _, server := range []string{at, dead.URL, "https://chat.invalid"} {
		urlFile, key := secretFile(t, server+"/hooks/s3cret-path?sig=s3cret-query"), secretFile(t, "s3cret-key")
		for _, c := range []Channel{
			&googleChat{URLPlace{urlFile}, httpClient(t)}, &teams{URLPlace{urlFile}, httpClient(t)}, &webhook{WebhookPlace{urlFile, key}, httpClient(t)},
		} {
			_, err := c.Say(t.Context(), hostile)
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%T: %v", c, err)
			}
		}
	}
}

// A mailServer takes mails, and behaves as it is told.
type mailServer struct {
	address string
	mails   chan string
	tls     *tls.Config // nil: it speaks none
	secured atomic.Int32
	logins  chan string
}

// serveMail answers each command with what script says of its first word, else well. "" ends the connection, "silence" says nothing.
func serveMail(t *testing.T, script map[string]string) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &mailServer{address: l.Addr().String(), mails: make(chan string, 10), logins: make(chan string, 10)}
	go s.accept(l, script)
	return s
}

// serveSecureMail is a server that speaks TLS: from the first byte, or when it is asked to.
func serveSecureMail(t *testing.T, implicit bool) (*mailServer, *x509.CertPool) {
	t.Helper()
	authority := nettest.NewAuthority(t)
	pair, err := tls.X509KeyPair(authority.Issue(t, "mail.test"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &mailServer{address: l.Addr().String(), mails: make(chan string, 10), logins: make(chan string, 10), tls: &tls.Config{Certificates: []tls.Certificate{pair}}}
	if implicit {
		l = tls.NewListener(l, s.tls)
	}
	go s.accept(l, map[string]string{"EHLO": "250-mail.test\r\n250-STARTTLS\r\n250 AUTH PLAIN", "AUTH": "235 welcome", "STARTTLS": "220 go on"})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)
	return s, roots
}

func (s *mailServer) accept(l net.Listener, script map[string]string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.serve(conn, script)
	}
}

func (s *mailServer) serve(conn net.Conn, script map[string]string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 mail.test ESMTP\r\n")
	data, mail := false, ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word := strings.ToUpper(strings.Fields(line + " .")[0])
		switch {
		case data && line == ".\r\n":
			data, word = false, "."
		case data:
			mail += line
			continue
		}
		answer, told := script[word]
		if !told {
			answer = map[string]string{"EHLO": "250 mail.test", "DATA": "354 go on", "QUIT": "221 bye"}[word]
			if answer == "" {
				answer = "250 ok"
			}
		}
		if word == "." && !strings.HasPrefix(answer, "5") && !strings.HasPrefix(answer, "4") {
			s.mails <- mail
		}
		if answer == "" {
			return
		}
		if answer == "silence" {
			continue
		}
		if word == "AUTH" {
			s.logins <- strings.TrimSpace(line)
		}
		fmt.Fprint(conn, answer+"\r\n")
		if word == "STARTTLS" {
			s.secured.Add(1)
			conn = tls.Server(conn, s.tls)
			in = bufio.NewReader(conn)
		}
		data = word == "DATA"
	}
}

func mailTo(s *mailServer) *email {
	return &email{at: EmailPlace{SMTP: s.address, From: "Windlass <windlass@example.com>", TLS: "none"}, to: "ops@example.com"}
}

func TestEmail(t *testing.T) {
	t.Parallel()
	s := serveMail(t, nil)
	m := hostile
	m.Title += "\r\nBcc: everybody@example.com"
	place, err := mailTo(s).Say(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(<-s.mails, "\r\n\r\n")
	if !strings.Contains(head, "Message-ID: <"+place+">") || !strings.HasSuffix(place, "@example.com") || strings.Contains(head, "\nBcc:") || !strings.Contains(head, "Content-Type: text/plain") {
		t.Errorf("the header is\n%s", head)
	}
	if !strings.Contains(body, "<@U1>") {
		t.Errorf("the body is\n%s", body)
	}
	reply := hostile
	reply.ID, reply.Place = "web@1/succeeded", place
	second, err := mailTo(s).Say(t.Context(), reply)
	if err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(<-s.mails, "\r\n\r\n"); second == place || !strings.Contains(head, "References: <"+place+">") || !strings.Contains(head, "In-Reply-To: <"+place+">") {
		t.Errorf("the header is\n%s", head)
	}
	if again, _ := mailTo(s).Say(t.Context(), m); again != place {
		t.Errorf("the same mail is %s, and was %s", again, place)
	}
}

func TestWhatMailServersAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script  map[string]string
		tls     string
		says    string // empty: it is sent
		refused bool
	}{
		"lost after it was taken": {map[string]string{"QUIT": "", "RSET": ""}, "none", "", false},
		"lost before":             {map[string]string{".": ""}, "none", "EOF", false},
		"not now":                 {map[string]string{"RCPT": "451 later"}, "none", "451", false},
		"never":                   {map[string]string{"RCPT": "550 nobody of that name"}, "none", `550 "nobody`, true},
		"no TLS":                  {nil, "starttls", "STARTTLS", false},
		"no such user":            {map[string]string{"EHLO": "250-mail.test\r\n250 AUTH CRAM-MD5", "AUTH": "535 who is that"}, "none", `535 "who is that`, true},
		"a password in the open":  {map[string]string{"EHLO": "250-mail.test\r\n250 AUTH PLAIN"}, "none", "over TLS only: correct tls", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveMail(t, c.script)
			e := mailTo(s)
			e.at.TLS = c.tls
			if strings.Contains(c.script["EHLO"], "AUTH") {
				e.at.User, e.at.PasswordFile = "windlass", secretFile(t, "s3cret")
			}
			_, err := e.Say(t.Context(), hostile)
			if (err == nil) != (c.says == "") {
				t.Fatalf("it ended with %v", err)
			}
			if err != nil && (failureOf(err).Refused != c.refused || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v: refused is %v", err, failureOf(err).Refused)
			}
			if name == "no TLS" && len(s.mails) > 0 {
				t.Error("it went in plain text")
			}
		})
	}
}

// An agent that ends waits for no mail server that says nothing any more.
func TestASilentMailServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := serveMail(t, map[string]string{".": "silence"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.mails
		cancel()
	}()
	if _, err := mailTo(s).Say(ctx, hostile); err == nil || !strings.HasSuffix(err.Error(), context.Canceled.Error()) {
		t.Errorf("it ended with %v", err)
	}
}

func TestMailOverTLS(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"starttls", "implicit"} {
		s, roots := serveSecureMail(t, way == "implicit")
		e := mailTo(s)
		e.at.TLS, e.at.User, e.at.PasswordFile = way, "windlass", secretFile(t, "s3cret")
		if _, err := e.Say(t.Context(), hostile); err == nil || len(s.logins) > 0 {
			t.Errorf("%s: to a server that anybody may be: %v", way, err)
		}
		e.roots = roots
		if _, err := e.Say(t.Context(), hostile); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		<-s.mails
		if login := <-s.logins; login != "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00windlass\x00s3cret")) {
			t.Errorf("%s: it logs in by %q", way, login)
		}
		if way == "starttls" && s.secured.Load() < 2 {
			t.Error("it went in plain text")
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"token", "url", "key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("https://x.example/"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(text string) (File, error) {
		path := filepath.Join(dir, "notify.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Read(path)
	}
	f, err := read(`channels:
  deploys: {slack: {tokenFile: token, channel: C0123}}
  space: {googleChat: {urlFile: url}}
  room: {teams: {urlFile: url}}
  ops: {email: {smtp: "mail.example.com:587", from: windlass@example.com, to: [a@example.com, "B <b@example.com>"], user: me, passwordFile: key}}
  alerts: {alertmanager: {url: "http://127.0.0.1:9093"}}
  hooks: {webhook: {urlFile: url, secretFile: key}}
`)
	if err != nil {
		t.Fatal(err)
	}
	if s := f.Channels["deploys"].Slack; s.API != "https://slack.com/api" || s.TokenFile != filepath.Join(dir, "token") || f.Channels["ops"].Email.TLS != "starttls" || len(f.Channels) != 6 {
		t.Errorf("%+v", f)
	}
	for text, want := range map[string]string{
		"":                          "notify.yaml:1:1: the file is empty",
		"channels: {a: {slak: {}}}": `notify.yaml:1:16: unknown key "slak" in channels.a; did you mean "slack"?`,
		"channels: {a: {slack: {tokenFile: token, channel: c, api: http://x.test}}}":       "notify.yaml:1:59: channels.a.slack.api is",
		"channels: {a: {teams: {urlFile: url}, webhook: {urlFile: url, secretFile: key}}}": "notify.yaml:1:15: channels.a: it needs exactly one of slack",
		"channels: {a: {teams: {urlFile: nowhere}}}":                                       `notify.yaml: channel "a": cannot read ` + filepath.Join(dir, "nowhere") + " (no such file",
		"channels: {A: {teams: {urlFile: url}}}":                                           `notify.yaml: channel "A": the name must be`,
		"channels: {a: {email: {smtp: mail, from: nobody, to: [x]}}}":                      "notify.yaml:1:30: channels.a.email.smtp is",
		"channels: {a: {email: {smtp: 'm:25', from: a@b.c, to: [a@b.c], user: me}}}":       "user of channels.a.email needs passwordFile",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := read("channels: {a: {alertmanager: {url: 'https://me:s3cret@alerts.example'}}}"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a password in an address: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "not there")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if says := f.Unknown([]desired.Notification{{Channel: "deploys"}, {Channel: "deploy"}}); len(says) != 1 || !strings.Contains(says[0], "did you mean deploys?") {
		t.Errorf("unknown: %v", says)
	}
}
