package trust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// The files of a directory that says who may sign. One of the first two has to be there.
const (
	AllowedSigners = "allowed_signers" // as ssh-keygen(1) has them, "ALLOWED SIGNERS"
	Keyring        = "keyring.asc"     // armored GPG public keys
	RevokedKeys    = "revoked_keys"    // SSH public keys, one a line, that sign nothing
)

// Dir is the directory of a deploy repo that says who may sign its commits, Releases the one that says who may sign the releases it deploys: those move
// no servers.
const (
	Dir      = "trust"
	Releases = "trust/releases"
)

// mostBytes is how long one of the files may be.
const mostBytes = 1 << 20

// Keys are who may sign. The zero value is nobody.
type Keys struct {
	lines   []line // of allowed_signers, in their order
	ring    ring   // of keyring.asc
	revoked keySet // SSH keys that sign nothing
	notes   []string
}

// ErrNobody is a directory without allowed_signers and without keyring.asc.
var ErrNobody = errors.New("nobody may sign: there is neither " + AllowedSigners + " nor " + Keyring)

// Read reads who may sign from the files of a directory. Its error is everything that is wrong, each by its file and, where there is one, its line: a file with
// a line that is not understood is refused whole, and so are files by which nobody may sign. It is ErrNobody when there are no files. An error of the file
// system other than that a file is not there is returned as it is.
func Read(files fs.FS) (*Keys, error) {
	k := &Keys{}
	allowed, hasLines, err := readText(files, AllowedSigners)
	if err != nil {
		return nil, err
	}
	armored, hasRing, err := readText(files, Keyring)
	if err != nil {
		return nil, err
	}
	revoked, _, err := readText(files, RevokedKeys)
	if err != nil {
		return nil, err
	}
	if !hasLines && !hasRing {
		return nil, ErrNobody
	}
	wrong := []error{}
	if hasLines {
		var all []error
		k.lines, all = parseAllowed(allowed)
		wrong = append(wrong, in(AllowedSigners, all)...)
	}
	if hasRing {
		var all []error
		k.ring, k.notes, all = parseRing(armored)
		wrong = append(wrong, in(Keyring, all)...)
	}
	var all []error
	k.revoked, all = parseRevoked(revoked)
	wrong = append(wrong, in(RevokedKeys, all)...)
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	for _, l := range k.lines {
		if l.weak != "" {
			k.notes = append(k.notes, fmt.Sprintf("%s:%d: %s cannot sign: %s", AllowedSigners, l.at, l.fingerprint(), l.weak))
		}
	}
	if !slices.ContainsFunc(k.lines, func(l line) bool { return l.weak == "" }) && !k.ring.usable() {
		return nil, fmt.Errorf("nobody may sign: no key of %s can be used", strings.Join(named(hasLines, hasRing), " or "))
	}
	return k, nil
}

// readText is the text of a file; false: it is not there.
func readText(files fs.FS, name string) (text string, is bool, err error) {
	f, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, mostBytes+1))
	if err == nil && len(b) > mostBytes {
		err = fmt.Errorf("%s: it is longer than %d bytes", name, mostBytes)
	}
	return string(b), true, err
}

// Lines are what is wrong with the files of a directory by an error of Read, one each, with the directory's name.
func Lines(dir string, err error) (lines []string) {
	for line := range strings.Lines(err.Error()) {
		between := ": "
		for _, file := range []string{AllowedSigners, Keyring, RevokedKeys} {
			if strings.HasPrefix(line, file+":") {
				between = "/"
			}
		}
		lines = append(lines, dir+between+strings.TrimSuffix(line, "\n"))
	}
	return lines
}

func in(file string, all []error) []error {
	for i, err := range all {
		all[i] = fmt.Errorf("%s:%w", file, err)
	}
	return all
}

func named(lines, ring bool) (files []string) {
	if lines {
		files = append(files, AllowedSigners)
	}
	if ring {
		files = append(files, Keyring)
	}
	return files
}

// Notes names the keys of the files that cannot be used, and why; one line each. They are no error beside keys that can.
func (k *Keys) Notes() []string { return slices.Clone(k.notes) }

// Commit tells who signed the commit with these raw bytes (see ParseCommit). Keys, certificates and lines must have been good at the committer's date, and at
// each further time, such as that of the commit that merged it; or, of a GPG key, now, which is the agent's own clock. The error is a *Refusal.
func (k *Keys) Commit(raw []byte, now time.Time, further ...time.Time) (Signer, error) {
	c, err := ParseCommit(raw)
	if err != nil {
		return Signer{}, refused(Malformed, "the commit cannot be read: %v", err)
	}
	o, _ := split(raw) // ParseCommit could
	signed, signature, no := o.signedCommit()
	if no != nil {
		return Signer{}, no
	}
	return k.verify(claim{signed: signed, signature: signature, by: c.Committer, at: append([]time.Time{c.Committed}, further...), now: now})
}

// Tag tells who signed the annotated tag with these raw bytes (see ParseTag), by the tagger's date as Commit does. The error is a *Refusal.
func (k *Keys) Tag(raw []byte, now time.Time) (Signer, error) {
	t, err := ParseTag(raw)
	if err != nil {
		return Signer{}, refused(Malformed, "the tag cannot be read: %v", err)
	}
	o, _ := split(raw) // ParseTag could
	signed, signature, no := o.signedTag()
	switch {
	case no != nil:
		return Signer{}, no
	case t.Tagger == "":
		return Signer{}, refused(Malformed, "it does not say when it was made (no tagger line), and git verifies no such tag: make it again with git tag -s")
	}
	return k.verify(claim{signed: signed, signature: signature, by: t.Tagger, at: []time.Time{t.Tagged}, now: now})
}

// A claim is a signature with what it is to be a signature of.
type claim struct {
	signed    []byte
	signature string      // armored
	by        string      // who made the object, as it says: nothing is decided by it
	at        []time.Time // the object's own time, and others at which the key must be good
	now       time.Time
}

// How the armor of signatures begins.
const (
	beginSSH     = "-----BEGIN SSH SIGNATURE-----"
	beginPGP     = "-----BEGIN PGP SIGNATURE-----"
	beginMessage = "-----BEGIN PGP MESSAGE-----"
	beginX509    = "-----BEGIN SIGNED MESSAGE-----"
)

// verify looks at how the signature begins before it chooses who verifies it.
func (k *Keys) verify(c claim) (Signer, error) {
	var who Signer
	var no *Refusal
	switch {
	case strings.HasPrefix(c.signature, beginSSH):
		who, no = k.verifySSH(c)
	case strings.HasPrefix(c.signature, beginPGP):
		who, no = k.verifyPGP(c)
	case strings.HasPrefix(c.signature, beginX509):
		no = refused(X509, "it has an x509 signature, which is not supported: sign it with an SSH or a GPG key")
	default:
		no = refused(Malformed, "its signature is of no kind that is known: sign it with an SSH or a GPG key")
	}
	if no != nil {
		return Signer{}, no
	}
	return who, nil
}
