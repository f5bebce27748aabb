package trust_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/desired/trust"
)

// A verdict is what is made of one object: by windlass, and by git itself.
type verdict struct {
	name    string
	files   files
	commit  string // raw; or
	tag     string
	want    trust.Reason // empty: it counts
	by      string       // whom it is told to be of, where that matters
	differs string       // why git says something else; empty: it says the same
}

const (
	hour = time.Hour
	day  = 24 * hour
	year = 365 * day
)

// Objects that the real tools made are judged as git judges them, but where a rule of ours is stricter or git's answer changes by itself.
func TestAgreesWithGit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := append(append(sshCommits(w), certificates(w)...), append(gpgCommits(w), append(oddCommits(w), tags(w)...)...)...)
	if len(rows) < 40 {
		t.Errorf("only %d objects", len(rows))
	}
	for _, c := range rows {
		kind, raw := "commit", c.commit
		if c.tag != "" {
			kind, raw = "tag", c.tag
		}
		t.Run(c.name, func(t *testing.T) {
			w := *w
			w.t = t
			keys := c.files.read(t)
			verify := keys.Tag
			if kind == "commit" {
				verify = func(raw []byte, now time.Time) (trust.Signer, error) { return keys.Commit(raw, now) }
			}
			who, err := verify([]byte(raw), noon)
			if got := reasonOf(t, err); got != c.want {
				t.Errorf("windlass: %q (%v), want %q", got, err, c.want)
			}
			if err == nil && (who.Name == "" || who.Key == "" || !strings.Contains(who.Name, c.by)) {
				t.Errorf("signed by %+v", who)
			}
			t.Logf("windlass: %v %v", who, err)
			if git := w.gitSays(kind, w.store(kind, raw), c.files, noon); git == (c.want == "") != (c.differs == "") {
				t.Errorf("git says %t, and that is to differ: %q", git, c.differs)
			}
		})
	}
}

var epoch = time.Unix(0, 0)

const onlyFirst = "ssh-keygen reads the first signature and passes over the others; one is to be enough"

func sshCommits(w *world) []verdict {
	ann, bob, eve := w.sshKey("ann", "-t", "ed25519"), w.sshKey("bob", "-t", "rsa", "-b", "2048"), w.sshKey("eve", "-t", "ed25519")
	carl, weak := w.sshKey("carl", "-t", "ecdsa"), w.sshKey("weak", "-t", "rsa", "-b", "1024")
	c := w.commit(noon)
	by := func(key string, args ...string) string { return signed(c, w.bySSH(key, c, args...)) }
	allowed := func(lines ...string) files { return files{trust.AllowedSigners: strings.Join(lines, "\n") + "\n"} }
	line := func(key, options string) string { return "ann@example.org " + options + w.public(key) + " her laptop" }
	all := allowed("# who may sign", "", line(ann, ""), line(bob, ""), line(carl, ""))
	until := func(at time.Time) files {
		return allowed(line(ann, `valid-before="`+at.Format("20060102150405")+`Z" `))
	}
	since := func(at time.Time) files { return allowed(line(ann, `valid-after="`+at.Format("200601021504")+`Z" `)) }
	return []verdict{
		{name: "ed25519", files: all, commit: by(ann)},
		{name: "RSA of 2048 bits", files: all, commit: by(bob)},
		{name: "ECDSA", files: all, commit: by(carl)},
		{name: "the other hash", files: all, commit: by(ann, "-O", "hashalg=sha256")},
		{name: "not signed", files: all, commit: c, want: trust.Unsigned},
		{name: "unknown SSH key", files: all, commit: by(eve), want: trust.UnknownKey},
		{name: "signed twice by SSH", files: all, commit: signed(c, w.bySSH(ann, c)+w.bySSH(bob, c)), want: trust.Multiple, differs: onlyFirst},
		{name: "two headers with a signature", files: all, commit: signed(by(ann), w.bySSH(bob, c)), want: trust.Multiple, differs: onlyFirst},
		{name: "1970, by a line from a later time on", files: files{trust.AllowedSigners: line(ann, `valid-after="20200101Z" `)}, commit: signed(w.commit(epoch), w.bySSH(ann, w.commit(epoch))),
			want: trust.Expired, differs: "git takes the first second of 1970 for now"},
		{name: "revoked SSH key", files: files{trust.AllowedSigners: line(ann, ""), trust.RevokedKeys: "# lost\n" + w.public(ann) + "\n"}, commit: by(ann), want: trust.Revoked},
		{name: "another key is revoked", files: files{trust.AllowedSigners: line(ann, ""), trust.RevokedKeys: w.public(bob) + "\n"}, commit: by(ann)},
		{name: "signed as a file", files: all, commit: signed(c, w.run(c, "ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", ann)+"\n"), want: trust.NotAllowed},
		{name: "listed for files alone", files: allowed(line(ann, `namespaces="file" `)), commit: by(ann), want: trust.NotAllowed},
		{name: "listed for git among others", files: allowed(line(ann, `namespaces="file,g?t" `)), commit: by(ann)},
		{name: "listed for all but git", files: allowed(line(ann, `namespaces="*,!git" `)), commit: by(ann), want: trust.NotAllowed},
		{name: "one principal, for files and for git", files: allowed(line(ann, `namespaces="file" `), line(ann, `Namespaces="git" `)), commit: by(ann)},
		{name: "listed for files first, under another name", files: allowed(strings.Replace(line(ann, `namespaces="file" `), "ann@", "a@", 1), line(ann, "")), commit: by(ann),
			differs: "git asks for the first line's principal alone; any line that fits counts here, whatever the order"},
		{name: "the line ran out", files: until(noon.Add(-1 * time.Second)), commit: by(ann), want: trust.Expired},
		{name: "the line's last second", files: until(noon), commit: by(ann)},
		{name: "not yet", files: since(noon.Add(time.Minute)), commit: by(ann), want: trust.Expired},
		{name: "from this minute on", files: since(noon), commit: by(ann)},
		{name: "RSA of 1024 bits", files: allowed(line(weak, ""), line(ann, "")), commit: by(weak), want: trust.Weak, differs: "short RSA keys are refused"},
		{name: "another message", files: all, commit: strings.Replace(by(ann), "deploy", "destroy", 1), want: trust.Bad},
		{name: "another author", files: all, commit: strings.Replace(by(ann), "author Ann", "author Eve", 1), want: trust.Bad},
		{name: "Windows' ends of lines in a signature", files: all, commit: signed(c, strings.ReplaceAll(w.bySSH(ann, c), "\n", "\r\n")), want: trust.Malformed},
		{name: "one end of a line of Windows in a signature", files: all, commit: signed(c, strings.Replace(w.bySSH(ann, c), "\n-----END", "\r\n-----END", 1))},
		{name: "text before a signature", files: all, commit: signed(c, "Version: 1\n"+w.bySSH(ann, c)), want: trust.Malformed},
		{name: "another hash than git's", files: all, commit: signed(c, w.altered(w.bySSH(ann, c), "sha512", "sha384")), want: trust.Weak},
		{name: "RSA with SHA-1", files: all, commit: signed(c, w.byHand(bob, c, w.signer(bob).PublicKey(), ssh.KeyAlgoRSA)), want: trust.Weak},
		{name: "Windows' ends of lines in the file", files: files{trust.AllowedSigners: line(ann, "") + "\r\n"}, commit: by(ann)},
	}
}

// certificates are commits signed by keys that an authority vouches for.
func certificates(w *world) (all []verdict) {
	authority, other := w.sshKey("authority", "-t", "ed25519"), w.sshKey("other", "-t", "ed25519")
	listed := func(principals string) files {
		return files{trust.AllowedSigners: principals + " cert-authority " + w.public(authority) + "\n"}
	}
	c, n := w.commit(noon), 0
	add := func(name string, f files, want trust.Reason, by string, args ...string) {
		n++
		key := w.sshKey(fmt.Sprintf("holder-%d", n), "-t", "ed25519")
		w.run("", "ssh-keygen", append([]string{"-q", "-s", by, "-I", "id"}, append(args, key+".pub")...)...)
		all = append(all, verdict{name: name, files: f, want: want, commit: signed(c, w.bySSH(key+"-cert.pub", c))})
		if name == "only the bare key is listed" {
			all[len(all)-1].files = files{trust.AllowedSigners: "ann@example.org " + w.public(key) + "\n"}
		}
	}
	const always, ann = "always:forever", "ann@example.org"
	add("certificate", listed("*@example.org"), "", authority, "-n", ann, "-V", always)
	add("certificate for several", listed(ann), "", authority, "-n", "bob@example.org,"+ann, "-V", always)
	add("certificate for somebody else", listed(ann), trust.NotAllowed, authority, "-n", "eve@example.org", "-V", always)
	add("certificate for an excluded name", listed("*@example.org,!eve@example.org"), trust.NotAllowed, authority, "-n", "eve@example.org", "-V", always)
	add("host's certificate", listed(ann), trust.NotAllowed, authority, "-h", "-n", ann, "-V", always)
	add("certificate that ran out", listed(ann), trust.Expired, authority, "-n", ann, "-V", "20250101000000:20260101000000")
	add("certificate of that time", listed(ann), "", authority, "-n", ann, "-V", "20260101000000:20260701000000")
	add("certificate of a later time", listed(ann), trust.Expired, authority, "-n", ann, "-V", "20260602000000:20260701000000")
	add("certificate that ends this second", listed(ann), trust.Expired, authority, "-n", ann, "-V", "20260101000000:20260601120000")
	add("certificate of an unknown authority", listed(ann), trust.UnknownKey, other, "-n", ann, "-V", always)
	add("only the bare key is listed", nil, trust.UnknownKey, authority, "-n", ann, "-V", always)
	add("certificate for nobody", listed("*"), trust.NotAllowed, authority, "-V", always)
	const passedOver = "ssh-keygen looks at no restriction of a certificate"
	add("certificate for one command", listed(ann), trust.NotAllowed, authority, "-n", ann, "-V", always, "-O", "force-command=true")
	all[len(all)-1].differs = passedOver
	add("certificate for one network", listed(ann), trust.NotAllowed, authority, "-n", ann, "-V", always, "-O", "source-address=192.0.2.0/24")
	all[len(all)-1].differs = passedOver
	rsa := w.sshKey("rsa-authority", "-t", "rsa", "-b", "2048")
	byRSA := files{trust.AllowedSigners: ann + " cert-authority " + w.public(rsa) + "\n"}
	add("certificate of an RSA authority", byRSA, "", rsa, "-n", ann, "-V", always)
	add("certificate of an RSA authority by SHA-1", byRSA, trust.Weak, rsa, "-n", ann, "-V", always, "-t", "ssh-rsa")
	all[len(all)-1].differs = "SHA-1 is too weak for a certificate"
	forge := func(name string, want trust.Reason, change func(*ssh.Certificate), reissue bool) {
		holder := w.sshKey("holder of a "+name, "-t", "ed25519")
		w.run("", "ssh-keygen", "-q", "-s", authority, "-I", "id", "-n", "eve@example.org", holder+".pub")
		forged := w.certificate(holder)
		change(forged)
		if reissue {
			if err := forged.SignCert(rand.Reader, w.signer(authority)); err != nil {
				w.t.Fatal(err)
			}
		}
		all = append(all, verdict{name: name, files: listed("*,!eve@example.org"), want: want, commit: signed(c, w.byHand(holder, c, forged, ""))})
	}
	forge("forged certificate", trust.Bad, func(c *ssh.Certificate) { c.ValidPrincipals = []string{ann} }, false)
	forge("certificate for a name that is empty", trust.NotAllowed, func(c *ssh.Certificate) { c.ValidPrincipals = []string{""} }, true)
	plain := w.bySSH(authority, c)
	return append(all, verdict{name: "the authority itself", files: listed(ann), commit: signed(c, plain), want: trust.NotAllowed})
}

// oddCommits are such as git itself does not write, but stores.
func oddCommits(w *world) (all []verdict) {
	ann := w.sshKey("odd", "-t", "ed25519")
	f := files{trust.AllowedSigners: "ann@example.org " + w.public(ann) + "\n"}
	add := func(name, raw string) {
		all = append(all, verdict{name: name, files: f, commit: signed(raw, w.bySSH(ann, raw))})
	}
	c := w.commit(noon)
	swap := func(old, with string) string { return strings.ReplaceAll(c, old, with) }
	add("unknown headers", headed(headed(c, "encoding", "ISO-8859-1"), "change-id", "one\ntwo"))
	add("Latin-1", strings.Replace(headed(c, "encoding", "ISO-8859-1"), "deploy", "d\xe9ploiement", 1))
	add("a zone of -0000", swap("+0000", "-0000"))
	add("a zone of +0545", swap("+0000", "+0545"))
	add("nobody's name", swap("Ann <", " <"))
	add("no message", strings.TrimSuffix(c, "deploy\n"))
	add("no newline at the end", strings.TrimSuffix(c, "\n"))
	add("a NUL in the message", c+"\x00more\n")
	add("three parents", swap("author", fmt.Sprintf("parent %s\nparent %s\nparent %s\nauthor", w.store("commit", c), w.store("commit", c+"x"), w.store("commit", c+"y"))))
	add("a long header", headed(c, "note", strings.Repeat("x", 200_000)))
	inner := w.tag(w.store("commit", c), "commit", "v1", noon)
	add("a merged tag, signed itself", headed(c, "mergetag", inner+w.bySSH(ann, inner)))
	add("two merged tags", headed(headed(c, "mergetag", inner+w.bySSH(ann, inner)), "mergetag", inner))
	bare := strings.TrimSuffix(c, "\ndeploy\n")
	return append(all,
		verdict{name: "no empty line", files: f, commit: strings.TrimSuffix(signed(strings.TrimSuffix(bare, "\n")+"\n\n", w.bySSH(ann, bare)), "\n")},
		verdict{name: "only a merged tag is signed", files: f, commit: headed(c, "mergetag", inner+w.bySSH(ann, inner)), want: trust.Unsigned},
		verdict{name: "a signature in the message", files: f, commit: c + "\ngpgsig " + w.bySSH(ann, c), want: trust.Unsigned},
		verdict{name: "an empty signature", files: f, commit: headed(c, "gpgsig", ""), want: trust.Unsigned},
		verdict{name: "a signature for SHA-256 alone", files: f, commit: headed(c, "gpgsig-sha256", w.bySSH(ann, c)), want: trust.Unsigned},
		verdict{name: "x509", files: f, commit: signed(c, "-----BEGIN SIGNED MESSAGE-----\nMIAGCSqGSIb3DQEHAqCAMIACAQEx\n-----END SIGNED MESSAGE-----\n"), want: trust.X509},
		verdict{name: "no signature that is known", files: f, commit: signed(c, "signed: Ann\n"), want: trust.Malformed},
	)
}

func tags(w *world) []verdict {
	ssh, gpg := w.sshKey("tagger", "-t", "ed25519"), w.gpgKey(noon.Add(-year), "Tagger <tagger@example.org>", "ed25519", "never")
	f := files{trust.AllowedSigners: "ann@example.org " + w.public(ssh) + "\n", trust.Keyring: w.export(gpg)}
	commit := w.store("commit", w.commit(noon))
	plain := w.tag(commit, "commit", "v1.4.2", noon)
	bySSH := plain + w.bySSH(ssh, plain)
	outer := w.tag(w.store("tag", plain), "tag", "v1.4.2", noon)
	missing := w.tag(strings.Repeat("ab", 20), "commit", "v1.4.2", noon)
	tree := w.tag(w.tree, "tree", "v1.4.2", noon)
	old := strings.Replace(plain, fmt.Sprintf("tagger Ann <ann@example.org> %d +0000\n", noon.Unix()), "", 1)
	certificate := plain + "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUTest\n-----END CERTIFICATE-----\n"
	return []verdict{
		{name: "tag, SSH", files: f, tag: bySSH},
		{name: "tag, GPG", files: f, tag: plain + w.byGPG(gpg, plain, noon)},
		{name: "tag, not signed", files: f, tag: plain, want: trust.Unsigned},
		{name: "tag, x509", files: f, tag: plain + "-----BEGIN SIGNED MESSAGE-----\nMIAGCSqGSIb3DQEHAqCAMIACAQEx\n-----END SIGNED MESSAGE-----\n", want: trust.X509},
		{name: "tag of what is not there", files: f, tag: missing + w.bySSH(ssh, missing)},
		{name: "tag signed twice, the second over the first", files: f, tag: bySSH + w.byGPG(gpg, bySSH, noon)},
		{name: "tag signed twice, each by itself", files: f, tag: bySSH + w.byGPG(gpg, plain, noon), want: trust.Bad},
		{name: "tag with text after its signature", files: f, tag: bySSH + "approved\n", want: trust.Malformed, differs: "nobody signed what stands behind a signature"},
		{name: "tag of a tag", files: f, tag: outer + w.bySSH(ssh, outer)},
		{name: "tag of a tree", files: f, tag: tree + w.bySSH(ssh, tree)},
		{name: "another tag's text", files: f, tag: strings.Replace(bySSH, "release", "malware", 1), want: trust.Bad},
		{name: "tag that says not when", files: f, tag: old + w.byGPG(gpg, old, noon), want: trust.Malformed},
		{name: "tag with a certificate in its notes", files: f, tag: certificate, want: trust.Unsigned},
		{name: "signed tag with a certificate in its notes", files: f, tag: certificate + w.bySSH(ssh, certificate)},
	}
}
