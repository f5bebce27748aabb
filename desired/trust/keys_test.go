package trust_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"windlass/desired/trust"
)

// A key for files that are only read.
const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIFfd6Zo5cPqJ5tEGdCVOxdmRKQCb9PUVbVEHOaYhuvC"

// A key of a kind that newer ssh-keygens do not make.
const dsaKey = "ssh-dss AAAAB3NzaC1kc3MAAACBAOge9NFYzvuE4GqxvzB+D8m2HrCt2L8MWcWmX8SMmXnwseBkxtT0JK4hebnI4YEe+hJGIcjurNyc4l7YwPcvF7fS3ZbZFma2xTnDtyGZvJOtpXt9S7unRxRZm6QUlHaMcHFPmaz4u+b0pFpmp892Q10Zltn7VIZV2JpOUxwInGezAAAAFQCjuP2bLFIpvLuGECVNlk/Rn0icnQAAAIApQzj5ujtY5Q7ekeNiktEHcTL1nBqCvLsZDD5qS7K1qHdjl4jVPCZ+QPVWvif0pljKPesKZsMafKTtWlMtFkZeM4xTNVQMj9vraj6Os0II4Q8AF33bMqKDN38Lv98itEbBc5MD8i7I2dKyP9KoswNQKosdGYI3uhbp4d5MGdUhNAAAAIApLzx4mABiCogFQ5KN0fBoNRMDT2ITCJycWDRfIhR7wA2urgN8WiPzJeMScRT4kpZjcUaXfbkLVmTajop/gyTP5il/EHvVkbmv7FrpxtTZjk2zf01CtFJ9CfWBD85n8eyzwRa41guht04ndfQk9a9odhNDzRMn/5cTyrV4hzbwkA=="

func TestFilesThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	allowed := func(line string) files { return files{trust.AllowedSigners: "# comment\n" + line + "\n"} }
	for name, c := range map[string]struct {
		files files
		want  string // how the error begins
	}{
		"no files":                    {files{}, "nobody may sign: there is neither allowed_signers nor keyring.asc"},
		"only revoked keys":           {files{trust.RevokedKeys: someKey}, "nobody may sign: there is neither"},
		"empty files":                 {files{trust.AllowedSigners: "\n# nobody\n", trust.Keyring: ""}, "nobody may sign: no key of allowed_signers or keyring.asc can be used"},
		"no key":                      {allowed("ann@example.org"), "allowed_signers:2: the key is missing"},
		"a key alone":                 {allowed(someKey), "allowed_signers:2: it begins with the key"},
		"a quote in a name":           {allowed(`ann"b c" ` + someKey), `allowed_signers:2: ann"b c" has a quote in its midst`},
		"a comma at the end":          {allowed(`ann cert-authority, ` + someKey), "allowed_signers:2: an option is missing after the last comma"},
		"right to left":               {allowed("ann \u202egnp.exe " + someKey), "allowed_signers:2: ?gnp.exe is no option"},
		"a type that is none":         {allowed("ann ssh-ed25518 " + strings.Fields(someKey)[1]), `allowed_signers:2: it says ssh-ed25518`},
		"another type":                {allowed("ann ssh-rsa " + strings.Fields(someKey)[1]), "allowed_signers:2: it says ssh-rsa, and the key is of type ssh-ed25519"},
		"a key cut short":             {allowed("ann " + someKey[:40]), "allowed_signers:2: the key after ssh-ed25519"},
		"an unknown option":           {allowed("ann no-touch-required " + someKey), "allowed_signers:2: no-touch-required is no option"},
		"an option without quotes":    {allowed("ann namespaces=git " + someKey), `allowed_signers:2: namespaces needs quotes: namespaces="…"`},
		"an option twice":             {allowed(`ann namespaces="git",namespaces="file" ` + someKey), "allowed_signers:2: namespaces is said twice"},
		"an option that says nothing": {allowed(`ann namespaces="" ` + someKey), "allowed_signers:2: namespaces is no option"},
		"a space after a comma":       {allowed(`ann cert-authority, namespaces="git" ` + someKey), "allowed_signers:2: an option is missing after the last comma"},
		"an open quote":               {allowed(`ann namespaces="git ` + someKey), "allowed_signers:2: a quote is not closed"},
		"local time":                  {allowed(`ann valid-before="20270101" ` + someKey), `allowed_signers:2: valid-before is "20270101", no time in UTC: write it as 20270131Z`},
		"no time":                     {allowed(`ann valid-after="2027-01-01" ` + someKey), `allowed_signers:2: valid-after is "2027-01-01"`},
		"no such day":                 {allowed(`ann valid-after="20270230Z" ` + someKey), `allowed_signers:2: valid-after is "20270230Z"`},
		"never valid":                 {allowed(`ann valid-after="20270102Z",valid-before="20270101Z" ` + someKey), "allowed_signers:2: valid-after is not before valid-before"},
		"somebody excluded":           {allowed("*@example.org,!eve@example.org " + someKey), `allowed_signers:2: "*@example.org,!eve@example.org" excludes nobody`},
		"for a terminal":              {allowed("ann \x1b[2J " + someKey), "allowed_signers:2: ?[2j is no option"},
		"a good line and two others":  {allowed("ann " + someKey + "\nbob\ncarl x"), "allowed_signers:3: the key is missing: a line is 'NAME [OPTIONS] TYPE KEY', without spaces in NAME and after the commas of OPTIONS\nallowed_signers:4: "},
		"a revoked key with a typo":   {files{trust.AllowedSigners: "ann " + someKey, trust.RevokedKeys: "\n" + someKey[:30]}, "revoked_keys:2: the key after ssh-ed25519"},
		"a revocation list":           {files{trust.AllowedSigners: "ann " + someKey, trust.RevokedKeys: "SSHKRL\n\x00\x00"}, "revoked_keys: a key revocation list is not supported"},
		"text for a keyring":          {files{trust.Keyring: "# ours\nann's key\n"}, "keyring.asc:2: here should be -----BEGIN PGP PUBLIC KEY BLOCK-----"},
		"an indented keyring":         {files{trust.Keyring: "  -----BEGIN PGP PUBLIC KEY BLOCK-----\n  \n  mDM=\n  -----END PGP PUBLIC KEY BLOCK-----\n"}, "keyring.asc:1: here should be"},
		"a block without an end":      {files{trust.Keyring: "\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM=\n"}, "keyring.asc:2: this block has no end"},
		"a block of nothing":          {files{trust.Keyring: "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM=\n-----END PGP PUBLIC KEY BLOCK-----\n"}, "keyring.asc:1: this block cannot be read"},
		"a private key":               {files{trust.Keyring: "\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n"}, "keyring.asc:2: that is a private key"},
	} {
		k, err := c.files.keys()
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %s…", name, k, err, c.want)
		}
	}
	if _, err := (files{}).keys(); !errors.Is(err, trust.ErrNobody) {
		t.Errorf("without files: %v", err)
	}
}

// A file that cannot be read is an outage, not a file that is not there.
func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	if _, err := trust.Read(broken{fstest.MapFS{trust.AllowedSigners: {Data: []byte("ann " + someKey)}}}); !errors.Is(err, errBroken) {
		t.Errorf("read with %v", err)
	}
	long := files{trust.AllowedSigners: strings.Repeat("# long\n", 1<<20)}
	if _, err := long.keys(); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long file is read with %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{ fs.FS }

func (b broken) Open(name string) (fs.File, error) {
	if name == trust.RevokedKeys {
		return nil, errBroken
	}
	return b.FS.Open(name)
}

// Keys that cannot be used are named, and do not stand in the way of those that can.
func TestNotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, weak := w.sshKey("good", "-t", "ed25519"), w.sshKey("weak", "-t", "rsa", "-b", "1024")
	ann, short := w.gpgKey(noon, "Ann <ann@example.org>", "ed25519", "never"), w.gpgKey(noon, "Short <short@example.org>", "rsa1024", "never")
	k := files{
		trust.AllowedSigners: "bob " + w.public(weak) + "\nann " + w.public(good) + "\ncarl " + dsaKey,
		trust.Keyring:        "# here\n" + w.export(ann, short),
	}.read(t)
	notes := strings.Join(k.Notes(), "\n")
	if len(k.Notes()) != 3 || !strings.Contains(notes, "allowed_signers:1: SHA256:") || !strings.Contains(notes, " cannot sign: DSA keys are too weak") || !strings.Contains(notes, "keyring.asc:2: "+short+" cannot sign: an RSA key of 1024 bits") {
		t.Errorf("noted: %s", notes)
	}
	for name, f := range map[string]files{"SSH": {trust.AllowedSigners: "bob " + w.public(weak)}, "DSA": {trust.AllowedSigners: "carl " + dsaKey}, "GPG": {trust.Keyring: w.export(short)}} {
		if _, err := f.keys(); err == nil || !strings.HasPrefix(err.Error(), "nobody may sign") {
			t.Errorf("%s: files with a weak key alone are read with %v", name, err)
		}
	}
	private := w.gpg(noon, "", "--armor", "--export-secret-keys", ann)
	inDisguise := strings.ReplaceAll(private, "PRIVATE", "PUBLIC")
	for _, text := range []string{private, inDisguise} {
		if _, err := (files{trust.Keyring: text}).keys(); err == nil || !strings.Contains(err.Error(), "private key") {
			t.Errorf("a private key is read with %v", err)
		}
	}
}

// What became of keys is told: of those whose owners took them back, and of subkeys that cannot be used.
func TestNotesOfOldKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.gpgKey(noon.Add(-day), "Ann <ann@example.org>", "ed25519", "never"), w.gpgKey(noon, "Bob <bob@example.org>", "ed25519", "never")
	w.gpg(noon, "", "--quick-add-key", bob, "ed25519", "sign")
	before := w.export(ann)
	prepared, err := os.ReadFile(filepath.Join(w.home, "openpgp-revocs.d", ann+".rev"))
	if err != nil {
		t.Fatal(err)
	}
	_, certificate, _ := strings.Cut(string(prepared), "\n:")
	if _, err := (files{trust.Keyring: before + certificate}).keys(); err == nil || !strings.Contains(err.Error(), "such as a revocation, and no key") {
		t.Errorf("a revocation for a key: %v", err)
	}
	w.gpg(noon, certificate, "--import")
	k := files{trust.Keyring: w.export(ann) + w.edited(w.export(bob), unbound) + before + w.edited(w.export(bob), foreign)}.read(t)
	notes := strings.Join(k.Notes(), "\n")
	if !strings.Contains(notes, "a subkey of "+bob+" cannot be used: its algorithm is not supported") || !strings.Contains(notes, ann+" signs nothing: it was revoked (without a reason, at ") || !strings.Contains(notes, " of "+bob+" cannot be used: subkey signature invalid: ") || len(k.Notes()) != 3 {
		t.Errorf("noted: %s", notes)
	}
}

// Who takes an authority back takes back whom it vouches for.
func TestARevokedAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	authority, key := w.sshKey("authority", "-t", "ed25519"), w.sshKey("ann", "-t", "ed25519")
	w.run("", "ssh-keygen", "-q", "-s", authority, "-I", "id", "-n", "ann", key+".pub")
	c := w.commit(noon)
	raw := []byte(signed(c, w.bySSH(key+"-cert.pub", c)))
	f := files{trust.AllowedSigners: "ann cert-authority " + w.public(authority) + "\n"}
	if _, err := f.read(t).Commit(raw, noon); err != nil {
		t.Fatal(err)
	}
	for _, revoked := range []string{authority, key} {
		f[trust.RevokedKeys] = w.public(revoked)
		if _, err := f.read(t).Commit(raw, noon); reasonOf(t, err) != trust.Revoked {
			t.Errorf("with %s revoked: %v", revoked, err)
		}
	}
}

func TestMoreThanOneSignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ssh, gpg := w.sshKey("ann", "-t", "ed25519"), w.gpgKey(noon, "Ann <ann@example.org>", "ed25519", "never")
	k := files{trust.AllowedSigners: "ann " + w.public(ssh), trust.Keyring: w.export(gpg)}.read(t)
	c := w.commit(noon)
	bySSH, byGPG := w.bySSH(ssh, c), w.byGPG(gpg, c, noon)
	for name, raw := range map[string]string{
		"two of SSH":      signed(c, bySSH+bySSH),
		"two of GPG":      signed(c, byGPG+byGPG),
		"GPG, then SSH":   signed(c, byGPG+bySSH),
		"SSH, then GPG":   signed(c, bySSH+byGPG),
		"two headers":     signed(signed(c, bySSH), byGPG),
		"a word after it": signed(c, byGPG+"and more\n"),
	} {
		if _, err := k.Commit([]byte(raw), noon); reasonOf(t, err) != trust.Multiple {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key must have been good at every time that the caller names, such as that of a merge.
func TestFurtherTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ssh, gpg := w.sshKey("ann", "-t", "ed25519"), w.gpgKey(noon.Add(-10*day), "Ann <ann@example.org>", "ed25519", "20260531T000000")
	k := files{
		trust.AllowedSigners: `ann valid-before="20260531Z" ` + w.public(ssh),
		trust.Keyring:        w.export(gpg),
	}.read(t)
	at := noon.Add(-5 * day)
	c := w.commit(at)
	for name, raw := range map[string]string{"SSH": signed(c, w.bySSH(ssh, c)), "GPG": signed(c, w.byGPG(gpg, c, at))} {
		if _, err := k.Commit([]byte(raw), noon); err != nil {
			t.Errorf("%s: signed in time: %v", name, err)
		}
		if _, err := k.Commit([]byte(raw), noon, at.Add(day)); err != nil {
			t.Errorf("%s: merged in time: %v", name, err)
		}
		if _, err := k.Commit([]byte(raw), noon, noon); reasonOf(t, err) != trust.Expired {
			t.Errorf("%s: merged too late: %v", name, err)
		}
	}
}

// A clock that is ahead is no refusal for ever.
func TestAClockAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gpg := w.gpgKey(noon, "Ann <ann@example.org>", "ed25519", "never")
	k, c := files{trust.Keyring: w.export(gpg)}.read(t), w.commit(noon)
	raw := []byte(signed(c, w.byGPG(gpg, c, noon.Add(time.Hour))))
	_, err := k.Commit(raw, noon)
	var no *trust.Refusal
	if !errors.As(err, &no) || no.Reason != trust.Future || !no.Again.Equal(noon.Add(time.Hour-trust.Ahead)) {
		t.Fatalf("an hour ahead: %+v", no)
	}
	if _, err := k.Commit(raw, no.Again); err != nil {
		t.Errorf("judged again when it said: %v", err)
	}
}

func TestObjectsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	k := files{trust.AllowedSigners: "ann " + someKey}.read(t)
	tree, who := strings.Repeat("a", 40), "Ann <ann@example.org> 1780315200 +0000\n"
	for name, raw := range map[string]string{
		"nothing":               "",
		"no tree":               "author " + who + "committer " + who + "\n",
		"a tree that is none":   "tree abc\nauthor " + who + "committer " + who + "\n",
		"no committer":          "tree " + tree + "\nauthor " + who + "\n",
		"no date":               "tree " + tree + "\nauthor " + who + "committer Ann <ann@example.org>\n\n",
		"a date of 20 digits":   "tree " + tree + "\nauthor " + who + "committer Ann <a@b> 99999999999999999999 +0000\n\n",
		"a date on two lines":   "tree " + tree + "\nauthor " + who + "committer Ann <a@b> 1780315200 +0000\n > 1 +0000\n\n",
		"a date before 1970":    "tree " + tree + "\nauthor " + who + "committer Ann <a@b> -1 +0000\n\n",
		"a parent that is none": "tree " + tree + "\nparent x\nauthor " + who + "committer " + who + "\n",
		"four megabytes":        "tree " + tree + "\nauthor " + who + "committer " + who + "\n" + strings.Repeat("x", trust.MaxObject),
	} {
		if _, err := k.Commit([]byte(raw), noon); reasonOf(t, err) != trust.Malformed {
			t.Errorf("commit with %s: %v", name, err)
		}
		if _, err := k.Tag([]byte(raw), noon); reasonOf(t, err) != trust.Malformed {
			t.Errorf("as a tag, %s: %v", name, err)
		}
	}
}

func TestWhatObjectsSay(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	c, err := trust.ParseCommit([]byte("tree " + a + "\nparent " + b + "\nparent " + a + "\nauthor Ann <ann@example.org> 1 +0000\ncommitter Bob <B@example.org> 1780315200 +0545\n\nparent " + b + "\n"))
	if err != nil || c.Tree != a || strings.Join(c.Parents, " ") != b+" "+a || c.Author != "Ann <ann@example.org>" || c.Committer != "Bob <B@example.org>" || !c.Committed.Equal(noon) {
		t.Errorf("commit: %+v, %v", c, err)
	}
	tag, err := trust.ParseTag([]byte("object " + b + "\ntype commit\ntag v1.4.2\ntagger Ann <ann@example.org> 1780315200 +0000\n\nobject " + a + "\n"))
	if want := (trust.Tag{Object: b, Type: "commit", Name: "v1.4.2", Tagger: "Ann <ann@example.org>", Tagged: noon}); err != nil || tag != want {
		t.Errorf("tag: %+v, %v", tag, err)
	}
}
