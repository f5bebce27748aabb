package manual

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// An Edition is what the margins of the pages name.
type Edition struct {
	Version string
	Date    time.Time
}

// A Page is a manual page.
type Page struct {
	File string // as in windlass-run.1
	Text string // in man(7) macros, ASCII
}

// Pages are the manual of a program with commands one deep, and of the file that a JSON Schema describes. An error says that the schema
// cannot be read.
func Pages(root *cobra.Command, schema []byte, edition Edition) ([]Page, error) {
	root.InitDefaultCompletionCmd()
	pages := []Page{program(root, edition)}
	for _, cmd := range told(root) {
		pages = append(pages, command(cmd, edition))
	}
	fleet, err := fleetFile(schema, edition)
	return append(pages, fleet), err
}

// told are the commands of a command that people are told of, but for help, which every page stands in for.
func told(cmd *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(cmd.Commands()), func(c *cobra.Command) bool {
		return !c.IsAvailableCommand() || c.Name() == "help"
	})
}

// pageName is what the page of a command is called: windlass-run.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func program(root *cobra.Command, edition Edition) Page {
	var s sheet
	s.title(root.Name(), 1, edition)
	s.name(root.Name(), root.Short)
	s.section("SYNOPSIS")
	fmt.Fprintf(&s, "\\fB%s\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]\\&...\n", root.Name())
	s.section("DESCRIPTION")
	s.text(about)
	s.section("COMMANDS")
	for _, cmd := range told(root) {
		fmt.Fprintf(&s, ".TP\n\\fB%s\\fR(1)\n", escape(pageName(cmd)))
		s.line(cmd.Short)
	}
	s.examples(root)
	s.entries("FILES", files)
	s.entries("ENVIRONMENT", environment)
	s.section("EXIT STATUS")
	s.text(anyStatus)
	s.section("SEE ALSO")
	s.line("windlass-run(1), windlass-deploy(1), windlass-status(1), windlass-fleet(5)")
	return Page{File: root.Name() + ".1", Text: s.String()}
}

func command(cmd *cobra.Command, edition Edition) Page {
	var s sheet
	s.title(pageName(cmd), 1, edition)
	s.name(pageName(cmd), cmd.Short)
	s.section("SYNOPSIS")
	s.synopsis(cmd)
	body, status := apart(cmd.Long)
	s.section("DESCRIPTION")
	if body == "" {
		body = cmd.Short + "."
	}
	s.text(body)
	if below := told(cmd); len(below) > 0 {
		s.section("COMMANDS")
		for _, c := range below {
			s.term(c.Name(), "")
			s.line(c.Short)
		}
	}
	configured := s.options(cmd)
	s.examples(cmd)
	if configured {
		s.section("ENVIRONMENT")
		s.text(eachOption)
	}
	s.section("EXIT STATUS")
	s.text(status)
	s.section("SEE ALSO")
	s.line("windlass(1), windlass-fleet(5)")
	return Page{File: pageName(cmd) + ".1", Text: s.String()}
}

// synopsis is the command with the words it takes.
func (s *sheet) synopsis(cmd *cobra.Command) {
	path, words := cmd.CommandPath(), strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath())
	words = strings.TrimSpace(strings.TrimSuffix(words, "[flags]"))
	fmt.Fprintf(s, "\\fB%s\\fR", escape(path))
	if words != "" {
		fmt.Fprintf(s, " \\fI%s\\fR", escape(words))
	}
	if cmd.HasAvailableLocalFlags() {
		s.WriteString(" [\\fIOPTION\\fR]\\&...")
	}
	s.WriteByte('\n')
}

// apart parts what a command does from what its exit status says.
func apart(long string) (body, status string) {
	const mark = "Exit status: "
	var rest []string
	status = anyStatus
	for paragraph := range strings.SplitSeq(long, "\n\n") {
		if said, ok := strings.CutPrefix(paragraph, mark); ok {
			status = strings.ToUpper(said[:1]) + said[1:]
			continue
		}
		rest = append(rest, paragraph)
	}
	return strings.Join(rest, "\n\n"), status
}

// options lists a command's flags, and says whether they can be given in a file and in the environment too.
func (s *sheet) options(cmd *cobra.Command) (configured bool) {
	listed := false
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if !listed {
			s.section("OPTIONS")
			listed = true
		}
		configured = configured || f.Name == "config"
		placeholder, usage := pflag.UnquoteUsage(f)
		s.term("--"+f.Name, placeholder)
		s.line(usage + defaulting(f))
	})
	return configured
}

// defaulting is what --help says of a flag's default: nothing where it is none.
func defaulting(f *pflag.Flag) string {
	switch {
	case slices.Contains([]string{"", "false", "0", "0s", "[]"}, f.DefValue):
		return ""
	case f.Value.Type() == "string":
		return fmt.Sprintf(" (default %q)", f.DefValue)
	}
	return " (default " + f.DefValue + ")"
}

func (s *sheet) examples(cmd *cobra.Command) {
	if cmd.Example == "" {
		return
	}
	s.section("EXAMPLES")
	s.literal(cmd.Example)
}

// entries is a section that explains words.
func (s *sheet) entries(heading string, words [][2]string) {
	s.section(heading)
	for _, w := range words {
		s.term(w[0], "")
		s.line(w[1])
	}
}
