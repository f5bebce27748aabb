package manual

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

const someSchema = `{"$defs": {"step": {"properties": {
	"run": {"description": "A command.", "type": "string"},
	"timeout": {"description": "How long it may take.", "default": "1m"}}}},
"properties": {
	"name": {"description": "Its name."},
	"way": {"description": "How.", "enum": ["fast", "slow"], "default": "fast"},
	"steps": {"description": "What to do.", "items": {"$ref": "#/$defs/step", "properties": {"timeout": {"default": "10m"}}}}}}`

var edition = Edition{Version: "1.4.2", Date: time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("east", 3600))}

// example is a program with a command that says all that a command can.
func example() *cobra.Command {
	root := &cobra.Command{Use: "windlass", Short: "Takes a release everywhere", Example: "  windlass run"}
	run := &cobra.Command{
		Use: "run [DIR]", Short: "Run it", Example: "  windlass run --name 'a b'   # \\now",
		Long: "Run it.\n.TH is no macro here\n'nor is this: 5 > 4 — ~x^y`z…\n\n  # a line as it is\n\nExit status: 0 it ran, 2 it did not.\n\nMore of it.",
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	run.Flags().String("name", "web", "`NAME` of it")
	run.Flags().String("config", "", "`file` with options")
	run.Flags().Bool("quick", false, "be quick")
	hidden := &cobra.Command{Use: "secret", Short: "Not for people", Hidden: true, RunE: run.RunE}
	root.AddCommand(run, hidden)
	return root
}

func pagesOf(t *testing.T) map[string]string {
	t.Helper()
	pages, err := Pages(example(), []byte(someSchema), edition)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range pages {
		found[p.File] = p.Text
	}
	return found
}

// shown is a page as a terminal shows it, with its spaces made one.
func shown(t *testing.T, page string) string {
	t.Helper()
	program, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("left out: mandoc is not installed")
	}
	cmd := exec.Command(program, "-Tutf8", "-O", "width=500")
	cmd.Stdin = strings.NewReader(page)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mandoc: %v", err)
	}
	plain := strings.Builder{}
	runes := []rune(string(out))
	for i, r := range runes { // bold is a letter over itself, italics one over _
		if r != '\b' && (i+1 == len(runes) || runes[i+1] != '\b') {
			plain.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(plain.String()), " ")
}

func TestACommandsPageSaysWhatItsHelpDoes(t *testing.T) {
	t.Parallel()
	pages := pagesOf(t)
	if pages["windlass-secret.1"] != "" || strings.Contains(pages["windlass.1"], "secret") {
		t.Error("a hidden command is told of")
	}
	page := shown(t, pages["windlass-run.1"])
	for _, want := range []string{
		"NAME windlass-run - Run it",
		"SYNOPSIS windlass run [DIR] [OPTION]...",
		".TH is no macro here 'nor is this: 5 > 4 — ~x^y`z...",
		"# a line as it is More of it.",
		`--name NAME NAME of it (default "web")`,
		"--quick be quick EXAMPLES",
		`windlass run --name 'a b' # \now`,
		"ENVIRONMENT Each option",
		"EXIT STATUS 0 it ran, 2 it did not. SEE ALSO",
		"windlass 1.4.2 2026-03-01 WINDLASS-RUN(1)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestTheFleetFilesPageTellsEachKey(t *testing.T) {
	t.Parallel()
	page := shown(t, pagesOf(t)["windlass-fleet.5"])
	want := "KEYS name Its name. steps What to do. steps[].run A command. steps[].timeout How long it may take. Default: 10m. way How. One of: fast, slow. Default: fast. SEE ALSO"
	if !strings.Contains(page, want) {
		t.Errorf("the page lacks %q:\n%s", want, page)
	}
}

func TestASchemaThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"", "{"} {
		if _, err := Pages(example(), []byte(schema), edition); err == nil || !strings.Contains(err.Error(), "cannot read the schema") {
			t.Errorf("the schema %q: %v", schema, err)
		}
	}
}

// Pages hold ASCII alone, so that no locale shows them wrongly.
func TestPagesAreASCII(t *testing.T) {
	t.Parallel()
	for file, page := range pagesOf(t) {
		if strings.ContainsFunc(page, func(r rune) bool { return r > '~' }) {
			t.Errorf("%s is not plain ASCII", file)
		}
	}
}
