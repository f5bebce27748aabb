package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"windlass/internal/outbound"
	"windlass/internal/web"
)

// A slack is a channel at Slack. https://docs.slack.dev/reference/methods/chat.postMessage, chat.update
type slack struct {
	at   SlackPlace
	http *outbound.Client
}

func (s *slack) Traits() Traits {
	return Traits{Service: "slack", Updates: true, Threads: true, Every: 1200 * time.Millisecond} // one a second and channel; 50 updates a minute
}

// slackCall is what both methods take.
type slackCall struct {
	Channel  string `json:"channel"`
	Text     string `json:"text"`
	TS       string `json:"ts,omitempty"`        // of the message to change
	ThreadTS string `json:"thread_ts,omitempty"` // of the one to reply to
	Parse    string `json:"parse"`
	Links    bool   `json:"link_names"`
	Unfurl   bool   `json:"unfurl_links"`
	Media    bool   `json:"unfurl_media"`
}

type slackAnswer struct {
	OK      bool   `json:"ok"`
	Error   string `json:"error"`
	Channel string `json:"channel"`
	TS      string `json:"ts"`
}

// Say posts, replies or changes. Where a message is, is its channel's id and its ts: only by that id it can be changed.
func (s *slack) Say(ctx context.Context, m Message) (string, error) {
	call := slackCall{Channel: s.at.Channel, Text: slackText(m), Parse: "none"}
	channel, ts, _ := strings.Cut(m.Place, " ")
	method := "chat.postMessage"
	switch m.Kind {
	case Update:
		method, call.Channel, call.TS = "chat.update", channel, ts
	case Reply:
		call.Channel, call.ThreadTS = channel, ts
	}
	answer, err := s.call(ctx, method, call)
	if err != nil {
		return "", err
	}
	return answer.Channel + " " + answer.TS, nil
}

func (s *slack) call(ctx context.Context, method string, call slackCall) (slackAnswer, error) {
	var answer slackAnswer
	token, err := outbound.Secret(s.at.TokenFile)
	if err != nil {
		return answer, unread(err)
	}
	body, err := json.Marshal(call)
	if err != nil {
		return answer, unread(err)
	}
	got, err := s.http.Do(ctx, outbound.Request{
		Method: http.MethodPost, URL: strings.TrimSuffix(s.at.API, "/") + "/" + method, Body: body, Secrets: []string{token},
		Header: http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json; charset=utf-8"}},
	})
	if err != nil {
		return answer, unanswered(err)
	}
	if !got.OK() {
		return answer, refusedBy("Slack", got)
	}
	if err := json.Unmarshal(got.Body, &answer); err != nil {
		return answer, &Failure{Says: "Slack's answer cannot be understood: is api right?", Unsure: true}
	}
	if !answer.OK {
		return answer, slackRefusal(answer.Error, call, got)
	}
	return answer, nil
}

// slackAdvice is what to do about a refusal.
var slackAdvice = map[string]string{
	"channel_not_found": "give the channel's id, and invite the bot to it when it is private",
	"not_in_channel":    "invite the bot to the channel",
	"is_archived":       "name another channel",
	"invalid_auth":      "put a good token into tokenFile",
	"not_authed":        "put a good token into tokenFile",
	"token_revoked":     "put a good token into tokenFile",
	"token_expired":     "put a good token into tokenFile",
	"account_inactive":  "put the token of a bot that is there into tokenFile",
	"missing_scope":     "give the bot the scope chat:write",
}

// slackRefusal is an answer that is not ok.
func slackRefusal(why string, call slackCall, got outbound.Answer) *Failure {
	f := &Failure{Says: fmt.Sprintf("Slack says %s", web.Line(why)), Wait: outbound.RetryAfter(got.Header, time.Now())}
	switch why {
	case "ratelimited", "rate_limited", "service_unavailable", "request_timeout", "team_added_to_org":
	case "internal_error", "fatal_error": // some of it may have been done
		f.Unsure = true
	case "message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found":
		f.Gone = true
	default:
		f.Refused = true
	}
	if advice := slackAdvice[why]; advice != "" {
		f.Says += fmt.Sprintf(" of %s: %s", web.Line(call.Channel), advice)
	}
	return f
}

// slackMarks keeps text from being markup, and from calling people: Slack reads & < > as entities, and pairs of the others as styles.
// https://docs.slack.dev/messaging/formatting-message-text
var slackMarks = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "*", "∗", "`", "ˋ", "~", "∼")

func slackText(m Message) string {
	lines := []string{marks[m.Mood] + " *" + slackMarks.Replace(m.Title) + "*"}
	for _, l := range m.Lines {
		lines = append(lines, slackMarks.Replace(l))
	}
	if m.Link != "" {
		lines = append(lines, "<"+strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C").Replace(m.Link)+"|what changed>")
	}
	return strings.Join(lines, "\n")
}

// refusedBy is an answer with a status that is no success.
func refusedBy(who string, got outbound.Answer) *Failure {
	f := &Failure{Says: fmt.Sprintf("%s answers %d %s", who, got.Status, http.StatusText(got.Status)), Wait: outbound.RetryAfter(got.Header, time.Now())}
	switch {
	case got.Status/100 == 3:
		f.Says += ": it sends elsewhere, where nothing is told; correct the address"
		f.Refused = true
	case got.Status == http.StatusBadGateway || got.Status == http.StatusGatewayTimeout:
		f.Unsure = true // who stands before the place passed it on
	case got.Status == http.StatusTooManyRequests || got.Status == http.StatusRequestTimeout || got.Status/100 == 5:
	default:
		f.Says += ": correct the address, or the secret"
		f.Refused = true
	}
	return f
}
