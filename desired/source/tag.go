package source

import (
	"errors"
	"time"

	"windlass/desired/trust"
)

// mostTags is how many tags of tags are followed.
const mostTags = 5

// A tagged is what a tag names in the end.
type tagged struct {
	commit string
	raw    []byte // of the outermost tag; nil: it is a lightweight one
}

// peel follows a tag to the commit that it names, tag by tag. What the server says that it peels to is not asked. The outermost tag has to say in its own
// text that it is the one of that name: who signed another one signed nothing about this.
func peel(have Copy, name, hash string) (tagged, error) {
	var t tagged
	at := hash
	for range mostTags {
		raw, isTag := have.Tag(at)
		if !isTag {
			if !have.Commit(at) {
				return tagged{}, shut("tag %s names no commit: tag a commit", name)
			}
			t.commit = at
			return t, nil
		}
		h, err := trust.ParseTag(raw)
		switch {
		case err != nil:
			return tagged{}, shut("tag %s cannot be read: %v", name, err)
		case t.raw == nil && h.Name != name:
			return tagged{}, shut("tag %s says that it is tag %.80q: it was renamed, or put in the other's place; make it anew", name, h.Name)
		case h.Type != "tag" && h.Type != "commit":
			return tagged{}, shut("tag %s names a %.20q, not a commit: tag a commit", name, h.Type)
		}
		if t.raw == nil {
			t.raw = raw
		}
		at = h.Object
	}
	return tagged{}, shut("tag %s is a tag of a tag, more than %d times over: tag a commit", name, mostTags)
}

// signed tells who signed a tag, by the files that say who may.
func (t tagged) signed(name string, keys Signers, now time.Time) (trust.Signer, error) {
	if t.raw == nil {
		return trust.Signer{}, shut("tag %s is a lightweight tag, which cannot be signed: make it with git tag -s", name)
	}
	by, err := keys.Tag(t.raw, now)
	var no *trust.Refusal
	switch {
	case err == nil:
		return by, nil
	case errors.As(err, &no) && !no.Again.IsZero():
		return by, &hold{Wait, "tag " + name + ": " + no.Text, no.Again}
	case errors.As(err, &no):
		return by, shut("tag %s: %s", name, no.Text)
	}
	return by, err
}
