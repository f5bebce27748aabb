package trust

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

// A line of allowed_signers: whose key it is, and what it may sign.
type line struct {
	at         int    // in the file
	principals string // a pattern list, as it stands
	authority  bool   // it signs certificates, which sign
	namespaces string // a pattern list; empty: all
	after      time.Time
	before     time.Time // the last instant; zero: for ever
	key        ssh.PublicKey
	weak       string // why the key cannot be used; empty: it can
}

func (l line) fingerprint() string { return ssh.FingerprintSHA256(l.key) }

// parseAllowed reads a file of allowed signers, and finds everything that is wrong with it.
func parseAllowed(text string) (lines []line, wrong []error) {
	for i, said := range strings.Split(text, "\n") {
		said = strings.TrimSpace(strings.TrimSuffix(said, "\r"))
		if said == "" || said[0] == '#' {
			continue
		}
		l, err := parseLine(said)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%d: %w", i+1, err))
			continue
		}
		l.at = i + 1
		lines = append(lines, l)
	}
	return lines, wrong
}

// parseLine reads "principals [options] type key [comment]" (ssh-keygen(1)).
func parseLine(said string) (l line, err error) {
	var rest string
	if l.principals, rest, err = field(said); err != nil {
		return l, err
	}
	if isKeyType(l.principals) {
		return l, errors.New("it begins with the key: write before it whose it is")
	}
	if options, after, err := field(rest); err == nil && !isKeyType(options) {
		if err := l.restrict(options); err != nil {
			return l, err
		}
		rest = after
	}
	if l.key, err = parseKey(rest); err != nil {
		return l, err
	}
	if len(l.principals) > 1 && l.principals[0] == '"' && strings.HasSuffix(l.principals, `"`) {
		l.principals = l.principals[1 : len(l.principals)-1]
	}
	switch {
	case l.principals == "":
		return l, errors.New("it names nobody")
	case strings.Contains(l.principals, `"`):
		return l, fmt.Errorf("%s has a quote in its midst", shown(l.principals))
	case !l.authority && strings.Contains(","+l.principals, ",!"):
		return l, fmt.Errorf("%q excludes nobody: whose key this is, is not compared with anybody", l.principals)
	}
	l.weak = weakness(l.key)
	return l, nil
}

// field cuts the first word of a line off, in which spaces may stand between quotes.
func field(text string) (word, rest string, err error) {
	text = strings.TrimLeft(text, " \t")
	quoted := false
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return text[:i], strings.TrimLeft(text[i:], " \t"), nil
		}
	}
	if quoted {
		return "", "", errors.New("a quote is not closed")
	}
	return text, "", nil
}

func isKeyType(word string) bool {
	for _, kind := range []string{"ssh-", "ecdsa-", "sk-"} {
		if strings.HasPrefix(word, kind) {
			return true
		}
	}
	return false
}

// restrict takes the options of a line: name, or name="value", between commas without spaces.
func (l *line) restrict(options string) error {
	seen := map[string]bool{}
	if strings.HasSuffix(options, ",") {
		return errors.New("an option is missing after the last comma: no spaces stand after commas")
	}
	for options != "" {
		var option string
		option, options = cutOption(options)
		name, value, has := strings.Cut(option, "=")
		name = strings.ToLower(name)
		if seen[name] {
			return fmt.Errorf("%s is said twice", shown(name))
		}
		seen[name] = true
		if has {
			if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
				return fmt.Errorf(`%s needs quotes: %s="…"`, shown(name), shown(name))
			}
			value = value[1 : len(value)-1]
		}
		if err := l.option(name, value, has); err != nil {
			return err
		}
	}
	if !l.before.IsZero() && !l.after.Before(l.before) {
		return errors.New("valid-after is not before valid-before")
	}
	return nil
}

// cutOption cuts the first option off, in whose quotes commas may stand.
func cutOption(options string) (first, rest string) {
	quoted := false
	for i, c := range options {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return options[:i], options[i+1:]
		}
	}
	return options, ""
}

func (l *line) option(name, value string, has bool) (err error) {
	switch {
	case name == "cert-authority" && !has:
		l.authority = true
	case name == "namespaces" && value != "":
		l.namespaces = value
	case name == "valid-after" && has:
		l.after, err = parseDate(name, value)
	case name == "valid-before" && has:
		l.before, err = parseDate(name, value)
	default:
		err = fmt.Errorf("%s is no option that is known: cert-authority, namespaces=\"…\", valid-after=\"…\" and valid-before=\"…\" are", shown(name))
	}
	return err
}

// parseDate reads a time in UTC. Without a Z ssh-keygen takes it for local time, so that the same commit is good on one machine and not on another.
func parseDate(name, text string) (time.Time, error) {
	for _, layout := range []string{"20060102Z", "200601021504Z", "20060102150405Z"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is %q, no time in UTC: write it as 20270131Z or 202701311530Z", name, shown(text))
}

// parseKey reads "type key [comment]".
func parseKey(text string) (ssh.PublicKey, error) {
	kind, rest, err := field(text)
	if err != nil {
		return nil, err
	}
	encoded, _, _ := strings.Cut(strings.ReplaceAll(rest, "\t", " "), " ")
	if encoded == "" {
		return nil, errors.New(`the key is missing: a line is 'NAME [OPTIONS] TYPE KEY', without spaces in NAME and after the commas of OPTIONS`)
	}
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("the key after %s is not base64", shown(kind))
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("the key after %s cannot be read", shown(kind))
	}
	if key.Type() != kind {
		return nil, fmt.Errorf("it says %s, and the key is of type %s", shown(kind), key.Type())
	}
	if _, is := key.(*ssh.Certificate); is {
		return nil, errors.New("that is a certificate: name the key of its authority, with cert-authority")
	}
	return key, nil
}

// weakness is why a key is not to be relied on; empty: it is.
func weakness(key ssh.PublicKey) string {
	switch key.Type() {
	case dsa:
		return "DSA keys are too weak"
	case ssh.KeyAlgoRSA:
		if k, ok := key.(ssh.CryptoPublicKey); ok {
			if k, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < leastRSA {
				return fmt.Sprintf("an RSA key of %d bits is too weak, %d are needed", k.N.BitLen(), leastRSA)
			}
		}
	}
	return ""
}

// dsa is the type of DSA keys and of their signatures, which are refused.
const dsa = "ssh-dss"

// leastRSA is how many bits an RSA key must have.
const leastRSA = 2048

func same(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

const mostShown = 80

// shown is a part of a file, or of an object, as an error shows it: without what moves a cursor, or turns the direction of writing.
func shown(text string) string {
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return '?'
		}
		return c
	}, text)
	if len(text) > mostShown {
		return strings.ToValidUTF8(text[:mostShown], "") + "…"
	}
	return text
}

// matches reports whether a name fits a pattern list, as ssh_config(5) has them: with * and ?, and none that is excluded by a !.
func matches(list, name string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		excluded := strings.HasPrefix(pattern, "!")
		if fits(strings.TrimPrefix(pattern, "!"), name) {
			if excluded {
				return false
			}
			found = true
		}
	}
	return found
}

// fits reports whether a name is one of a pattern. It takes time in proportion to the product of their lengths, whatever they are.
func fits(pattern, name string) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
