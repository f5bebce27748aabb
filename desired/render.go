package desired

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
)

// TemplateData is what a template sees.
type TemplateData struct {
	Fleet   string // its name
	Node    string // its name
	Release string
	Vars    map[string]any
}

const maxRenderedBytes = maxFileBytes

// Render is the content that file has on node. A template's error is an Error that points into the file in the repo: a key
// that is not in vars, more output than a file may have, or more turns of its loops than maxTurns.
func (f *Fleet) Render(file File, node string) ([]byte, error) {
	return f.render(file, node, func() error { return nil })
}

// render is Render until it has ended, of which it is told with an error.
func (f *Fleet) render(file File, node string, ended func() error) ([]byte, error) {
	if !file.Template {
		return file.Content, nil
	}
	parsed, err := parseTemplate(file, ended)
	if err != nil {
		return nil, err
	}
	var out bounded
	data := TemplateData{Fleet: f.Name, Node: node, Release: f.Release, Vars: f.Configure.Vars}
	if err := parsed.Execute(&out, data); err != nil {
		return nil, templateError(file.From, err)
	}
	return out.Bytes(), nil
}

func parseTemplate(file File, ended func() error) (*template.Template, error) {
	parsed, err := template.New(file.From).Option("missingkey=error").Parse(string(file.Content))
	if err != nil {
		return nil, templateError(file.From, err)
	}
	countTurns(parsed, ended)
	return parsed, nil
}

// maxTurns is how often a template may go round its loops and into the templates it defines, all together: text/template can be
// stopped only where something is written or a function is called.
const maxTurns = 100_000

// countTurns lets each turn call a function that ends the execution after maxTurns of them, or when ended does not return nil. Templates
// cannot call it themselves.
func countTurns(parsed *template.Template, ended func() error) {
	turns := 0
	parsed.Funcs(new(texts).funcs()).Funcs(template.FuncMap{"turn": func() (string, error) {
		if turns++; turns > maxTurns {
			return "", fmt.Errorf("its loops take more than %d turns", maxTurns)
		}
		return "", ended()
	}})
	for _, t := range parsed.Templates() {
		countTurnsIn(t.Root, t.Tree, true)
	}
}

// maxMadeBytes is how much text a template's functions may make, all together.
const maxMadeBytes = 16 * maxRenderedBytes

// texts stand in for text/template's own functions that make text, which a template may double or pad without end in few turns.
type texts struct{ made int }

func (t *texts) funcs() template.FuncMap {
	made := func(build func(...any) string) func(...any) (string, error) {
		return func(args ...any) (string, error) {
			return t.make(atMostBytes("", args), func() string { return build(args...) })
		}
	}
	return template.FuncMap{
		"print": made(fmt.Sprint), "println": made(fmt.Sprintln),
		"html": made(template.HTMLEscaper), "js": made(template.JSEscaper), "urlquery": made(template.URLQueryEscaper),
		"printf": func(format string, args ...any) (string, error) {
			return t.make(atMostBytes(format, args), func() string { return fmt.Sprintf(format, args...) })
		},
	}
}

// make builds a text of at most so many bytes, if there is room for them.
func (t *texts) make(atMost int, build func() string) (string, error) {
	if atMost > maxMadeBytes {
		return "", fmt.Errorf("it may make a text of more than %d bytes", maxMadeBytes)
	}
	s := build()
	if len(s) > maxRenderedBytes {
		return "", fmt.Errorf("it makes a text of more than %d bytes", maxRenderedBytes)
	}
	if t.made += len(s); t.made > maxMadeBytes {
		return "", fmt.Errorf("with it the template's functions make more than %d bytes of text", maxMadeBytes)
	}
	return s, nil
}

// verbFlags is what stands between a verb's percent sign and its letter; widths are the numbers in it.
var verbFlags, widths = regexp.MustCompile(`%[^%A-Za-z]*`), regexp.MustCompile(`[0-9]+|[*]`)

// widest is the largest width or precision that package fmt obeys.
const widest = 1_000_000

// atMostBytes is no less than what formatting args makes: each of them once, and the longest for each verb. It stops counting above
// maxMadeBytes.
func atMostBytes(format string, args []any) int {
	verbs, width := verbFlags.FindAllString(format, -1), 0
	for _, number := range widths.FindAllString(strings.Join(verbs, " "), -1) {
		n, err := strconv.Atoi(number)
		if err != nil {
			n = widest
		}
		width = max(width, min(n, widest))
	}
	total, longest := len(format), 0
	for _, arg := range args {
		n := atMostBytesOf(arg, width)
		longest = max(longest, n)
		if total += n; total > maxMadeBytes {
			return total
		}
	}
	return total + len(verbs)*longest
}

// atMostBytesOf is no less than what arg is in any format: a text can be escaped byte by byte, and each item of a list has its type
// and the width.
func atMostBytesOf(arg any, width int) int {
	const number = 512 // no number is longer
	if s, ok := arg.(string); ok {
		return number + 6*len(s) + width
	}
	n := len(fmt.Sprint(arg))
	return number + n*(16+width)
}

// countTurnsIn does so in a list of nodes, which is a turn itself or not.
func countTurnsIn(list *parse.ListNode, tree *parse.Tree, turn bool) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.RangeNode:
			countTurnsIn(n.List, tree, true)
			countTurnsIn(n.ElseList, tree, false)
		case *parse.IfNode:
			countTurnsIn(n.List, tree, false)
			countTurnsIn(n.ElseList, tree, false)
		case *parse.WithNode:
			countTurnsIn(n.List, tree, false)
			countTurnsIn(n.ElseList, tree, false)
		}
	}
	if turn {
		list.Nodes = slices.Insert(list.Nodes, 0, turnNode(list.Pos, tree))
	}
}

// turnNode is {{turn}}.
func turnNode(at parse.Pos, tree *parse.Tree) parse.Node {
	call := parse.NewIdentifier("turn").SetPos(at).SetTree(tree)
	command := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: at, Args: []parse.Node{call}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: at, Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Pos: at, Cmds: []*parse.CommandNode{command}}}
}

// templateError reads the position out of "template: name:line:column: what".
func templateError(name string, err error) Error {
	at := Position{File: name}
	rest, ok := strings.CutPrefix(err.Error(), "template: "+name+":")
	if !ok {
		return errorAt(at, "%v", err)
	}
	if number, after, ok := strings.Cut(rest, ":"); ok {
		if line, err := strconv.Atoi(number); err == nil {
			at.Line, at.Column, rest = line, 1, after
		}
	}
	if number, after, ok := strings.Cut(rest, ":"); ok {
		if column, err := strconv.Atoi(number); err == nil {
			at.Column, rest = column+1, after
		}
	}
	rest = strings.TrimPrefix(strings.TrimSpace(rest), fmt.Sprintf("executing %q at ", name))
	if _, own, ok := strings.Cut(rest, "error calling turn: "); ok {
		rest = own
	}
	if strings.HasSuffix(rest, "in type desired.TemplateData") {
		rest, _, _ = strings.Cut(rest, ":")
		rest += ": " + noSuchField
	}
	return errorAt(at, "template: %.300s", rest)
}

// noSuchField is said of a field that TemplateData has not.
const noSuchField = "a template has .Fleet, .Node, .Release and .Vars, and nothing else"

// everywhere are the words of errors that are the same on whatever node comes to them.
var everywhere = []string{"map has no entry for key", "can't evaluate field", noSuchField}

// bounded is a buffer that refuses to grow beyond what a file may have.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRenderedBytes {
		return 0, fmt.Errorf("it renders to more than %d bytes", maxRenderedBytes)
	}
	return b.Buffer.Write(p)
}

// checkTemplates renders each template once, so that a slip shows before a node is out of service. Where nodes have no
// names yet, only parsing is sure to tell; a failure to render for a made-up name is a warning. It is cut short when it has ended.
func (c *candidate) checkTemplates(ended func() error) {
	node, real := "i-0123456789abcdef0", false
	if static := c.fleet.Nodes.Static; len(static) > 0 {
		node, real = static[0].Name, true
	}
	for _, file := range c.fleet.Configure.Files {
		if !file.Template || ended() != nil {
			continue
		}
		_, failed := parseTemplate(file, ended)
		sure := failed != nil || real
		if failed == nil {
			_, failed = c.fleet.render(file, node, ended)
		}
		var wrong Error
		switch {
		case !errors.As(failed, &wrong):
		case sure, slices.ContainsFunc(everywhere, func(words string) bool { return strings.Contains(wrong.Message, words) }):
			c.errors = append(c.errors, wrong)
		default:
			c.warnings = append(c.warnings, wrong)
		}
	}
}
