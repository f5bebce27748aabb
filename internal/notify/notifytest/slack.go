package notifytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Slack is a server of Slack's chat.postMessage and chat.update for one workspace. The zero value takes any token and any channel. It is an
// http.Handler; its methods may be called side by side.
type Slack struct {
	Token string // that is demanded; empty: any
	// Trouble, when it is there, is asked before each call what goes wrong with it.
	Trouble func(method string, call int) Trouble

	mu       sync.Mutex
	calls    int
	channels []string
	messages []Message
	changed  chan struct{}
}

// A Trouble is what goes wrong with a call. The zero value: nothing.
type Trouble struct {
	RetryAfter int    // seconds; the call is answered with 429
	Status     int    // the call is answered with this status
	Error      string // the call is answered with ok false
	Cut        bool   // the connection ends before the answer
	Late       bool   // what goes wrong does so after the call had its effect
}

// A Message is one that is there, as it reads now.
type Message struct {
	Channel string
	TS      string
	Thread  string // ts of the message that it replies to; empty: none
	Text    string // as it was sent
	Edits   int
}

type request struct {
	Channel  string `json:"channel"`
	Text     string `json:"text"`
	TS       string `json:"ts"`
	ThreadTS string `json:"thread_ts"`
}

// ServeHTTP answers a call of the API. What stands before the method in the path does not matter.
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the client went
	}
	method := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	trouble := s.trouble(method)
	if trouble != (Trouble{}) && !trouble.Late {
		trouble.answer(w)
		return
	}
	answer := s.call(method, r, body)
	if trouble.Late {
		trouble.answer(w)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(answer) // the client went
}

func (s *Slack) trouble(method string) Trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.Trouble == nil {
		return Trouble{}
	}
	return s.Trouble(method, s.calls)
}

func (t Trouble) answer(w http.ResponseWriter) {
	switch {
	case t.Cut:
		panic(http.ErrAbortHandler)
	case t.RetryAfter > 0:
		w.Header().Set("Retry-After", strconv.Itoa(t.RetryAfter))
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"ok":false,"error":"ratelimited"}`)
	case t.Status > 0:
		w.WriteHeader(t.Status)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": t.Error})
	}
}

func refuse(why string) map[string]any { return map[string]any{"ok": false, "error": why} }

func (s *Slack) call(method string, r *http.Request, body []byte) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var asked request
	switch {
	case !bearer:
		return refuse("not_authed")
	case s.Token != "" && token != s.Token:
		return refuse("invalid_auth")
	case r.Method != http.MethodPost || json.Unmarshal(body, &asked) != nil:
		return refuse("invalid_json")
	case asked.Text == "":
		return refuse("no_text")
	}
	switch method {
	case "chat.postMessage":
		return s.post(asked)
	case "chat.update":
		return s.update(asked)
	}
	return refuse("unknown_method")
}

// post takes a channel by its name or its id, and answers with the id.
func (s *Slack) post(asked request) map[string]any {
	name := strings.TrimPrefix(asked.Channel, "#")
	i := slices.IndexFunc(s.channels, func(c string) bool { return c == name || channelID(c) == name })
	if i < 0 {
		s.channels = append(s.channels, name)
		i = len(s.channels) - 1
	}
	m := Message{Channel: s.channels[i], TS: fmt.Sprintf("1700000000.%06d", len(s.messages)+1), Thread: asked.ThreadTS, Text: asked.Text}
	s.messages = append(s.messages, m)
	s.wake()
	return map[string]any{"ok": true, "channel": channelID(m.Channel), "ts": m.TS}
}

func channelID(name string) string {
	return fmt.Sprintf("C%08X", len(name)*7919) + strings.ToUpper(name)
}

// update takes the channel's id alone.
func (s *Slack) update(asked request) map[string]any {
	if !slices.ContainsFunc(s.channels, func(c string) bool { return channelID(c) == asked.Channel }) {
		return refuse("channel_not_found")
	}
	for i := range s.messages {
		if m := &s.messages[i]; m.TS == asked.TS && channelID(m.Channel) == asked.Channel {
			m.Text = asked.Text
			m.Edits++
			s.wake()
			return map[string]any{"ok": true, "channel": asked.Channel, "ts": asked.TS}
		}
	}
	return refuse("message_not_found")
}

func (s *Slack) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Changed returns a channel that is closed when a message comes or changes.
func (s *Slack) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// Messages are all, in the order in which they came.
func (s *Slack) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// A Thread is a message with its replies.
type Thread struct {
	Head    Message
	Replies []Message
}

// Threads are all, in the order in which they began.
func (s *Slack) Threads() []Thread {
	var all []Thread
	for _, m := range s.Messages() {
		i := slices.IndexFunc(all, func(t Thread) bool { return t.Head.TS == m.Thread })
		if i < 0 {
			all = append(all, Thread{Head: m})
			continue
		}
		all[i].Replies = append(all[i].Replies, m)
	}
	return all
}

// Print writes threads as people see them, without markup.
func Print(w io.Writer, threads []Thread) error {
	var out strings.Builder
	for _, t := range threads {
		fmt.Fprintf(&out, "#%s\n%s", t.Head.Channel, indented(t.Head.Text, "  "))
		for _, r := range t.Replies {
			out.WriteString(indented(r.Text, "    ↳ "))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

var plain = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&", "*", "")

func indented(text, by string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(plain.Replace(text), "\n") {
		out.WriteString(by + line + "\n")
		by = strings.Repeat(" ", len([]rune(by)))
	}
	return out.String()
}

// Await returns when what is there satisfies done, or says after a while what there is instead.
func (s *Slack) Await(patience time.Duration, done func([]Thread) bool) error {
	late := time.After(patience)
	for {
		changed := s.Changed()
		threads := s.Threads()
		if done(threads) {
			return nil
		}
		select {
		case <-changed:
		case <-late:
			var out strings.Builder
			_ = Print(&out, threads)
			return fmt.Errorf("what was awaited did not come; there is\n%s", out.String())
		}
	}
}
