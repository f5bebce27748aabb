package e2e

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/notify/notifytest"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// toldFile is what people of a world hear by: a chat, and a channel nobody answers at.
func toldFile(t *testing.T, chat *notifytest.Slack) string {
	server := httptest.NewServer(chat)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"token": "xoxb-of-a-test", "url": "http://127.0.0.1:1/hook",
		"notify.yaml": fmt.Sprintf("channels:\n  deploys: {slack: {tokenFile: token, channel: deploys, api: %q}}\n  nowhere: {teams: {urlFile: url}}\n", server.URL+"/api"),
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return filepath.Join(dir, "notify.yaml")
}

func heard(fleet string) string {
	return longer(fleet) + "\nnotify: [{channel: deploys}, {channel: nowhere}, {channel: deploy}]\n"
}

// An agent that is killed in the middle of a rollout goes on in the thread that it began; what cannot be told, and to whom not, is in the status.
func TestKilledAgentGoesOnInItsThread(t *testing.T) {
	chat := &notifytest.Slack{Token: "xoxb-of-a-test"}
	w := newWorld(t, 2, "--notify", toldFile(t, chat))
	w.edit(fleetFile, heard)
	w.begin()
	letGo := w.hold("activate")
	w.deploy("v2")
	w.meets(plan.Configuring)
	kept := filepath.Join(w.Dir, "agent", "notified.json")
	w.eventually("the thread to be kept", func() bool {
		text, err := os.ReadFile(kept)
		return err == nil && strings.Contains(string(text), `"place":"C`)
	})
	check(t, w.Agent.Kill())
	check(t, w.Agent.Start())
	letGo()
	w.arrives(w.Repo.Head(), "v2")
	about := func(threads []notifytest.Thread) (of []notifytest.Thread) {
		for _, one := range threads {
			if strings.Contains(one.Head.Text, "→ v2") {
				of = append(of, one)
			}
		}
		return of
	}
	check(t, chat.Await(patience, func(threads []notifytest.Thread) bool {
		of := about(threads)
		return len(of) > 0 && strings.Contains(of[0].Head.Text, "in service on 2 of 2") && len(of[0].Replies) > 0
	}))
	if of := about(chat.Threads()); len(of) != 1 || len(of[0].Replies) != 1 || of[0].Head.Edits == 0 {
		t.Errorf("%+v", of)
	}
	w.sees("the channel that is not there", func(f web.Fleet) bool {
		return strings.Contains(strings.Join(f.Plan.Holds, "; "), "channel deploy is not in the agent's file of --notify, so nobody hears there; did you mean deploys?")
	})
	w.eventually("the channel that nobody answers at", func() bool { return strings.Contains(w.get("/api/v1/repo"), `"to": "channel nowhere (teams)"`) })
	if m := w.metrics(); !strings.Contains(m, `windlass_notification_channel_failing{channel="nowhere",service="teams"} 1`) || !strings.Contains(m, `windlass_notification_channel_failing{channel="deploys",service="slack"} 0`) {
		t.Error("the metrics do not tell who fails")
	}
}
