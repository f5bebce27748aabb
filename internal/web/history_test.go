package web_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"windlass/internal/history"
	"windlass/internal/web"
	"windlass/reconciler"
)

// book is a History of entries by fleet, the newest first; or it cannot be read.
type book struct {
	entries map[string][]history.Entry
	err     error
}

func (b book) Newest(fleet string, most int) ([]history.Entry, error) {
	all := b.entries[fleet]
	return all[:min(most, len(all))], b.err
}

func withHistory(h web.History) http.Handler {
	return web.New(web.Options{Addr: local, Source: newAgent(idle()), Metrics: http.NotFoundHandler(), Now: clock, History: h})
}

// ended are rollouts of each kind, the newest first.
func ended() []history.Entry {
	entry := func(ago time.Duration, took time.Duration, trigger reconciler.Trigger, result reconciler.Result, from, to string) history.Entry {
		at := noon.Add(-ago)
		return history.Entry{
			Fleet: "web-live", Started: at, Ended: at.Add(took), Trigger: trigger, Result: result, From: from, To: to,
			Revision: revision, Committed: at.Add(-time.Minute), Author: "somebody", Subject: "web " + to, Planned: 4, Completed: 4,
			Lowest: reconciler.Capacity{InService: 3, Size: 4}, Longest: reconciler.Outage{Node: "web-3", Since: at.Add(time.Second), Until: at.Add(took / 2)},
		}
	}
	all := []history.Entry{
		entry(time.Hour, 3*time.Minute, reconciler.TriggerRevert, reconciler.ResultRolledBack, "v1.4.2", "v1.4.1"),
		entry(3*time.Hour, 90*time.Minute, reconciler.TriggerCommit, reconciler.ResultHalted, "v1.4.1", "v1.4.2"),
		entry(5*time.Hour, 20*time.Second, reconciler.TriggerMembership, reconciler.ResultSucceeded, "", "v1.4.1"),
		entry(30*time.Hour, 5*time.Second, reconciler.TriggerCommit, reconciler.ResultSuperseded, "v1.4.0", "v1.4.0"),
	}
	all[1].Completed, all[1].Reason = 0, "failed on web-3: check up: 0 of 2 passes in a row in 23 tries; last failure: GET http://10.0.1.13:8080/healthz: 500, want 200"
	all[2].Lowest, all[2].Longest = reconciler.Capacity{}, reconciler.Outage{}
	all[3].Author, all[3].Subject = "", ""
	return all
}

func TestHistoryAsJSON(t *testing.T) {
	t.Parallel()
	long := make([]history.Entry, 1000)
	for i := range long {
		long[i] = ended()[0]
	}
	keeps := withHistory(book{entries: map[string][]history.Entry{"web-live": long, "gone": ended()}})
	for name, c := range map[string]struct {
		h      http.Handler
		path   string
		status int
		listed int
		says   string
	}{
		"usual":                   {keeps, "web-live/history", 200, 50, ""},
		"few":                     {keeps, "web-live/history?limit=3", 200, 3, ""},
		"all":                     {keeps, "web-live/history?limit=1000", 200, 1000, ""},
		"too many":                {keeps, "web-live/history?limit=1001", 400, 0, "limit must be a number from 1 to 1000"},
		"none asked for":          {keeps, "web-live/history?limit=0", 400, 0, "limit must be"},
		"no number":               {keeps, "web-live/history?limit=x", 400, 0, "limit must be"},
		"of a fleet that is gone": {keeps, "gone/history", 200, 4, ""},
		"of no fleet":             {keeps, "none/history", 404, 0, `no fleet "none"`},
		"of a hostile name":       {keeps, "%1b%5b2J/history", 404, 0, "no fleet"},
		"nothing yet":             {withHistory(book{}), "web-live/history", 200, 0, ""},
		"not kept":                {withHistory(nil), "web-live/history", 503, 0, "keeps no history"},
		"not kept, of no fleet":   {withHistory(nil), "none/history", 404, 0, "no fleet"},
		"unreadable":              {withHistory(book{err: errors.New("it is\x1b[2J damaged")}), "web-live/history", 500, 0, "cannot read the history of rollouts: it is damaged"},
	} {
		w := ask(c.h, "GET", "/api/v1/fleets/"+c.path, "localhost")
		body := w.Body.Bytes()
		var listed []web.Past
		var refused struct{ Error string }
		if w.Code == 200 {
			if err := json.Unmarshal(body, &listed); err != nil || listed == nil {
				t.Errorf("%s: %v: %s", name, err, body)
			}
		} else if err := json.Unmarshal(body, &refused); err != nil || strings.Contains(refused.Error, "\x1b") {
			t.Errorf("%s: %v: %s", name, err, body)
		}
		if w.Code != c.status || len(listed) != c.listed || !strings.Contains(refused.Error, c.says) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d, %d listed, %q; want %d, %d, %q", name, w.Code, len(listed), refused.Error, c.status, c.listed, c.says)
		}
	}
	public := web.New(web.Options{Addr: "0.0.0.0:9190", Source: newAgent(idle()), Metrics: http.NotFoundHandler(), History: book{}})
	if w := ask(public, "GET", "/api/v1/fleets/web-live/history", "agent.example:9190"); w.Code != http.StatusForbidden {
		t.Errorf("on a public address: %d", w.Code)
	}
}

func TestShapeOfTheHistory(t *testing.T) {
	t.Parallel()
	w := ask(withHistory(book{entries: map[string][]history.Entry{"web-live": ended()}}), "GET", "/api/v1/fleets/web-live/history", "localhost")
	golden(t, "history.json", w.Body.String())
}

func listed(t *testing.T, h http.Handler) []web.Past {
	t.Helper()
	var all []web.Past
	if err := json.Unmarshal(ask(h, "GET", "/api/v1/fleets/web-live/history", "localhost").Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func pastText(t *testing.T, all []web.Past, term web.Terminal) string {
	t.Helper()
	var out strings.Builder
	term.Now = noon
	if err := web.PastText(&out, "web-live", all, term); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTextOfTheHistory(t *testing.T) {
	t.Parallel()
	all := listed(t, withHistory(book{entries: map[string][]history.Entry{"web-live": ended()}}))
	golden(t, "history.txt", pastText(t, all, web.Terminal{Width: 80}))
	golden(t, "historycolour.txt", pastText(t, all, web.Terminal{Width: 120, Colour: true}))
	golden(t, "historypiped.txt", pastText(t, all, web.Terminal{}))
	golden(t, "historynone.txt", pastText(t, nil, web.Terminal{Width: 80}))
	for l := range strings.Lines(pastText(t, all, web.Terminal{Width: 80})) {
		if n := utf8.RuneCountInString(l) - 1; n > 80 {
			t.Errorf("%d columns: %q", n, l)
		}
	}
}

// What was kept may have been edited, and what comes over HTTP was cleaned by nobody.
func TestAHostileHistoryIsShownPlainly(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\x07a\r\n\u202e password=s3cr3tvalue"
	e := ended()[1]
	e.Trigger, e.Result = reconciler.Trigger("commit"), reconciler.Result("halted")
	e.From, e.To, e.Revision, e.Author, e.Subject, e.Reason, e.Longest.Node = evil, evil, evil, evil, evil, evil, evil
	all := listed(t, withHistory(book{entries: map[string][]history.Entry{"web-live": {e}}}))
	if said := fmt.Sprintf("%+v", all[0]); strings.ContainsAny(said, "\x1b\x07\r\n\u202e") {
		t.Errorf("the API says %q", said)
	}
	for _, said := range []string{all[0].Author, all[0].Subject, all[0].Reason} {
		if strings.Contains(said, "s3cr3tvalue") {
			t.Errorf("the API says %q", said)
		}
	}
	raw := web.Past{Trigger: evil, Result: evil, From: evil, Release: evil, Revision: evil, Author: evil, Subject: evil, Reason: evil, Longest: &web.Longest{Node: evil}}
	if said := pastText(t, []web.Past{raw}, web.Terminal{Width: 80}); strings.ContainsAny(said, "\x1b\x07\r\u202e") {
		t.Errorf("the terminal gets %q", said)
	}
}
