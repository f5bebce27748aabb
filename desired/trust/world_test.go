package trust_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"windlass/desired/trust"
)

// noon is when things happen here, by every clock: gpg's is faked, and git is told.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// A world is a repository with people who sign in it, by the real git, gpg and ssh-keygen.
type world struct {
	t    *testing.T
	dir  string // of the repository
	keys string // of SSH keys
	home string // of GPG
	tree string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, program := range []string{"git", "gpg", "gpgconf", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is needed: apt-get install git gnupg openssh-client", program)
		}
	}
	w := &world{t: t, dir: t.TempDir(), keys: t.TempDir(), home: gpgHome(t)}
	w.run("", "git", "init", "-q", "--initial-branch", "main")
	w.tree = w.run("", "git", "mktree")
	return w
}

// gpgHome is a directory whose path is short enough for the sockets in it.
func gpgHome(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", dir, "--kill", "all").Run() // there may be none
		os.RemoveAll(dir)
	})
	return dir
}

// run runs a program in the repository and returns what it prints, without the last newline.
func (w *world) run(input, name string, args ...string) string {
	w.t.Helper()
	out, err := w.try(nil, input, name, args...)
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(out, "\n")
}

func (w *world) try(env []string, input, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = w.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.keys, "GNUPGHOME=" + w.home, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "TZ=UTC",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
	}, env...)
	cmd.Stdin = strings.NewReader(input)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String() + said.String(), err
	}
	return out.String(), nil
}

// sshKey makes a key and returns its path; without the suffix it is the private one.
func (w *world) sshKey(name string, args ...string) string {
	w.t.Helper()
	path := filepath.Join(w.keys, name)
	w.run("", "ssh-keygen", append([]string{"-q", "-N", "", "-C", name, "-f", path}, args...)...)
	return path
}

// public is a key as a line of a file has it.
func (w *world) public(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(path + ".pub")
	if err != nil {
		w.t.Fatal(err)
	}
	fields := strings.Fields(string(b))
	return fields[0] + " " + fields[1]
}

// gpg runs gpg as if it were so late.
func (w *world) gpg(at time.Time, input string, args ...string) string {
	w.t.Helper()
	faked := at.UTC().Format("20060102T150405") + "!"
	return w.run(input, "gpg", append([]string{"--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", faked}, args...)...)
}

// gpgKey makes a key at a time and returns its fingerprint.
func (w *world) gpgKey(at time.Time, id, algorithm, expires string) string {
	w.t.Helper()
	w.gpg(at, "", "--quick-gen-key", id, algorithm, "sign,cert", expires)
	for line := range strings.Lines(w.gpg(at, "", "--with-colons", "--list-keys", id)) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			return f[9]
		}
	}
	w.t.Fatalf("no key of %s", id)
	return ""
}

func (w *world) export(keys ...string) string {
	w.t.Helper()
	return w.gpg(noon, "", append([]string{"--armor", "--export"}, keys...)...) + "\n"
}

// edited is an export whose packets somebody changed: those that edit returns nil for are left out.
func (w *world) edited(armored string, edit func(tag byte, contents []byte) []byte) string {
	w.t.Helper()
	block, err := armor.Decode(strings.NewReader(armored))
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	to, err := armor.Encode(&out, block.Type, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for packets := packet.NewOpaqueReader(block.Body); ; {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if p.Contents = edit(p.Tag, p.Contents); p.Contents == nil {
			continue
		}
		if err := p.Serialize(to); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		w.t.Fatal(err)
	}
	return out.String() + "\n"
}

// unbound takes what is not signed out of the signatures that bind subkeys: by what a subkey itself says that it is of this key.
func unbound(tag byte, contents []byte) []byte {
	const signature, binding = 2, 0x18
	if tag != signature || contents[1] != binding {
		return contents
	}
	hashed := 6 + int(contents[4])<<8 + int(contents[5])
	unhashed := int(contents[hashed])<<8 + int(contents[hashed+1])
	return slices.Concat(contents[:hashed], []byte{0, 0}, contents[hashed+2+unhashed:])
}

// foreign gives subkeys an algorithm that nobody knows.
func foreign(tag byte, contents []byte) []byte {
	const subkey, algorithm = 14, 5
	if tag != subkey {
		return contents
	}
	contents = slices.Clone(contents)
	contents[algorithm] = 110
	return contents
}

// nameless leaves out whose a key is.
func nameless(tag byte, contents []byte) []byte {
	const signature, userID, positive = 2, 13, 0x13
	if tag == userID || tag == signature && contents[1] == positive {
		return nil
	}
	return contents
}

// commit is a commit without a signature, with its committer's date.
func (w *world) commit(at time.Time) string {
	return fmt.Sprintf("tree %s\nauthor Ann <ann@example.org> %d +0000\ncommitter Ann <ann@example.org> %[2]d +0000\n\ndeploy\n", w.tree, at.Unix())
}

// tag is an annotated tag of an object, without a signature.
func (w *world) tag(object, kind, name string, at time.Time) string {
	return fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger Ann <ann@example.org> %d +0000\n\nrelease\n", object, kind, name, at.Unix())
}

// bySSH is the armored signature that a key gives a text.
func (w *world) bySSH(path, text string, args ...string) string {
	w.t.Helper()
	return w.run(text, "ssh-keygen", append([]string{"-q", "-Y", "sign", "-n", "git", "-f", path}, args...)...) + "\n"
}

// byGPG is the armored signature that a key gives a text at a time.
func (w *world) byGPG(key, text string, at time.Time, args ...string) string {
	w.t.Helper()
	return w.gpg(at, text, append(append([]string{}, args...), "--armor", "--detach-sign", "--local-user", key)...) + "\n"
}

// gpgAnswers runs a command of gpg that asks questions, as if it were so late.
func (w *world) gpgAnswers(at time.Time, answers []string, args ...string) string {
	w.t.Helper()
	faked := at.UTC().Format("20060102T150405") + "!"
	return w.run(strings.Join(answers, "\n")+"\n", "gpg", append([]string{"--no-tty", "--command-fd", "0", "--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", faked}, args...)...)
}

// joined is the packets of two armored signatures in one armor.
func (w *world) joined(a, b string) string {
	w.t.Helper()
	var out bytes.Buffer
	to, err := armor.Encode(&out, "PGP SIGNATURE", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, armored := range []string{a, b} {
		block, err := armor.Decode(strings.NewReader(armored))
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := io.Copy(to, block.Body); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		w.t.Fatal(err)
	}
	return out.String() + "\n"
}

// altered is an SSH signature that says something else of the same length.
func (w *world) altered(armored, old, with string) string {
	w.t.Helper()
	s, err := sshsig.Unarmor([]byte(armored))
	if err != nil {
		w.t.Fatal(err)
	}
	blob := bytes.ReplaceAll(s.Marshal(), []byte(old), []byte(with))
	return "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(blob) + "\n-----END SSH SIGNATURE-----\n"
}

// byHand is an SSH signature that no ssh-keygen makes: by a key that says it is another one, or by an algorithm that was given up. Empty: the key's own.
func (w *world) byHand(path, text string, as ssh.PublicKey, algorithm string) string {
	w.t.Helper()
	sum := sha512.Sum512([]byte(text))
	data := append([]byte("SSHSIG"), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{"git", "", "sha512", string(sum[:])})...)
	s, err := w.signer(path).(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, data, algorithm)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(sshsig.Armor(&sshsig.Signature{Version: 1, PublicKey: as, Namespace: "git", HashAlgorithm: sshsig.HashSHA512, Signature: s}))
}

func (w *world) signer(path string) ssh.Signer {
	w.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

func (w *world) certificate(path string) *ssh.Certificate {
	w.t.Helper()
	b, err := os.ReadFile(path + "-cert.pub")
	if err != nil {
		w.t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return key.(*ssh.Certificate)
}

// signed puts a signature into the header of a commit.
func signed(commit, signature string) string { return headed(commit, "gpgsig", signature) }

// headed puts a header of several lines before the empty line of a commit.
func headed(commit, name, value string) string {
	head, message, _ := strings.Cut(commit, "\n\n")
	return head + "\n" + name + " " + strings.ReplaceAll(strings.TrimSuffix(value, "\n"), "\n", "\n ") + "\n\n" + message
}

// store gives git an object, odd as it may be.
func (w *world) store(kind, raw string) string {
	w.t.Helper()
	return w.run(raw, "git", "hash-object", "-t", kind, "-w", "--stdin", "--literally")
}

// files are those that say who may sign.
type files map[string]string

func (f files) read(t *testing.T) *trust.Keys {
	t.Helper()
	k, err := f.keys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f files) keys() (*trust.Keys, error) {
	m := fstest.MapFS{}
	for name, text := range f {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return trust.Read(m)
}

// gitSays is whether git itself verifies an object by these files, by a clock that stands at now.
func (w *world) gitSays(kind, hash string, f files, now time.Time) bool {
	w.t.Helper()
	dir, home := w.t.TempDir(), gpgHome(w.t)
	args := []string{}
	for name, text := range f {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
		switch name {
		case trust.AllowedSigners:
			args = append(args, "-c", "gpg.ssh.allowedSignersFile="+path)
		case trust.RevokedKeys:
			args = append(args, "-c", "gpg.ssh.revocationFile="+path)
		case trust.Keyring:
			if out, err := w.try([]string{"GNUPGHOME=" + home}, "", "gpg", "--batch", "--import", path); err != nil && !strings.Contains(out, "imported") {
				w.t.Fatalf("gpg --import: %v\n%s", err, out)
			}
		}
	}
	gpg := filepath.Join(dir, "gpg.sh")
	script := fmt.Sprintf("#!/bin/sh\nexec gpg --faked-system-time %s! \"$@\"\n", now.UTC().Format("20060102T150405"))
	if err := os.WriteFile(gpg, []byte(script), 0o700); err != nil {
		w.t.Fatal(err)
	}
	verb := map[string]string{"commit": "verify-commit", "tag": "verify-tag"}[kind]
	args = append(args, "-c", "gpg.program="+gpg, verb, hash)
	out, err := w.try([]string{"GNUPGHOME=" + home}, "", "git", args...)
	w.t.Logf("git: %v %s", err == nil, out)
	return err == nil
}

// reasonOf is why an object does not count; empty: it does.
func reasonOf(t *testing.T, err error) trust.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	var no *trust.Refusal
	if !errors.As(err, &no) || no.Text == "" || strings.ContainsAny(no.Text, "\n\r\x1b") {
		t.Fatalf("%v is no refusal of one line", err)
	}
	return no.Reason
}
