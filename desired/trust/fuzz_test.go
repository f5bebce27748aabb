package trust_test

import (
	"strings"
	"testing"

	"windlass/desired/trust"
)

// Whatever a file says, it is read or refused in lines that name their place.
func FuzzRead(f *testing.F) {
	f.Add("ann "+someKey, "", "")
	f.Add("*@example.org,!eve cert-authority,namespaces=\"git\",valid-after=\"20260101Z\" "+someKey, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM=\n-----END PGP PUBLIC KEY BLOCK-----\n", someKey)
	f.Add("a b \"c", "Version: 1\n-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nmDMEZ=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----", "#\n\x00")
	f.Fuzz(func(t *testing.T, allowed, ring, revoked string) {
		k, err := files{trust.AllowedSigners: allowed, trust.Keyring: ring, trust.RevokedKeys: revoked}.keys()
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
