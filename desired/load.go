package desired

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

const fleetsDir = "fleets"

const maxFleets = 2000 // fleet files in one repo

// A Tree is what one version of a deploy repo says.
type Tree struct {
	Fleets   map[string]*Fleet    // by name: valid, and in conflict with no other
	Rejected map[string]Rejection // by name, or by path where the name cannot be told; the revision is left empty
	Warnings []Error              // of all fleets: likely mistakes that reject nothing; in the order of their positions
	Uses     map[string][]string  // by path of a file: the fleets, by name or else path, that it is or goes into, sorted
}

// Load reads every fleet of a deploy repo: each .yaml and .yml file below fleets/, with its bases and the files it names.
// A broken file is rejected whole, with everything that is wrong with it, and hides no other (law 3). Without fleets/ the
// Tree is empty and has a warning; what that means is for the caller (law 2). Fleets share the contents of files, which are
// only to be read.
//
// An error means that tree could not be read, which says nothing about its content. Of tree is asked that a missing file
// is fs.ErrNotExist, and that a symbolic link shows in the mode that fs.Lstat gives: none is followed (G42).
func Load(tree fs.FS) (Tree, error) { return LoadWithin(context.Background(), tree) }

// LoadWithin is Load that gives up when ctx ends, with its error: what a stranger wrote may take long to look at.
func LoadWithin(ctx context.Context, tree fs.FS) (Tree, error) {
	l := &loader{ended: ctx.Err, tree: tree, documents: map[string]document{}, contents: map[string][]byte{}}
	if err := l.findFleets(); err != nil {
		return Tree{}, err
	}
	for _, c := range l.candidates {
		if len(c.errors) > 0 {
			continue
		}
		if err := l.load(c); err != nil {
			return Tree{}, err
		}
		if err := l.ended(); err != nil {
			return Tree{}, err
		}
	}
	l.refuseSharedNames()
	l.refuseConflicts()
	l.warnUnknown()
	return l.result(), nil
}

// A loader holds one Load's work. Documents and contents are read once, however many fleets use them.
type loader struct {
	ended      func() error // not nil: give up
	tree       fs.FS
	candidates []*candidate // in the order of the walk
	documents  map[string]document
	contents   map[string][]byte
	warnings   []Error

	windows       *Windows // of the repo
	windowsErrors Errors
	windowsRead   bool

	signers releaseSigners
}

// A document is the parsed file; without root it could not be parsed.
type document struct {
	root   *value
	errors Errors
}

// A candidate is a fleet file on its way to be a Fleet.
type candidate struct {
	path     string
	name     string // empty: cannot be told
	document *value // merged
	fleet    *Fleet // nil while there are errors
	errors   Errors
	clashes  bool // with another fleet
	warnings []Error
	uses     map[string]bool
}

// reason is the kind of what is wrong with it.
func (c *candidate) reason() Reason {
	switch {
	case c.document == nil:
		return ReasonParse
	case c.clashes:
		return ReasonSafety
	}
	return ReasonSchema
}

// id is what the candidate is known by in a Tree.
func (c *candidate) id() string { return cmp.Or(c.name, c.path) }

func (l *loader) findFleets() error {
	var wrong problem
	switch err := walkTo(l.tree, fleetsDir, true); {
	case errors.Is(err, notThere):
		l.warnings = append(l.warnings, errorAt(Position{File: fleetsDir}, "there is no directory fleets/, so there are no fleets"))
		return nil
	case errors.As(err, &wrong):
		l.candidates = []*candidate{{path: fleetsDir, errors: Errors{errorAt(Position{fleetsDir, 1, 1}, "%s %s", fleetsDir, wrong)}}}
		return nil
	case err != nil:
		return fmt.Errorf("cannot read %s: %w", fleetsDir, err)
	}
	return fs.WalkDir(l.tree, fleetsDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
		mode := entry.Type()
		if mode.IsDir() && isSubmodule(l.tree, name) {
			mode = fs.ModeIrregular // as a commit has it
		}
		if mode.IsDir() && plainName(name) {
			return nil
		}
		if extension := path.Ext(name); mode.IsDir() || extension == ".yaml" || extension == ".yml" || mode&(fs.ModeSymlink|fs.ModeIrregular) != 0 {
			l.found(name, mode)
		}
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// found takes a fleet file on, or refuses what cannot be one. A symbolic link or a submodule counts whatever it is called: there
// may be fleets in it, as in a directory with a bad name.
func (l *loader) found(name string, mode fs.FileMode) {
	c := &candidate{path: name, uses: map[string]bool{name: true}}
	if !plainName(name) {
		c.path = fmt.Sprintf("%q", name)
	}
	refuse := func(format string, args ...any) {
		c.errors = Errors{errorAt(Position{c.path, 1, 1}, format, args...)}
	}
	switch wrong := wrongKind(mode, false); {
	case !plainName(name):
		refuse("the name holds a backslash, a control character or bytes that are no text; rename it")
	case wrong != "":
		refuse("the file %s", wrong)
	case len(l.candidates) >= maxFleets:
		refuse("there are more than %d fleet files in this repo", maxFleets)
	}
	l.candidates = append(l.candidates, c)
}

// document reads and parses a file, once.
func (l *loader) document(file string) (document, error) {
	if d, done := l.documents[file]; done {
		return d, nil
	}
	text, err := readFile(l.tree, file, maxDocumentBytes)
	if err != nil {
		return document{}, err
	}
	var d document
	d.root, d.errors = parseDocument(file, text)
	l.documents[file] = d
	return d, nil
}

// load makes c's fleet, or finds everything that is wrong with it. An error is an outage of the tree.
func (l *loader) load(c *candidate) error {
	own, err := l.document(c.path)
	var wrong problem
	if errors.As(err, &wrong) {
		c.errors = Errors{errorAt(Position{c.path, 1, 1}, "the file %s", wrong)}
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", c.path, err)
	}
	c.errors = slices.Clone(own.errors)
	if own.root == nil {
		return nil
	}
	if name := own.root.text("name"); theSchema().name.MatchString(name) {
		c.name = name
	}
	if c.document, err = l.withBase(c, own.root, []string{c.path}); err != nil {
		return err
	}
	return l.build(c)
}

// build makes the fleet of c's document.
func (l *loader) build(c *candidate) error {
	files, err := l.readFiles(c)
	if err != nil {
		return err
	}
	c.errors = append(c.errors, theSchema().check(c.document)...)
	c.errors = append(c.errors, validate(c.document)...)
	if len(c.errors) > 0 {
		return nil
	}
	if c.fleet, err = decode(c.path, c.document); err != nil {
		return err
	}
	for i := range files {
		c.fleet.Configure.Files[i].From = files[i].path
		c.fleet.Configure.Files[i].Content = files[i].content
	}
	if err := l.addWindows(c); err != nil {
		return err
	}
	if err := l.addSigners(c); err != nil {
		return err
	}
	c.errors = append(c.errors, impossible(c.document, c.fleet)...)
	c.checkTemplates(l.ended)
	c.warnings = append(c.warnings, advise(c.document, c.fleet)...)
	return nil
}

// refuseSharedNames rejects fleets of one name, all of them: there is no telling which is meant.
func (l *loader) refuseSharedNames() {
	byName := map[string][]*candidate{}
	for _, c := range l.candidates {
		if c.name != "" {
			byName[c.name] = append(byName[c.name], c)
		}
	}
	for name, same := range byName {
		for i, c := range same {
			if len(same) > 1 {
				other := same[(i+1)%len(same)]
				c.clashes = true
				c.errors = append(c.errors, errorAt(c.document.get("name").at, "fleet name %s is also that of %s; names are unique in the repo", name, other.path))
			}
		}
	}
}

func (l *loader) result() Tree {
	t := Tree{Fleets: map[string]*Fleet{}, Rejected: map[string]Rejection{}, Warnings: l.warnings, Uses: map[string][]string{}}
	for _, c := range l.candidates {
		t.Warnings = append(t.Warnings, c.addressed(c.warnings)...)
		for file := range c.uses {
			t.Uses[file] = append(t.Uses[file], c.id())
		}
		if len(c.errors) == 0 {
			t.Fleets[c.name] = c.fleet
			continue
		}
		r, shared := t.Rejected[c.id()]
		if !shared {
			r.Path, r.Reason = c.path, c.reason()
		}
		r.Errors = atMost(maxErrors, sorted(append(r.Errors, c.addressed(c.errors)...)))
		t.Rejected[c.id()] = r
	}
	t.Warnings = sorted(t.Warnings)
	for file, users := range t.Uses {
		slices.Sort(users)
		t.Uses[file] = slices.Compact(users)
	}
	return t
}

// addressed says, of what lies in another file than c's own, which fleet it is about.
func (c *candidate) addressed(errors []Error) []Error {
	out := slices.Clone(errors)
	for i, err := range out {
		if err.Position.File != c.path {
			out[i].Message += fmt.Sprintf(" (used by fleet %s)", c.id())
		}
	}
	return out
}

const maxErrors = 100 // shown of one fleet

func atMost(n int, errors Errors) Errors {
	if len(errors) <= n {
		return errors
	}
	return append(errors[:n:n], errorAt(errors[n].Position, "there is more wrong from here on; the first %d errors are shown", n))
}

// sorted is errors by position, each once.
func sorted[E ~[]Error](errors E) E {
	slices.SortFunc(errors, func(a, b Error) int {
		return cmp.Or(strings.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(errors)
}

// Affected names, sorted, the fleets of after that a node with before's version of it would be changed for: their digest is
// another one, or they are new.
func Affected(before, after Tree) []string {
	var names []string
	for name, fleet := range after.Fleets {
		was := before.Fleets[name]
		if was == nil || was.Digest(DigestAlgorithm) != fleet.Digest(DigestAlgorithm) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
