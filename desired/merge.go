package desired

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

const maxBases = 8 // in one chain

// merged is over on top of base: mappings merge key by key, everything else of over replaces. Neither is changed.
func merged(base, over *value) *value {
	if base == nil || base.kind != mappingValue || over.kind != mappingValue {
		return over
	}
	out := &value{at: over.at, kind: mappingValue, flawed: over.flawed, keys: slices.Clone(over.keys), fields: maps.Clone(over.fields)}
	for _, key := range base.keys {
		lower := base.fields[key]
		upper, both := over.fields[key]
		switch {
		case both:
			upper.value = merged(lower.value, upper.value)
			out.fields[key] = upper
		default:
			out.keys = append(out.keys, key)
			out.fields[key] = lower
		}
	}
	return out
}

// withBase merges c's document over the chain of bases it names.
func (l *loader) withBase(c *candidate, over *value, chain []string) (*value, error) {
	reference := over.get("base")
	if reference == nil || reference.kind != scalarValue || reference.text() == "" {
		return over, nil // the schema says what is wrong with it
	}
	file := chain[len(chain)-1]
	from, err := repoPath(path.Dir(file), reference.text())
	if err == nil {
		err = allowedBase(from, chain)
	}
	var text []byte
	if err == nil {
		c.uses[from] = true
		text, err = readFile(l.tree, from, maxDocumentBytes)
	}
	var wrong problem
	if errors.As(err, &wrong) {
		c.errors = append(c.errors, errorAt(reference.at, "base %q %s", shorten(reference.text()), wrong))
		return over, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", from, err)
	}
	base := l.parse(from, text)
	c.errors = append(c.errors, base.errors...)
	if base.root == nil {
		return over, nil
	}
	if name := base.root.get("name"); name != nil {
		c.errors = append(c.errors, errorAt(base.root.fields["name"].at, "a base has no name; each fleet file says its own"))
	}
	lower, err := l.withBase(c, base.root, append(chain, from))
	if err != nil {
		return nil, err
	}
	if len(chain) == 1 {
		c.warnReplaced(lower, over, from)
	}
	return merged(lower, over), nil
}

func allowedBase(from string, chain []string) error {
	switch {
	case slices.Contains(chain, from):
		return problem("goes in a circle: " + strings.Join(append(chain, from), " → "))
	case from == fleetsDir || strings.HasPrefix(from, fleetsDir+"/"):
		return problem("lies below " + fleetsDir + "/, where every file is a fleet; put it elsewhere, such as base/")
	case len(chain) > maxBases:
		return problem(fmt.Sprintf("is one base too many: at most %d follow each other", maxBases))
	}
	return nil
}

// warnReplaced warns of lists that people easily take for merged.
func (c *candidate) warnReplaced(base, over *value, from string) {
	for _, key := range []string{"loadBalancers", "health"} {
		n := len(base.each(key))
		if mine, given := over.fields[key]; given && n > 0 {
			c.warnings = append(c.warnings, errorAt(mine.at, "%s replaces the %d of %s; lists do not merge", key, n, from))
		}
	}
}
