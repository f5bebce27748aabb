package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"windlass/internal/outbound"
)

// post sends JSON to an address that is a secret.
func post(ctx context.Context, c *outbound.Client, who, at string, body any, header http.Header) error {
	text, err := json.Marshal(body)
	if err != nil {
		return unread(err)
	}
	return send(ctx, c, who, at, text, header)
}

func send(ctx context.Context, c *outbound.Client, who, at string, text []byte, header http.Header) error {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json; charset=UTF-8")
	request := outbound.Request{Method: http.MethodPost, URL: at, Body: text, Header: header}
	if parsed, err := url.Parse(at); err == nil {
		request.Secrets = []string{parsed.RequestURI()}
	}
	got, err := c.Do(ctx, request)
	if err != nil {
		return unanswered(err)
	}
	if !got.OK() {
		return refusedBy(who, got)
	}
	return nil
}

// A googleChat is a space at Google Chat, told by an incoming webhook: it keeps threads by keys that we give, and changes nothing.
// https://developers.google.com/workspace/chat/quickstart/webhooks
type googleChat struct {
	at   URLPlace
	http *outbound.Client
}

func (g *googleChat) Traits() Traits {
	return Traits{Service: "googleChat", Threads: true, Every: 1200 * time.Millisecond} // one a second and space
}

func (g *googleChat) Say(ctx context.Context, m Message) (string, error) {
	raw, err := outbound.Secret(g.at.URLFile)
	if err != nil {
		return "", unread(err)
	}
	at, err := outbound.ParseURL(raw)
	if err != nil {
		return "", unread(err)
	}
	body := map[string]any{"text": googleText(m)}
	if m.Thread != "" {
		query := at.Query()
		query.Set("messageReplyOption", "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")
		at.RawQuery = query.Encode()
		body["thread"] = map[string]string{"threadKey": m.Thread}
	}
	return "", post(ctx, g.http, "Google Chat", at.String(), body, nil)
}

// googleMarks keeps text from being markup, and from calling people: Google Chat reads <users/all> and <URL|text>, and has no way to escape them.
// https://developers.google.com/workspace/chat/format-messages
var googleMarks = strings.NewReplacer("<", "‹", ">", "›", "*", "∗", "_", "＿", "`", "ˋ", "~", "∼")

func googleText(m Message) string {
	lines := []string{marks[m.Mood] + " *" + googleMarks.Replace(m.Title) + "*"}
	for _, l := range m.Lines {
		lines = append(lines, googleMarks.Replace(l))
	}
	if m.Link != "" {
		lines = append(lines, "<"+strings.NewReplacer("<", "%3C", ">", "%3E", "|", "%7C").Replace(m.Link)+"|what changed>")
	}
	return strings.Join(lines, "\n")
}

// A teams is a channel at Microsoft Teams, told by a Workflows webhook: no id comes back, so nothing is changed or replied to.
// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
type teams struct {
	at   URLPlace
	http *outbound.Client
}

func (t *teams) Traits() Traits {
	return Traits{Service: "teams", Every: 1200 * time.Millisecond}
}

func (t *teams) Say(ctx context.Context, m Message) (string, error) {
	at, err := outbound.Secret(t.at.URLFile)
	if err != nil {
		return "", unread(err)
	}
	return "", post(ctx, t.http, "Teams", at, teamsCard(m), nil)
}

var teamsColours = map[Mood]string{Busy: "Accent", Good: "Good", Held: "Warning", Bad: "Attention", Over: "Default"}

// teamsCard is an Adaptive Card of rich text, as runs of that are the one text in it that is no Markdown.
// https://adaptivecards.io/explorer/TextRun.html
func teamsCard(m Message) any {
	run := func(text string, more map[string]any) map[string]any {
		inline := map[string]any{"type": "TextRun", "text": text}
		for key, v := range more {
			inline[key] = v
		}
		return map[string]any{"type": "RichTextBlock", "inlines": []any{inline}}
	}
	body := []any{run(m.Title, map[string]any{"weight": "Bolder", "color": teamsColours[m.Mood]})}
	for _, l := range m.Lines {
		body = append(body, run(l, nil))
	}
	card := map[string]any{"type": "AdaptiveCard", "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "version": "1.4", "body": body}
	if m.Link != "" {
		card["actions"] = []any{map[string]any{"type": "Action.OpenUrl", "title": "What changed", "url": m.Link}}
	}
	return map[string]any{"type": "message", "attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}}
}

// A webhook is a program of the team's own. It hears at least once of everything, with an id to tell repeats.
type webhook struct {
	at   WebhookPlace
	http *outbound.Client
}

func (w *webhook) Traits() Traits {
	return Traits{Service: "webhook", Known: true, Each: true, Every: 100 * time.Millisecond}
}

// SignatureHeader holds the signature of an event: t=SECONDS,v1=HEX.
const SignatureHeader = "X-Windlass-Signature"

// Sign is the signature of a body that is sent at that time: the HMAC-SHA256, by the secret, of the seconds since 1970 in decimal, a dot, and the
// body.
func Sign(secret string, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (w *webhook) Say(ctx context.Context, m Message) (string, error) {
	at, err := outbound.Secret(w.at.URLFile)
	if err != nil {
		return "", unread(err)
	}
	key, err := outbound.Secret(w.at.SecretFile)
	if err != nil {
		return "", unread(err)
	}
	text, err := json.Marshal(m.Event)
	if err != nil {
		return "", unread(err)
	}
	header := http.Header{SignatureHeader: {Sign(key, text, time.Now())}, "X-Windlass-Event": {m.Event.Event}, "X-Windlass-Id": {m.ID}}
	return "", send(ctx, w.http, "the webhook", at, text, header)
}
