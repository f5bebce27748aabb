package main

import (
	"context"
	"io"
	"strings"
	"testing"

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

// What an agent says is shown, never obeyed by the terminal.
func TestForecastIsShownAsText(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2Jevil"
	for _, nodes := range [][]string{nil, {evil}} {
		var out strings.Builder
		d := &deployment{fleet: "web", release: "v2", out: &out}
		d.show(change{parent: "abc", holder: "fleets/web.yaml", was: "v1", rolls: []string{evil}}, web.Forecast{
			Revision: evil, Nodes: nodes, MaxUnavailable: evil, Phase: evil, Reason: evil, Expected: &web.Expected{Says: evil},
		})
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("it shows %q", out.String())
		}
	}
}
