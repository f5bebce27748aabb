package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/internal/web"
)

// Ctrl-C at the question is an answer, too.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{"y\n": "y", " YES \r\n": "yes", "no\n": "no", "\n": "", "": "", "y": "y"} {
		if got := answerOf(t.Context(), strings.NewReader(typed)); got != want {
			t.Errorf("%q is %q", typed, got)
		}
	}
	silent, typist := io.Pipe()
	defer typist.Close()
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if got := answerOf(ctx, silent); got != "" {
		t.Errorf("who leaves says %q", got)
	}
}

// A remote is not asked at every turn what became of a commit that it does not know.
func TestWhatIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := ""
		contains := remembered(func(revision string) (bool, error) {
			asked += revision
			if revision == "x" {
				return true, errors.New("no such commit")
			}
			return revision == "a", nil
		})
		for range 3 {
			if !contains("a") || contains("b") || contains("x") {
				t.Error("a alone has it")
			}
		}
		time.Sleep(20 * time.Second)
		contains("a")
		contains("x")
		if asked != "abxx" {
			t.Errorf("it was asked for %s", asked)
		}
	})
}

// What an agent says is shown, never obeyed by the terminal.
func TestForecastIsShownAsText(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2Jevil"
	for _, nodes := range [][]string{nil, {evil}} {
		var out strings.Builder
		d := &deployment{fleet: "web", release: "v2"}
		d.tell(&out, change{parent: "abc", holder: evil, was: evil, rolls: []string{evil}}, web.Forecast{
			Revision: evil, Nodes: nodes, MaxUnavailable: evil, Phase: evil, Reason: evil, Expected: &web.Expected{Says: evil},
		})
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("it shows %q", out.String())
		}
	}
}

// An unreachable deploy repo's history cannot be fetched.
type unreachable struct{ checkout }

func (unreachable) Reaches(context.Context, string, string, string) (bool, error) {
	return false, errors.New("no network")
}

// A history that cannot be looked through is not taken for one that tells of nothing.
func TestNoWayBackIsKnownWithoutTheRepo(t *testing.T) {
	t.Parallel()
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"result":"succeeded","revision":"a"}]`)
	}))
	t.Cleanup(agent.Close)
	c, err := newClient(agentAddress{server: agent.URL})
	if err != nil {
		t.Fatal(err)
	}
	w := &wayBack{deployment: &deployment{fleet: "web", agent: c, clone: unreachable{}}}
	if err := w.find(t.Context(), "b", version{}); err == nil || err.Error() != "no network" {
		t.Errorf("it says %v", err)
	}
}
