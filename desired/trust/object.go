package trust

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxObject is how long a commit or a tag may be, in bytes.
const MaxObject = 4 << 20

// A Commit is what a commit object says of itself.
type Commit struct {
	Tree      string
	Parents   []string
	Author    string // name and address; hostile text
	Committer string // the same
	Committed time.Time
}

// A Tag is what an annotated tag says of itself.
type Tag struct {
	Object string // what it is a tag of
	Type   string // of that: commit, tree, blob, tag
	Name   string // hostile text, which need not be the name of the reference
	Tagger string // name and address; hostile text. Empty: it does not say, as git's oldest tags
	Tagged time.Time
}

// ParseCommit reads a commit's raw bytes: the object's content, without git's "commit SIZE" before it. With an error it has what could be read, so that a history
// can be followed past a commit that is refused: parents are written small then, as git names them, whatever the commit has.
func ParseCommit(raw []byte) (Commit, error) {
	o, long := split(raw)
	var c Commit
	for i, h := range o.headers {
		switch {
		case h.name == "tree" && i == 0:
			c.Tree = h.value
		case h.name == "parent" && i == 1+len(c.Parents):
			c.Parents = append(c.Parents, h.value)
		}
	}
	c.Author, _, _ = ident(o.first("author"))
	var dated bool
	c.Committer, c.Committed, dated = ident(o.first("committer"))
	switch {
	case long != nil:
		return c.small(), long
	case !isHash(c.Tree) || !allHashes(c.Parents):
		return c.small(), errors.New("its tree or a parent is no hash, which has 40 hexadecimal digits in small letters")
	case !dated:
		return c, errors.New("its committer's date cannot be read")
	}
	return c, nil
}

// small is the commit with its hashes as git names them, which reads them in capitals as well.
func (c Commit) small() Commit {
	c.Tree = strings.ToLower(c.Tree)
	for i, parent := range c.Parents {
		c.Parents[i] = strings.ToLower(parent)
	}
	return c
}

// ParseTag reads an annotated tag's raw bytes: the object's content, without git's "tag SIZE" before it.
func ParseTag(raw []byte) (Tag, error) {
	o, err := split(raw)
	if err != nil {
		return Tag{}, err
	}
	if len(o.headers) < 3 || o.headers[0].name != "object" || o.headers[1].name != "type" || o.headers[2].name != "tag" {
		return Tag{}, errors.New("it does not begin with object, type and tag")
	}
	t := Tag{Object: o.headers[0].value, Type: o.headers[1].value, Name: o.headers[2].value}
	if !isHash(t.Object) {
		return Tag{}, errors.New("what it names is no hash")
	}
	if said := o.first("tagger"); said != "" {
		var ok bool
		if t.Tagger, t.Tagged, ok = ident(said); !ok {
			return Tag{}, errors.New("its tagger's date cannot be read")
		}
	}
	return t, nil
}

// An object is a commit's or a tag's raw bytes, line by line. It keeps them: what was signed is never put together anew.
type object struct {
	raw     []byte
	headers []header
}

// A header is a line of an object before the first empty one, with the lines that go on with it.
type header struct {
	name, value string // value as it stands, the spaces that lines go on with included
	from, to    int    // in the raw bytes, its newline included
}

// split takes an object apart. With its error, of one that is too long, come the headers of as much as is read.
func split(raw []byte) (o object, long error) {
	if len(raw) > MaxObject {
		long = fmt.Errorf("it has %d bytes, at most %d are read", len(raw), MaxObject)
		raw = raw[:MaxObject]
	}
	o.raw = raw
	for at := 0; at < len(raw); {
		end := len(raw)
		if n := bytes.IndexByte(raw[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		line := strings.TrimSuffix(string(raw[at:end]), "\n")
		switch {
		case line == "":
			return o, long
		case line[0] == ' ' && len(o.headers) > 0:
			last := &o.headers[len(o.headers)-1]
			last.value, last.to = last.value+"\n"+line, end
		default:
			name, value, _ := strings.Cut(line, " ")
			o.headers = append(o.headers, header{name, value, at, end})
		}
		at = end
	}
	return o, long
}

// first is the value of the first header of a name; empty: there is none.
func (o object) first(name string) string {
	for _, h := range o.headers {
		if h.name == name {
			return h.value
		}
	}
	return ""
}

// signedCommit takes a commit apart into what was signed and the signature in its header, as git does (commit.c, parse_signed_commit), but that only the
// header gpgsig is left out of what was signed: git leaves out gpgsig-sha256 as well, go-git does not.
func (o object) signedCommit() (signed []byte, signature string, err *Refusal) {
	found := -1
	for i, h := range o.headers {
		switch {
		case h.name != "gpgsig":
		case found >= 0:
			return nil, "", refused(Multiple, "it has more than one signature: sign it once")
		default:
			found = i
		}
	}
	if found < 0 || strings.TrimSpace(o.headers[found].value) == "" {
		return nil, "", refused(Unsigned, "it is not signed: sign it (git commit -S)")
	}
	h := o.headers[found]
	signed = append(bytes.Clone(o.raw[:h.from]), o.raw[h.to:]...)
	return signed, strings.ReplaceAll(h.value, "\n ", "\n") + "\n", nil
}

// signedTag takes a tag apart into what was signed and the signature at its end: it begins with the last line that begins one (git's gpg-interface.c,
// parse_signed_buffer).
func (o object) signedTag() (signed []byte, signature string, err *Refusal) {
	match := len(o.raw)
	for at := 0; at < len(o.raw); {
		if beginning(o.raw[at:]) {
			match = at
		}
		n := bytes.IndexByte(o.raw[at:], '\n')
		if n < 0 {
			break
		}
		at += n + 1
	}
	if match == len(o.raw) {
		return nil, "", refused(Unsigned, "it is not signed: make it with git tag -s")
	}
	return o.raw[:match], string(o.raw[match:]), nil
}

func beginning(text []byte) bool {
	for _, begin := range []string{beginSSH, beginPGP, beginX509, beginMessage} {
		if bytes.HasPrefix(text, []byte(begin)) {
			return true
		}
	}
	return false
}

// ident reads "name <address> seconds zone": what stands before the seconds, and these. It is not ok when there are none, or none that are a time, or on more
// than one line: git reads the first.
func ident(said string) (who string, at time.Time, ok bool) {
	said, _, more := strings.Cut(said, "\n")
	end := strings.LastIndexByte(said, '>')
	if end < 0 {
		return said, time.Time{}, false
	}
	who = said[:end+1]
	digits, _, _ := strings.Cut(strings.TrimLeft(said[end+1:], " "), " ")
	seconds, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || seconds < 0 || seconds > lastSecond || more {
		return who, time.Time{}, false
	}
	return who, time.Unix(seconds, 0).UTC(), true
}

// lastSecond is in the year 9999.
const lastSecond = 253402300799

// address is what stands in the brackets of an identity, in small letters.
func address(identity string) string {
	from, to := strings.LastIndexByte(identity, '<'), strings.LastIndexByte(identity, '>')
	if from < 0 || to < from {
		return ""
	}
	return strings.ToLower(identity[from+1 : to])
}

var hashPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

func isHash(text string) bool { return hashPattern.MatchString(text) }

func allHashes(texts []string) bool {
	for _, text := range texts {
		if !isHash(text) {
			return false
		}
	}
	return true
}
