package notify

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// startAlertmanager is a real one, which ends with the test, and its URL.
func startAlertmanager(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skip("there is no prometheus-alertmanager")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+config, "--storage.path="+dir, "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
	says, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	at := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		listens := regexp.MustCompile(`address=(127\.0\.0\.1:[1-9]\d*)`)
		for lines := bufio.NewScanner(says); lines.Scan(); {
			if m := listens.FindStringSubmatch(lines.Text()); m != nil && len(at) == 0 {
				at <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-read
		_ = cmd.Wait()
	})
	select {
	case address := <-at:
		return "http://" + address
	case <-time.After(30 * time.Second):
		t.Fatal("it does not listen")
	}
	return ""
}

// firing are the names of alerts that a real Alertmanager says are active.
func firing(t *testing.T, at string) map[string]bool {
	t.Helper()
	answer, err := http.Get(at + "/api/v2/alerts?active=true")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var all []struct{ Labels map[string]string }
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, a := range all {
		names[a.Labels["alertname"]+" "+a.Labels["fleet"]] = true
	}
	return names
}

// A real Alertmanager takes what it is told, and the end of it.
func TestARealAlertmanager(t *testing.T) {
	t.Parallel()
	at := startAlertmanager(t)
	a := &alertmanager{at: AlertmanagerPlace{URL: at + "/"}, http: httpClient(t)}
	moving := standingOf("v1", "v2")
	moving.fleet.Rollout.Started = time.Now().Add(-time.Minute)
	halted := ending(moving, reconciler.ResultHalted, plan.PhaseHalted, "v2 failed on web-1")
	halted.fleet.Rollout.Ended = time.Now().Add(-time.Second)
	idle := ending(moving, reconciler.ResultSucceeded, plan.PhaseIdle, "")
	for _, c := range []struct {
		standing standing
		want     string
	}{{moving, "WindlassRolloutUnderWay web"}, {halted, "WindlassRolloutHalted web"}, {idle, ""}} {
		now := time.Now()
		due, _ := a.due(view{known: true, standings: []standing{c.standing}}, now)
		if err := a.tell(t.Context(), due, now); err != nil {
			t.Fatal(err)
		}
		got := firing(t, at)
		if want := map[bool]int{true: 1, false: 0}[c.want != ""]; len(got) != want || c.want != "" && !got[c.want] {
			t.Errorf("there fire %v, want %q", got, c.want)
		}
	}
}
