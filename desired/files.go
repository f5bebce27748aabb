package desired

import (
	"errors"
	"fmt"
)

// Limits on what a fleet may place on its nodes.
const (
	maxFileBytes  = 4 << 20
	maxFilesBytes = 16 << 20 // of one fleet
)

// A source is a file of the repo that a fleet places on its nodes.
type source struct {
	path    string
	content []byte
}

// readFiles reads what configure.files names, in its order; what is wrong with a file is among c's errors, an error is an
// outage.
func (l *loader) readFiles(c *candidate) ([]source, error) {
	items := c.document.each("configure", "files")
	sources := make([]source, len(items))
	total := 0
	for i, item := range items {
		from := item.get("from")
		if from == nil || from.flawed || from.text() == "" {
			continue // the schema says so
		}
		read, err := l.readFrom(c, from.text())
		var wrong problem
		switch {
		case errors.As(err, &wrong):
			c.errors = append(c.errors, errorAt(from.at, "%s: %q %s", keyPath("configure", "files", i, "from"), shorten(from.text()), wrong))
		case err != nil:
			return nil, fmt.Errorf("cannot read %s: %w", from.text(), err)
		}
		if total += len(read.content); total > maxFilesBytes && total-len(read.content) <= maxFilesBytes {
			c.errors = append(c.errors, errorAt(from.at, "the files of a fleet may have %d bytes together; with this one they have more", maxFilesBytes))
		}
		sources[i] = read
	}
	return sources, nil
}

func (l *loader) readFrom(c *candidate, from string) (source, error) {
	name, err := repoPath(".", from)
	if err != nil {
		return source{}, err
	}
	c.uses[name] = true
	content, done := l.contents[name]
	if !done {
		if content, err = readFile(l.tree, name, maxFileBytes); err != nil {
			return source{}, err
		}
		l.contents[name] = content
	}
	return source{name, content}, nil
}
