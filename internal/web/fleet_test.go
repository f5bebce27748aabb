package web_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func encoded(t testing.TB, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func TestShapeOfAFleet(t *testing.T) {
	s := progressing()
	s.Nodes = s.Nodes[2:4]
	golden(t, "fleet.json", encoded(t, web.FromStatus(s)))
}

func TestAFleetOfWhichNothingIsKnownHasEveryKeyAndNoNull(t *testing.T) {
	golden(t, "empty.json", encoded(t, web.FromStatus(reconciler.Status{Name: "web-live"})))
}

func TestTailsAreShownWithoutSecretsAndEscapes(t *testing.T) {
	s := halted()
	s.Nodes[0].Tail = "\x1b]0;owned\x07one\r\n\x1b[31mtwo\x1b[0m 10%\r100%\n\tAPI_TOKEN=abcdefgh\x00\u202e"
	want := "one\n100%\n    API_TOKEN=[redacted]"
	if got := web.FromStatus(s).Nodes[0].Tail; !strings.HasPrefix(got, want) || strings.ContainsAny(got, "\x00\x1b\r\u202e") {
		t.Errorf("tail is %q, want %q", got, want)
	}
}

func TestG32ALongTailKeepsItsEnd(t *testing.T) {
	s := halted()
	s.Nodes[0].Tail = strings.Repeat(strings.Repeat("x", 100_000)+"\n", 100) + "the end\n"
	tail := web.FromStatus(s).Nodes[0].Tail
	if !strings.HasSuffix(tail, "the end") || len(tail) > 100_000 {
		t.Errorf("%d bytes: %.200q", len(tail), tail)
	}
}

// TestNothingInvisibleIsShown holds for everything a status says, whatever a node or a commit says.
func TestNothingInvisibleIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text") + "\x1b[2J\u202e\x9b\xff"
		var out strings.Builder
		fleets := []web.Fleet{web.FromStatus(hostile(text))}
		if err := web.Text(&out, web.Repo{Problem: text}, fleets, web.Terminal{Width: 80, Now: noon}); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.String() {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Fatalf("%q in %q", c, out.String())
			}
		}
	})
}

// What a fleet has proven on all nodes is told while it goes on, and no longer: a deploy to another fleet is made of it.
func TestWhatAFleetHasProven(t *testing.T) {
	t.Parallel()
	at := clock().Add(-time.Hour)
	s := reconciler.Status{Name: "staging", Whole: plan.Wholeness{Spans: []plan.Span{{Release: "v42", At: at, Seen: clock()}}}}
	if p := web.FromStatus(s).Proven; p == nil || p.Release != "v42" || !p.Since.Equal(at) {
		t.Errorf("proven is %+v", p)
	}
	s.Whole.Spans[0].Until = clock()
	if p := web.FromStatus(s).Proven; p != nil {
		t.Errorf("it was, and proven is %+v", p)
	}
}
