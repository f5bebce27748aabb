package trust_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"golang.org/x/crypto/ssh"

	"windlass/desired/trust"
)

// Whatever a file says, it is read or refused in lines that name their place.
func FuzzRead(f *testing.F) {
	f.Add("ann "+someKey, "", "")
	f.Add("*@example.org,!eve cert-authority,namespaces=\"git\",valid-after=\"20260101Z\" "+someKey, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM=\n-----END PGP PUBLIC KEY BLOCK-----\n", someKey)
	f.Add("a b \"c", "Version: 1\n-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nmDMEZ=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----", "#\n\x00")
	f.Fuzz(func(t *testing.T, allowed, ring, revoked string) {
		readOrRefused(t, files{trust.AllowedSigners: allowed, trust.Keyring: ring, trust.RevokedKeys: revoked})
	})
}

// readOrRefused reads files and returns who may sign by them; nil: they were refused.
func readOrRefused(t *testing.T, f files) *trust.Keys {
	t.Helper()
	k, err := f.keys()
	if (k == nil) == (err == nil) {
		t.Fatalf("%v, %v", k, err)
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(line, "nobody may sign") && !strings.Contains(line, ":") {
				t.Errorf("%q names no place", line)
			}
		}
	}
	return k
}

// A GPG key with a subkey, by which nobody signed what is looked at here, and its signature of something else.
const (
	gpgKey = `-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEafPtABYJKwYBBAHaRw8BAQdAI6MQz+zW6ZIcWZOkfqy7Y2h/DbF9wUJOc3l5
TDEZSkm0FUFubiA8YW5uQGV4YW1wbGUub3JnPoiQBBMWCAA4FiEEWEtahYmD2OZe
liFKewH3llpNY3EFAmnz7QACGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQ
ewH3llpNY3EWpQEA1KijUjqTov5ckuUw0IVm8nGOd5qtiIlTPoJHaWEuRHsBAJlA
Hg1Ri3h+mduL735oqnaT9v/4/DHN/0qr3uiyFhMBuDMEafPtABYJKwYBBAHaRw8B
AQdAOJ+0h92K2dxbmWpnBuwNjqeRzhuDCvyIDTJZySqUvOuI7wQYFggAIBYhBFhL
WoWJg9jmXpYhSnsB95ZaTWNxBQJp8+0AAhsCAIEJEHsB95ZaTWNxdiAEGRYIAB0W
IQQFKMClP8jpFIBwoayihfztp/XvaQUCafPtAAAKCRCihfztp/XvaTjiAQDMDt7a
6Uf9+i8RJsyogtuncJ+hslyDJUsqpJrGAj83oAD/SCRmjfq4TdyTqbxLV1jhfw3I
rD1SVYOQNXtpW6qgaQKkLAEA/naFlvKbbJfP7UGcK3Ks/mQzpWZtpAz9S0NKPpPy
8j8A/ixxs51pXE7Qw9T2Shm0TzfHYbQOQHSlGDVdWI0EqrgC
=KJT8
-----END PGP PUBLIC KEY BLOCK-----
`
	gpgSignature = `-----BEGIN PGP SIGNATURE-----

iHUEABYIAB0WIQQFKMClP8jpFIBwoayihfztp/XvaQUCafPtAAAKCRCihfztp/Xv
aeFKAP9/wyxBY0nbRBW5U3ZsHMS47y53o2cjPMd8IamRmKEPdAD+M8IrLsbpV8kh
ajTpRgpWhXq/xsZqhLXwVrrcWemGug4=
=awN4
-----END PGP SIGNATURE-----
`
)

// Whatever the packets of a keyring are, they are read, left out and noted, or refused.
func FuzzKeyring(f *testing.F) {
	key := dearmored(f, gpgKey)
	f.Add(key)
	f.Add(append(bytes.Clone(key), key...))
	f.Add(dearmored(f, gpgSignature))
	commit := []byte(signed(unsigned, gpgSignature))
	f.Fuzz(func(t *testing.T, key []byte) {
		k := readOrRefused(t, files{trust.Keyring: gpgKey + armored(t, openpgp.PublicKeyType, key)})
		if k == nil {
			return
		}
		for _, n := range k.Notes() {
			if !strings.HasPrefix(n, trust.Keyring+":") || strings.ContainsAny(n, "\n\x1b") {
				t.Errorf("noted: %q", n)
			}
		}
		if who, err := k.Commit(commit, noon); reasonOf(t, err) == "" {
			t.Fatalf("signed by %+v", who)
		}
	})
}

// Whatever a GPG signature holds, nobody has signed by it but who has the key.
func FuzzGPGSignature(f *testing.F) {
	signature := dearmored(f, gpgSignature)
	f.Add(signature)
	f.Add(append(bytes.Clone(signature), signature...))
	f.Add([]byte{0xc2, 0xff, 0xff, 0xff, 0xff, 0xff})
	k, err := files{trust.Keyring: gpgKey}.keys()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, signature []byte) {
		if who, err := k.Commit([]byte(signed(unsigned, armored(t, openpgp.SignatureType, signature))), noon); reasonOf(t, err) == "" {
			t.Fatalf("signed by %+v", who)
		}
	})
}

// unsigned is a commit that nobody signed.
var unsigned = "tree " + strings.Repeat("a", 40) + "\nauthor ann <ann@example.org> 1780315200 +0000\ncommitter ann <ann@example.org> 1780315200 +0000\n\nx\n"

func dearmored(f *testing.F, text string) []byte {
	f.Helper()
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil {
		f.Fatal(err)
	}
	b, err := io.ReadAll(block.Body)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func armored(t *testing.T, kind string, blob []byte) string {
	t.Helper()
	var out bytes.Buffer
	to, err := armor.Encode(&out, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Write(blob); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n"
}

// Whatever an SSH signature holds, nobody has signed by it but who has the key.
func FuzzSSHSignature(f *testing.F) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(someKey))
	if err != nil {
		f.Fatal(err)
	}
	for _, public := range [][]byte{key.Marshal(), ssh.Marshal(struct {
		Type string
		Rest [40]byte
	}{Type: ssh.CertAlgoED25519v01})} {
		f.Add(append([]byte("SSHSIG\x00\x00\x00\x01"), ssh.Marshal(struct{ Key, Namespace, Reserved, Hash, Signature string }{
			string(public), "git", "", "sha512", string(ssh.Marshal(ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, 64)})),
		})...))
	}
	k, err := files{trust.AllowedSigners: "ann " + someKey + "\n* cert-authority " + someKey}.keys()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		signature := "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(blob) + "\n-----END SSH SIGNATURE-----\n"
		if who, err := k.Commit([]byte(signed(unsigned, signature)), noon); reasonOf(t, err) == "" {
			t.Fatalf("signed by %+v", who)
		}
	})
}

// Nobody has signed what is not signed by a key of the files, whatever the object looks like.
func FuzzObjects(f *testing.F) {
	who := "ann <ann@example.org> 1780315200 +0000\n"
	tree := "tree " + strings.Repeat("a", 40) + "\n"
	f.Add([]byte(tree + "author " + who + "committer " + who + "gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----\n\nx\n"))
	f.Add([]byte(tree + "author " + who + "committer " + who + "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iHUEABYIAB0=\n =abcd\n -----END PGP SIGNATURE-----\n\nx\n"))
	f.Add([]byte("object " + strings.Repeat("b", 40) + "\ntype commit\ntag v1\ntagger " + who + "\nx\n-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	k, err := files{trust.AllowedSigners: "ann " + someKey}.keys()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, verify := range []func() (trust.Signer, error){
			func() (trust.Signer, error) { return k.Commit(raw, noon, noon.Add(day)) },
			func() (trust.Signer, error) { return k.Tag(raw, noon) },
		} {
			if who, err := verify(); err == nil {
				t.Fatalf("signed by %+v: %q", who, raw)
			} else {
				reasonOf(t, err)
			}
		}
	})
}
