package desired

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	_ "time/tzdata" // for machines that have no rules of time zones

	"windlass/desired/window"
)

// WindowsFile is the file at the root of a deploy repo that says when nodes of any fleet may be changed.
const WindowsFile = "windows.yaml"

// Windows say when the nodes of a fleet may be changed.
type Windows struct {
	Timezone  string // IANA name
	Finish    Finish
	Reverts   Reverts
	Rules     []WindowRule
	Emergency *Emergency // nil: none
	Path      string     // of the file that says so, for messages

	zone *time.Location
	set  window.Set
}

// A WindowRule is when nodes may be changed, or must not be.
type WindowRule = window.Rule

// Finish says what a rollout does that is under way when its window closes.
type Finish string

const (
	FinishNode    Finish = "node"    // it finishes the nodes that have begun, and waits
	FinishRollout Finish = "rollout" // it goes on
)

// Reverts says when a version that was proven on the fleet before may come back.
type Reverts string

const (
	RevertsAlways   Reverts = "always"
	RevertsInWindow Reverts = "in-window"
)

// An Emergency lets one release pass, whatever stands in its way otherwise.
type Emergency struct {
	Release string
	Reason  string
	By      string
}

// Passes reports whether the windows stand in no way of a release at any time.
func (w *Windows) Passes(release string) bool {
	return w.Emergency != nil && w.Emergency.Release == release
}

// At is whether nodes may be changed at an instant, why not, and until when that holds. An emergency is not looked at.
func (w *Windows) At(now time.Time) window.Verdict { return w.set.At(now) }

// Clock is an instant by the windows' own clock, for people.
func (w *Windows) Clock(t time.Time) string { return t.In(w.zone).Format("Mon 2006-01-02 15:04 MST") }

// written is what the file says, without what was made of it. A time.Location remembers what time it is there, so that two readings of one may differ.
func (w *Windows) written() *Windows {
	if w == nil {
		return nil
	}
	said := *w
	said.zone, said.set = nil, nil
	return &said
}

// understand makes w of use, or says what is wrong with it, which document holds below path.
func (w *Windows) understand(document *value, path ...any) Errors {
	place := func(keys ...any) *value {
		for at := append(path[:len(path):len(path)], keys...); ; at = at[:len(at)-1] {
			if v := document.get(at...); v != nil {
				return v
			}
		}
	}
	var all Errors
	var err error
	if w.zone, err = window.ParseZone(w.Timezone); err != nil {
		return Errors{errorAt(place("timezone").at, "%s is %q; %v", keyPath(append(path[:len(path):len(path)], "timezone")...), shorten(w.Timezone), err)}
	}
	var wrong []window.Error
	if w.set, wrong = window.New(w.zone, w.Rules); len(wrong) == 0 {
		return nil
	}
	for _, e := range wrong {
		keys := []any{"rules", e.Rule}
		if e.Key != "" {
			keys = append(keys, e.Key)
		}
		at := place(keys...)
		all = append(all, errorAt(at.at, "%s: %s", keyPath(append(path[:len(path):len(path)], keys...)...), e.Text))
	}
	return all
}

// windowsSchema is the part of the fleet file's schema that describes its windows, of which the repo's are another.
var windowsSchema = sync.OnceValue(func() schema {
	tree := theSchema().part("#/properties/windows")
	return schema{about: "the file", tree: tree, compiled: compile(tree, nil)}
})

// repoWindows are the repo's own, read once; nil: there are none. What is wrong with the file is wrong with every fleet. An error is an outage.
func (l *loader) repoWindows() (*Windows, Errors, error) {
	if l.windowsRead {
		return l.windows, l.windowsErrors, nil
	}
	text, err := readFile(l.tree, WindowsFile, maxDocumentBytes)
	var wrong problem
	switch {
	case errors.Is(err, notThere):
		l.warnMisnamed()
	case errors.As(err, &wrong):
		l.windowsErrors = Errors{errorAt(Position{WindowsFile, 1, 1}, "the file %s", wrong)}
	case err != nil:
		return nil, nil, fmt.Errorf("cannot read %s: %w", WindowsFile, err)
	default:
		l.windows, l.windowsErrors = parseWindows(text)
	}
	l.windowsRead = true
	return l.windows, l.windowsErrors, nil
}

// warnMisnamed warns of a file that somebody may take for windows.yaml.
func (l *loader) warnMisnamed() {
	const misnamed = "windows.yml"
	if _, err := fs.Lstat(l.tree, misnamed); err == nil {
		l.warnings = append(l.warnings, errorAt(Position{misnamed, 1, 1}, "the file is not read; if it says when nodes may be changed, rename it to %s", WindowsFile))
	}
}

func parseWindows(text []byte) (*Windows, Errors) {
	document, errs := parseMapping(WindowsFile, text, "rules:")
	if document == nil {
		return nil, errs
	}
	s := windowsSchema()
	if errs = append(errs, s.check(document)...); len(errs) > 0 {
		return nil, errs
	}
	w := &Windows{Path: WindowsFile}
	if errs := s.decode(document, w); errs != nil {
		return nil, errs
	}
	return w, w.understand(document)
}

// addWindows gives c's fleet its own windows and the repo's.
func (l *loader) addWindows(c *candidate) error {
	if own := c.fleet.Windows; own != nil {
		own.Path = c.path
		c.errors = append(c.errors, own.understand(c.document, "windows")...)
	}
	repo, errs, err := l.repoWindows()
	if err != nil {
		return err
	}
	if repo != nil || len(errs) > 0 {
		c.uses[WindowsFile] = true
	}
	c.fleet.RepoWindows = repo
	c.errors = append(c.errors, errs...)
	return nil
}
