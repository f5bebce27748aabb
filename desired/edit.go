package desired

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"
)

// ErrNoRelease is a file that says no release of its own: a base may, or a fleet file on top of it.
var ErrNoRelease = errors.New("it says no release")

// SetRelease changes the release that a fleet file or a base says, and returns the text with it and the release that was there. Nothing
// but that value changes: layout, comments, line ends and the kind of quotes stay; a release that would not be read as text gets quotes.
//
// The error is ErrNoRelease, one about the release, or Errors with what is wrong with the file. A value over several lines is to be changed by
// hand.
func SetRelease(file string, text []byte, release string) (edited []byte, was string, err error) {
	if err := CheckRelease(release); err != nil {
		return nil, "", err
	}
	root, broken := parseDocument(file, text)
	if len(broken) > 0 {
		return nil, "", broken
	}
	old := root.get("release")
	if old == nil {
		return nil, "", ErrNoRelease
	}
	if old.kind != scalarValue || old.scalar == nil {
		return nil, "", Errors{errorAt(old.at, "release is %s; write one by hand", old.shown())}
	}
	at := offsetOf(text, old.at)
	for _, written := range []struct{ from, to string }{
		{old.source, release}, {old.source, `"` + release + `"`}, {`"` + old.source + `"`, `"` + release + `"`}, {`'` + old.source + `'`, `'` + release + `'`},
	} {
		if !bytes.HasPrefix(text[at:], []byte(written.from)) {
			continue
		}
		edited = bytes.Join([][]byte{text[:at], []byte(written.to), text[at+len(written.from):]}, nil)
		if onlyRelease(root, file, edited, release) {
			return edited, old.source, nil
		}
	}
	return nil, "", Errors{errorAt(old.at, "release is written in a way that only a person can change; write it on one line, as in release: %s", release)}
}

// CheckRelease says what is wrong with a release that somebody asks for.
func CheckRelease(release string) error {
	if pattern := theSchema().release; !pattern.MatchString(release) {
		return fmt.Errorf("%q is no release: it begins with a letter or a digit, and has at most 127 more of letters, digits and . _ + -", shorten(release))
	}
	return nil
}

// onlyRelease reports whether an edited file says what root does, but for its release.
func onlyRelease(root *value, file string, edited []byte, release string) bool {
	now, broken := parseDocument(file, edited)
	if len(broken) > 0 || now == nil {
		return false
	}
	want := root.plain().(map[string]any)
	want["release"] = release
	return reflect.DeepEqual(now.plain(), any(want))
}

// yamlBreak is what ends a line to a YAML reader; a mark of the byte order counts nowhere.
var yamlBreak = regexp.MustCompile("^(\r\n|[\r\n\u0085\u2028\u2029])")

// offsetOf is where in the text a position of the parser's is.
func offsetOf(text []byte, at Position) int {
	line, column, offset := 1, 1, 0
	for offset < len(text) && (line != at.Line || column != at.Column) {
		if ends := yamlBreak.Find(text[offset:]); ends != nil {
			line, column, offset = line+1, 1, offset+len(ends)
			continue
		}
		r, size := utf8.DecodeRune(text[offset:])
		if r != '\uFEFF' {
			column++
		}
		offset += size
	}
	if strings.HasPrefix(string(text[offset:min(len(text), offset+3)]), "\uFEFF") { // before the position, not after it
		offset += 3
	}
	return offset
}

// ReleaseFile is the file that says a fleet's release: its own, else the first of its bases that has one. The error says which file cannot
// be read, or that none has a release.
func ReleaseFile(tree fs.FS, file string) (string, error) {
	for chain := []string{file}; ; {
		at := chain[len(chain)-1]
		text, err := readFile(tree, at, maxDocumentBytes)
		if err != nil {
			return "", fmt.Errorf("%s %w", at, err)
		}
		root, broken := parseDocument(at, text)
		switch {
		case len(broken) > 0:
			return "", broken
		case root.get("release") != nil:
			return at, nil
		case root.text("base") == "":
			return "", fmt.Errorf("%s and its bases: %w", file, ErrNoRelease)
		}
		from, err := repoPath(path.Dir(at), root.text("base"))
		if err == nil {
			err = allowedBase(from, chain)
		}
		if err != nil {
			return "", Errors{errorAt(root.get("base").at, "base %q %v", shorten(root.text("base")), err)}
		}
		chain = append(chain, from)
	}
}
