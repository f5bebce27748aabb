package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "embed"
)

// chooser is the file that goes with a package's planted bugs: it chooses the one that is in force.
//
//go:embed chooser.go.txt
var chooser string

// An edit puts text into a file, in place of some of it or of nothing.
type edit struct {
	at, end int // offsets
	text    string
	closes  bool
	order   int
}

// A gardener plants the bugs of one file.
type gardener struct {
	*source
	file   *ast.File
	text   []byte
	first  int // the number of its first bug
	bugs   []*mutant
	edits  []edit
	within string
	done   map[ast.Expr]bool
}

// plant compiles all bugs of the Go files into one overlay.
func (s *source) plant(dir string) ([]*mutant, error) {
	var bugs []*mutant
	replace := map[string]string{}
	for i, f := range s.parsed {
		g := &gardener{source: s, file: f, text: s.text[f], first: len(bugs) + 1, done: map[ast.Expr]bool{}}
		g.walk()
		slices.SortStableFunc(g.bugs, func(a, b *mutant) int { return cmp.Compare(a.line, b.line) })
		bugs = append(bugs, g.bugs...)
		copied := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(copied, g.grown(), 0o600); err != nil {
			return nil, err
		}
		replace[s.files.File(f.Pos()).Name()] = copied
	}
	extra := filepath.Join(dir, "chooser.go")
	if err := os.WriteFile(extra, []byte(strings.Replace(chooser, "package chooser", "package "+s.clause, 1)), 0o600); err != nil {
		return nil, err
	}
	replace[filepath.Join(s.dir, "zz_mutants.go")] = extra
	overlay, err := writeOverlay(dir, "go", replace)
	for _, b := range bugs {
		b.overlay = overlay
	}
	return bugs, err
}

func writeOverlay(dir, name string, replace map[string]string) (string, error) {
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, name+".overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// grown is the file with its bugs.
func (g *gardener) grown() []byte {
	slices.SortStableFunc(g.edits, func(a, b edit) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		switch {
		case a.closes && b.closes:
			return cmp.Compare(b.order, a.order) // the inner first
		case a.closes:
			return -1
		case b.closes:
			return 1
		}
		return cmp.Compare(a.order, b.order)
	})
	var out []byte
	from := 0
	for _, e := range g.edits {
		out = append(out, g.text[from:e.at]...)
		out = append(out, e.text...)
		from = e.end
	}
	return append(out, g.text[from:]...)
}

func (g *gardener) offset(p token.Pos) int { return g.files.Position(p).Offset }

func (g *gardener) said(n ast.Node) string {
	text := strings.Join(strings.Fields(string(g.text[g.offset(n.Pos()):g.offset(n.End())])), " ")
	if r := []rune(text); len(r) > 100 {
		text = string(r[:99]) + "…"
	}
	return text
}

// bug notes a bug and returns its number.
func (g *gardener) bug(n ast.Node, became string) int {
	at := g.files.Position(n.Pos())
	file := filepath.Join(g.name, filepath.Base(at.Filename))
	number := g.first + len(g.bugs)
	g.bugs = append(g.bugs, &mutant{file: file, within: g.within, line: at.Line, was: g.said(n), became: became, number: number})
	return number
}

// wrap puts a node between two texts. What is wrapped first is outside.
func (g *gardener) wrap(n ast.Node, before, after string) {
	order := len(g.edits)
	at, end := g.offset(n.Pos()), g.offset(n.End())
	g.edits = append(g.edits, edit{at: at, end: at, text: before, order: order}, edit{at: end, end: end, text: after, closes: true, order: order})
}

func (g *gardener) swap(op token.Pos, was token.Token, text string) {
	at := g.offset(op)
	g.edits = append(g.edits, edit{at: at, end: at + len(was.String()), text: text, order: len(g.edits)})
}

func (g *gardener) walk() {
	for _, d := range g.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		g.within = f.Name.Name
		if f.Recv != nil {
			g.within = strings.TrimPrefix(g.said(f.Recv.List[0].Type), "*") + "." + g.within
		}
		g.body(f.Type, f.Body)
	}
}

// body plants in a function, and in the functions inside it with their own results.
func (g *gardener) body(signature *ast.FuncType, body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			g.body(n.Type, n.Body)
			return false
		case *ast.BlockStmt:
			g.statements(n.List)
		case *ast.CaseClause:
			g.statements(n.Body)
		case *ast.CommClause:
			g.statements(n.Body)
		case *ast.SwitchStmt:
			g.guards(n)
		case *ast.IfStmt:
			g.check(n)
		case *ast.ForStmt:
			g.condition(n.Cond)
		case *ast.ReturnStmt:
			g.answer(signature, n)
		case ast.Expr:
			g.expression(n)
		}
		return true
	})
}

func (g *gardener) guards(s *ast.SwitchStmt) {
	if s.Tag != nil {
		return
	}
	for _, c := range s.Body.List {
		for _, guard := range c.(*ast.CaseClause).List {
			g.condition(guard)
		}
	}
}

// check is an if. One that only passes an error on is left to the bugs of what it returns.
func (g *gardener) check(s *ast.IfStmt) {
	if c, ok := s.Cond.(*ast.BinaryExpr); ok && g.isErrorCheck(c) && len(s.Body.List) > 0 {
		if r, ok := s.Body.List[len(s.Body.List)-1].(*ast.ReturnStmt); ok && len(r.Results) > 0 && g.isError(r.Results[len(r.Results)-1]) {
			g.done[c] = true
			return
		}
	}
	g.condition(s.Cond)
}

func (g *gardener) expression(e ast.Expr) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if isComparison(e.Op) || e.Op == token.LAND || e.Op == token.LOR {
			g.condition(e)
		}
		g.sum(e)
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			g.condition(e)
		}
	case *ast.CallExpr:
		g.later(e)
	}
}

// condition plants in each part of a condition.
func (g *gardener) condition(e ast.Expr) {
	if e == nil || g.done[e] {
		return
	}
	g.done[e] = true
	switch c := e.(type) {
	case *ast.ParenExpr:
		g.condition(c.X)
	case *ast.UnaryExpr:
		if c.Op == token.NOT {
			g.condition(c.X)
			return
		}
		g.leaf(e)
	case *ast.BinaryExpr:
		if c.Op == token.LAND || c.Op == token.LOR {
			g.condition(c.X)
			g.condition(c.Y)
			return
		}
		g.leaf(e)
		g.boundary(c)
	default:
		g.leaf(e)
	}
}

func (g *gardener) leaf(e ast.Expr) {
	t := g.info.Types[e]
	if t.Value != nil || t.Type == nil || !types.Identical(types.Default(t.Type), types.Typ[types.Bool]) {
		return
	}
	c, ok := e.(*ast.BinaryExpr)
	if !ok || !g.isErrorCheck(c) { // always an error is found by anything
		g.wrap(e, fmt.Sprintf("mutantAlways(%d, ", g.bug(e, "true")), ")")
	}
	g.wrap(e, fmt.Sprintf("mutantNever(%d, ", g.bug(e, "false")), ")")
}

var beside = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}

var boundaries = map[token.Token]string{token.LSS: "mutantLess", token.LEQ: "mutantAtMost", token.GTR: "mutantMore", token.GEQ: "mutantAtLeast"}

func (g *gardener) boundary(c *ast.BinaryExpr) {
	if boundaries[c.Op] == "" || g.info.Types[c].Value != nil {
		return
	}
	number := g.bug(c, g.said(c.X)+" "+beside[c.Op].String()+" "+g.said(c.Y))
	g.wrap(c, fmt.Sprintf("%s(%d, ", boundaries[c.Op], number), ")")
	g.swap(c.OpPos, c.Op, ",")
}

// sum turns plus into minus.
func (g *gardener) sum(e *ast.BinaryExpr) {
	t := g.info.Types[e]
	if e.Op != token.ADD && e.Op != token.SUB || t.Value != nil || !isNumber(t.Type) {
		return
	}
	name, other := "mutantPlus", "-"
	if e.Op == token.SUB {
		name, other = "mutantMinus", "+"
	}
	number := g.bug(e, g.said(e.X)+" "+other+" "+g.said(e.Y))
	g.wrap(e, fmt.Sprintf("%s(%d, ", name, number), ")")
	g.swap(e.OpPos, e.Op, ",")
}

// later leaves out what is added to a time.
func (g *gardener) later(c *ast.CallExpr) {
	f, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != "Add" || g.info.Types[c].Type == nil || g.info.Types[c].Type.String() != "time.Time" {
		return
	}
	base := string(g.text[g.offset(f.X.Pos()):g.offset(f.X.End())])
	g.wrap(c, fmt.Sprintf("mutantEither(%d, ", g.bug(c, g.said(f.X))), ", "+base+")")
}

// answer drops the error that a function returns.
func (g *gardener) answer(signature *ast.FuncType, r *ast.ReturnStmt) {
	if signature.Results == nil || len(r.Results) == 0 || len(r.Results) != signature.Results.NumFields() {
		return
	}
	last := signature.Results.List[len(signature.Results.List)-1].Type
	e := r.Results[len(r.Results)-1]
	if g.isError(last) && g.isError(e) {
		g.wrap(e, fmt.Sprintf("mutantError(%d, ", g.bug(e, "nil")), ")")
	}
}

// statements leaves out statements.
func (g *gardener) statements(list []ast.Stmt) {
	for _, s := range list {
		if g.matters(s) {
			g.wrap(s, fmt.Sprintf("if mutantKeep(%d) { ", g.bug(s, "nothing")), " }")
		}
	}
}

func (g *gardener) matters(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.ExprStmt:
		c, ok := s.X.(*ast.CallExpr)
		return ok && !g.isNoise(c)
	case *ast.DeferStmt:
		f, ok := s.Call.Fun.(*ast.SelectorExpr)
		return !g.isNoise(s.Call) && !(ok && f.Sel.Name == "Close")
	case *ast.AssignStmt:
		return s.Tok != token.DEFINE
	case *ast.IncDecStmt, *ast.GoStmt:
		return true
	case *ast.BranchStmt:
		return s.Tok == token.CONTINUE || s.Tok == token.BREAK
	}
	return false
}

// isNoise says that leaving a call out is a bug of another kind than tests find: a race, a leak, a log without its line.
func (g *gardener) isNoise(c *ast.CallExpr) bool {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		t := g.info.Types[f]
		return f.Name == "panic" || t.Type != nil && t.Type.String() == "context.CancelFunc"
	case *ast.SelectorExpr:
		o := g.info.Uses[f.Sel]
		return o != nil && o.Pkg() != nil && (o.Pkg().Path() == "log/slog" || o.Pkg().Path() == "sync" && strings.HasSuffix(f.Sel.Name, "ock"))
	}
	return false
}

func (g *gardener) isErrorCheck(c *ast.BinaryExpr) bool {
	y, ok := c.Y.(*ast.Ident)
	return c.Op == token.NEQ && ok && y.Name == "nil" && g.isError(c.X)
}

func (g *gardener) isError(e ast.Expr) bool {
	t := g.info.Types[e].Type
	return t != nil && types.Identical(t, types.Universe.Lookup("error").Type())
}

func isComparison(op token.Token) bool {
	return op == token.EQL || op == token.NEQ || boundaries[op] != ""
}

func isNumber(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsNumeric != 0
}
