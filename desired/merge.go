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
	if base.kind != mappingValue || over.kind != mappingValue {
		return over
	}
	out := &value{at: over.at, kind: mappingValue, keys: slices.Clone(over.keys), fields: maps.Clone(over.fields)}
	out.partial = base.partial || over.partial
	for _, key := range base.keys {
		lower := base.fields[key]
		upper, both := over.fields[key]
		if both {
			upper.value = merged(lower.value, upper.value)
			out.fields[key] = upper
			continue
		}
		out.keys = append(out.keys, key)
		out.fields[key] = lower
	}
	return out
}

func (v *value) asPartial() *value {
	partial := *v
	partial.partial = true
	return &partial
}

// withBase merges over, from the last file of chain, onto the chain of bases that it names. What is wrong with those is among
// c's errors, an error is an outage.
func (l *loader) withBase(c *candidate, over *value, chain []string) (*value, error) {
	reference := over.get("base")
	if reference.text() == "" {
		if reference != nil && !reference.flawed && len(chain) > 1 { // a fleet file's own is for the schema
			c.errors = append(c.errors, errorAt(reference.at, "base is %s; it must be the path of a file, relative to this one", reference.shown()))
			return over.asPartial(), nil
		}
		return over, nil
	}
	base, from, err := l.readBase(c, reference.text(), chain)
	var wrong problem
	if errors.As(err, &wrong) {
		c.errors = append(c.errors, errorAt(reference.at, "base %q %s", shorten(reference.text()), wrong))
		return over.asPartial(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", from, err)
	}
	c.errors = append(c.errors, base.errors...)
	if base.root == nil {
		return over.asPartial(), nil
	}
	if name, given := base.root.fields["name"]; given {
		c.errors = append(c.errors, errorAt(name.at, "a base has no name; each fleet file says its own"))
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

// readBase reads the file that reference means, where the last file of chain says it.
func (l *loader) readBase(c *candidate, reference string, chain []string) (document, string, error) {
	from, err := repoPath(path.Dir(chain[len(chain)-1]), reference)
	if err == nil {
		err = allowedBase(from, chain)
	}
	if err != nil {
		return document{}, from, err
	}
	c.uses[from] = true
	d, err := l.document(from)
	return d, from, err
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
