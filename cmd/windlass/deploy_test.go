package main

import (
	"strings"
	"testing"

	"windlass/internal/web"
)

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
