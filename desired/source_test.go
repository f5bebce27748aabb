package desired_test

import (
	"io/fs"
	"maps"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"windlass/desired"
)

// What a fleet demands of its releases, with what is left out, and that to change it rolls nothing.
func TestSourceOfAFleet(t *testing.T) {
	const signers = "ann@example.com ssh-ed25519 AAAA\n"
	without := good(t, "fleets/web.yaml", smallest)
	f := good(t, "fleets/web.yaml", smallest+"base: ../base/web.yaml\nsource: {checks: [ci/test, {name: ci/lint, app: github-actions, neutral: true}]}\n",
		"base/web.yaml", "source: {repository: 'https://git.example.com/shop/web', signed: true, checks: [ci/other]}\n",
		"trust/releases/allowed_signers", signers, "trust/releases/README", "no key")
	if without.Source != nil || f.Source == nil {
		t.Fatalf("without: %v, with: %v", without.Source, f.Source)
	}
	if f.Digest(desired.DigestAlgorithm) != without.Digest(desired.DigestAlgorithm) {
		t.Error("what a release must be rolls the fleet")
	}
	s := f.Source
	if s.Branch != "main" || s.TagOf("v1.4.2") != "v1.4.2" || s.ChecksWithin != time.Hour || !s.Signed || s.Overrides("v1.4.2") {
		t.Errorf("it is %+v", s)
	}
	if want := []desired.RequiredCheck{{Name: "ci/test"}, {Name: "ci/lint", App: "github-actions", Neutral: true}}; !slices.Equal(s.Checks, want) {
		t.Errorf("checks are %+v", s.Checks)
	}
	if got, err := fs.ReadFile(s.SignerFiles(), "allowed_signers"); err != nil || string(got) != signers || len(s.Signers) != 1 {
		t.Errorf("signers are %q, %v", s.Signers, err)
	}
	other := good(t, "fleets/web.yaml", smallest+"source: {repository: 'https://git.example.com/shop/web', tag: 'web/v{release}', override: {release: '2', reason: CVE, by: ann}}\n")
	if other.Source.TagOf("2") != "web/v2" || !other.Source.Overrides("2") || other.Source.Overrides("3") || other.Source.Signers != nil {
		t.Errorf("it is %+v", other.Source)
	}
	if f.Same(other) || !other.Same(other) {
		t.Error("files that say something else are the same")
	}
}

// Without TLS a repository is read on this machine alone, by any of its addresses.
func TestRepositoriesWithoutTLS(t *testing.T) {
	for host, fine := range map[string]bool{
		"localhost": true, "127.0.0.1:3000": true, "127.42.0.1:3000": true, "[::1]:3000": true, "[::ffff:127.0.0.1]": true,
		"10.0.0.1": false, "127.0.0.1.example.com": false, "localhost.example.com": false, "[::2]": false, "[::1%25eth0]": false, "0.0.0.0": false,
	} {
		tree, err := desired.Load(repo("fleets/web.yaml", smallest+"source: {repository: 'http://"+host+"/shop/web'}\n"))
		if err != nil || (len(tree.Fleets) == 1) != fine {
			t.Errorf("%s: %v, %v", host, tree.Rejected, err)
		}
	}
}

// The files of who may sign are read with the fleets that need them, and only then; what cannot be read as files rejects those fleets alone.
func TestReleaseSigners(t *testing.T) {
	const signed = "source: {repository: 'https://git.example.com/shop/web', signed: true}\n"
	files := repo("fleets/a.yaml", edited(t, "name: web-live", "name: a")+signed, "fleets/b.yaml", edited(t, "name: web-live", "name: b", "env: live", "env: b", "targetGroup: web-live", "targetGroup: b"),
		"trust/releases/keyring.asc", "key")
	files["trust/releases/allowed_signers"] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("../keys")}
	tree, err := desired.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Fleets["b"] == nil || len(tree.Rejected["a"].Errors) != 1 || tree.Rejected["a"].Errors[0].Position.File != "trust/releases/allowed_signers" {
		t.Errorf("accepted %v, rejected %v", slices.Collect(maps.Keys(tree.Fleets)), tree.Rejected)
	}
	delete(files, "trust/releases/allowed_signers")
	if tree, err = desired.Load(files); err != nil || tree.Fleets["a"] == nil {
		t.Fatalf("with a keyring alone: %v, %v", tree.Rejected, err)
	}
	if got := tree.Uses["trust/releases/keyring.asc"]; !slices.Equal(got, []string{"a"}) {
		t.Errorf("the keyring goes into %v", got)
	}
}

// A file in memory is read as any other.
func TestSignerFilesAreAFileSystem(t *testing.T) {
	s := desired.Source{Signers: map[string][]byte{"keyring.asc": []byte("key")}}
	file, err := s.SignerFiles().Open("keyring.asc")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != 3 || !info.Mode().IsRegular() {
		t.Errorf("it is %v, %v", info, err)
	}
	if _, err := s.SignerFiles().Open("allowed_signers"); err == nil {
		t.Error("a file is there that is not")
	}
}
