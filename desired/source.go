package desired

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// ReleaseSignersDir is the directory of a deploy repo that says who may sign releases. Who is listed there moves no servers by it.
const ReleaseSignersDir = "trust/releases"

// releaseSignerFiles are what is read of it.
var releaseSignerFiles = []string{"allowed_signers", "keyring.asc", "revoked_keys"}

// A Source says what a release must be before a rollout of it starts. It is in no digest: to change it rolls nothing.
type Source struct {
	Repository   string // https://, ssh:// or user@host:path; without a password
	Branch       string // that contains what the tag names
	Tag          string // with {release} for the release
	Signed       bool   // by somebody whom Signers list
	Checks       []RequiredCheck
	ChecksWithin time.Duration // how long checks are waited for that nobody reported
	Override     *Emergency    // nil: none

	Signers map[string][]byte `json:"-"` // the files of ReleaseSignersDir by their names, as they stand in the repo; nil unless Signed
}

// A RequiredCheck is one that must have succeeded on a release's commit.
type RequiredCheck struct {
	Name    string
	App     string // which has to report it; empty: anybody who can
	Neutral bool   // "neutral" counts as success
}

// UnmarshalJSON reads a check as it is written in the fleet file: a name, or a mapping.
func (c *RequiredCheck) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &c.Name); err == nil {
		return nil
	}
	type plain RequiredCheck // without this method
	return json.Unmarshal(text, (*plain)(c))
}

// Overrides reports whether a person lets the release pass.
func (s *Source) Overrides(release string) bool {
	return s.Override != nil && s.Override.Release == release
}

// TagOf is the name of a release's tag, without refs/tags/.
func (s *Source) TagOf(release string) string {
	return strings.ReplaceAll(s.Tag, ReleasePlaceholder, release)
}

// scpRepository is user@host:path, as git takes it for ssh.
var scpRepository = regexp.MustCompile(`^[A-Za-z0-9._-]+@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[^:\s]\S*$`)

func checkSourceRepository(s string) error {
	if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return errors.New("it must be a URL without blanks")
	}
	if !strings.Contains(s, "://") {
		if !scpRepository.MatchString(s) {
			return errors.New("it must be https://HOST/PATH, ssh://HOST/PATH or user@HOST:PATH")
		}
		return nil
	}
	at, err := url.Parse(s)
	switch {
	case holdsCredentials(s):
		return nil // validate says so, without showing them
	case err != nil || at.Hostname() == "" || strings.Trim(at.Path, "/") == "":
		return errors.New("it must be https://HOST/PATH, ssh://HOST/PATH or user@HOST:PATH")
	case at.Scheme == "http" && !loopback(at.Hostname()):
		return errors.New("it must be https: over http anybody on the way could say what a release is")
	case at.Scheme != "https" && at.Scheme != "http" && at.Scheme != "ssh":
		return errors.New("it must be https://HOST/PATH, ssh://HOST/PATH or user@HOST:PATH")
	}
	return nil
}

// holdsCredentials reports whether a URL may hold some: also a malformed one, and one that asks something.
func holdsCredentials(s string) bool {
	scheme, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		return false
	}
	user, _, named := strings.Cut(rest, "@")
	return strings.ContainsAny(rest, "?#") || named && (scheme != "ssh" || strings.Contains(user, ":"))
}

// sourceCredentials is here because the messages of a schema quote what is wrong.
func (v *validation) sourceCredentials() {
	if at := v.document.get("source", "repository"); at != nil && holdsCredentials(at.text()) {
		v.report(at, "source.repository holds a user, a password or a query: leave it out, as everybody sees it who reads the deploy repo; the agent's --forges has tokens")
	}
}

// loopback reports whether a host is this machine: what is said there nobody else hears.
func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback() && address.Zone() == ""
}

// forbiddenInRefs is what git allows in no name of a branch or a tag (git-check-ref-format).
var forbiddenInRefs = regexp.MustCompile(`[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-./]|[./]$`)

func checkBranchName(s string) error {
	if forbiddenInRefs.MatchString(s) || s == "@" {
		return errors.New("it must be the name of a branch, such as main")
	}
	return nil
}

func checkTagTemplate(s string) error {
	if !strings.Contains(s, ReleasePlaceholder) {
		return fmt.Errorf("it must contain %s, or every release would be the same", ReleasePlaceholder)
	}
	if forbiddenInRefs.MatchString(strings.ReplaceAll(s, ReleasePlaceholder, "v1")) {
		return errors.New("it must make the name of a tag, such as v{release}")
	}
	return nil
}

// uniqueSourceChecks: a check is asked for once by each app, or by anybody.
func (v *validation) uniqueSourceChecks() {
	type key struct{ name, app string }
	first := map[key]*value{}
	for _, item := range v.document.each("source", "checks") {
		id := key{item.text(), ""}
		if item.kind == mappingValue {
			id = key{item.text("name"), item.text("app")}
		}
		if id.name == "" {
			continue
		}
		if earlier, twice := first[id]; twice {
			v.report(item, "%q is given twice in source.checks; it is first given at line %d", shorten(id.name), earlier.at.Line)
			continue
		}
		first[id] = item
	}
}

// releaseSigners are the files of ReleaseSignersDir, read once.
type releaseSigners struct {
	done   bool
	files  map[string][]byte
	errors Errors
}

// readSigners reads who may sign releases. An error is an outage. Whether what the files say can be understood is for package trust.
func (l *loader) readSigners() error {
	if l.signers.done {
		return nil
	}
	files := map[string][]byte{}
	var wrongs Errors
	for _, name := range releaseSignerFiles {
		file := ReleaseSignersDir + "/" + name
		text, err := readFile(l.tree, file, maxDocumentBytes)
		var wrong problem
		switch {
		case errors.Is(err, notThere):
		case errors.As(err, &wrong):
			wrongs = append(wrongs, errorAt(Position{file, 1, 1}, "the file %s", wrong))
		case err != nil:
			return fmt.Errorf("cannot read %s: %w", file, err)
		default:
			files[name] = text
		}
	}
	l.signers = releaseSigners{true, files, wrongs}
	return nil
}

// addSigners gives c's fleet who may sign its releases, if somebody has to. That nobody may, because there are no files, is the file's mistake.
func (l *loader) addSigners(c *candidate) error {
	s := c.fleet.Source
	if s == nil || !s.Signed {
		return nil
	}
	if err := l.readSigners(); err != nil {
		return err
	}
	c.errors = append(c.errors, l.signers.errors...)
	for name := range l.signers.files { // in no order, as these are a set
		c.uses[ReleaseSignersDir+"/"+name] = true
	}
	s.Signers = l.signers.files
	if len(s.Signers["allowed_signers"])+len(s.Signers["keyring.asc"]) == 0 && len(l.signers.errors) == 0 {
		at := c.document.get("source", "signed")
		c.errors = append(c.errors, errorAt(at.at, "source.signed is true, and nobody may sign: put the keys of who signs releases in %s/allowed_signers or %[1]s/keyring.asc", ReleaseSignersDir))
	}
	return nil
}

// SignerFiles are the files of who may sign releases, for who understands them.
func (s *Source) SignerFiles() fs.FS { return heldFiles(s.Signers) }
