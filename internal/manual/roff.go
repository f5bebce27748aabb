package manual

import (
	"fmt"
	"strings"
)

// A sheet is a manual page that is being written, in the man(7) macros that man-db and mandoc both read.
type sheet struct{ strings.Builder }

// title begins a page. What stands in its margins is date, source and the name of the manual. Names of commands are not broken at
// their hyphens.
func (s *sheet) title(name string, section int, edition Edition) {
	fmt.Fprintf(s, ".TH %s %d \"%s\" \"windlass %s\" \"windlass\"\n.nh\n.ad l\n", escape(strings.ToUpper(name)), section, edition.Date.UTC().Format("2006-01-02"), escape(edition.Version))
}

func (s *sheet) section(heading string) { fmt.Fprintf(s, ".SH %s\n", heading) }

// name is the section that whatis(1) and apropos(1) read.
func (s *sheet) name(name, short string) {
	s.section("NAME")
	fmt.Fprintf(s, "%s \\- %s\n", escape(name), escape(short))
}

// term begins an entry of a list: what is explained, and what of it the reader puts in.
func (s *sheet) term(word, placeholder string) {
	fmt.Fprintf(s, ".TP\n\\fB%s\\fR", escape(word))
	if placeholder != "" {
		fmt.Fprintf(s, " \\fI%s\\fR", escape(placeholder))
	}
	s.WriteByte('\n')
}

// text writes paragraphs, which empty lines part. One that is indented is shown as it is.
func (s *sheet) text(paragraphs string) {
	for i, paragraph := range strings.Split(strings.Trim(paragraphs, "\n"), "\n\n") {
		if i > 0 {
			s.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, " ") {
			s.literal(paragraph)
			continue
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			s.line(strings.TrimSpace(line))
		}
	}
}

// literal shows lines as they are, less the indentation that they share.
func (s *sheet) literal(lines string) {
	s.WriteString(".RS 4\n.nf\n")
	for line := range strings.SplitSeq(lines, "\n") {
		s.line(strings.TrimPrefix(line, "  "))
	}
	s.WriteString(".fi\n.RE\n")
}

// line writes a line of text. An empty one is written so that it parts nothing.
func (s *sheet) line(text string) {
	switch {
	case text == "":
		s.WriteString("\\&")
	case strings.ContainsAny(text[:1], ".'"):
		s.WriteString("\\&")
	}
	s.WriteString(escape(text))
	s.WriteByte('\n')
}

// escape writes text so that roff shows it: its own characters, the ASCII ones that it would show as others (groff_char(7)), and
// all beyond ASCII by their code.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r == '`':
			b.WriteString("\\(ga")
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '…': // which a terminal of ASCII alone would show nothing for
			b.WriteString("...")
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
