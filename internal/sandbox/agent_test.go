package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// events is an agent's event stream that tells these phases on each connection and then, if asked to, ends.
func events(t *testing.T, connections <-chan []string) *Agent {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case phases := <-connections:
			fmt.Fprint(w, "retry: 2000\n\nevent: repo\ndata: {}\n\n")
			for _, phase := range phases {
				fmt.Fprintf(w, "event: fleet\ndata: {\"name\":\"other\",\"phase\":\"halted\"}\n\nevent: fleet\ndata: {\"name\":%q,\"phase\":%q}\n\n", "web", phase)
			}
			w.(http.Flusher).Flush()
		default:
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	return &Agent{URL: server.URL, Fleet: "web", log: &tail{}}
}

func TestWaitGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	connections := make(chan []string, 2)
	connections <- []string{"progressing"}
	connections <- []string{"progressing", "halted"}
	agent := events(t, connections)
	status, err := agent.Wait(t.Context(), "the halt", func(f web.Fleet) bool { return f.Phase == plan.PhaseHalted })
	if err != nil || status.Phase != plan.PhaseHalted || status.Name != "web" {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestWaitTellsHowThingsStood(t *testing.T) {
	t.Parallel()
	connections := make(chan []string, 1)
	connections <- []string{"waiting"}
	agent := events(t, connections)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := agent.Wait(ctx, "peace", func(f web.Fleet) bool { return f.Phase == plan.PhaseIdle })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cannot see peace") || !strings.Contains(err.Error(), "last: waiting") {
		t.Errorf("the error is %v", err)
	}
}

func TestAgentIsKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	agent := &Agent{Command: Command{Path: testBinary(t), Args: []string{"idle"}}, log: &tail{}}
	check(t, agent.Start())
	if agent.Start() == nil {
		t.Error("it was started twice")
	}
	check(t, agent.Kill())
	check(t, agent.Kill())
	check(t, agent.Start())
	if err := agent.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("an agent without a handler for SIGTERM ended with %v", err)
	}
}
