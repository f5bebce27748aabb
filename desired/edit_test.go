package desired_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"windlass/desired"
)

func TestOnlyTheReleaseChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, release, want, was string }{
		"plain":                {"name: web\nrelease: v1 # the one\nretry: 1\n", "v2", "name: web\nrelease: v2 # the one\nretry: 1\n", "v1"},
		"in double quotes":     {"release: \"v1\"\n", "v1.10", "release: \"v1.10\"\n", "v1"},
		"in single quotes":     {"release:   'v1'\n", "v2", "release:   'v2'\n", "v1"},
		"no last newline":      {"release: v1", "v2", "release: v2", "v1"},
		"line ends of others":  {"name: web\r\nrelease: v1\r\nretry: 1\r\n", "v2", "name: web\r\nrelease: v2\r\nretry: 1\r\n", "v1"},
		"carriage returns":     {"name: web\rrelease: v1\r", "v2", "name: web\rrelease: v2\r", "v1"},
		"strange line ends":    {"# a\u2028# b\u0085release: v1\n", "v2", "# a\u2028# b\u0085release: v2\n", "v1"},
		"a byte order mark":    {"\uFEFFrelease: v1\n", "v2", "\uFEFFrelease: v2\n", "v1"},
		"on the next line":     {"release:\n  v1\n", "v2", "release:\n  v2\n", "v1"},
		"in braces":            {"{name: web, release: v1, retry: 1}\n", "v2", "{name: web, release: v2, retry: 1}\n", "v1"},
		"behind wide letters":  {"{name: 'ä€𝄞', release: v1}\n", "v2", "{name: 'ä€𝄞', release: v2}\n", "v1"},
		"a number is text":     {"release: v1\n", "1.10", "release: \"1.10\"\n", "v1"},
		"an exponent is text":  {"release: v1\n", "1e3", "release: \"1e3\"\n", "v1"},
		"a whole number, too":  {"release: v1\n", "20261130", "release: \"20261130\"\n", "v1"},
		"true is text":         {"release: v1\n", "true", "release: \"true\"\n", "v1"},
		"and so is yes":        {"release: v1\n", "yes", "release: \"yes\"\n", "v1"},
		"the same":             {"release: v1\n", "v1", "release: v1\n", "v1"},
		"of a number":          {"release: 12\n", "v2", "release: v2\n", "12"},
		"not that of a step":   {"vars: {release: v1}\nrelease: v1\n", "v2", "vars: {release: v1}\nrelease: v2\n", "v1"},
		"a comment has it too": {"# release: v1\nrelease: v1 # v1\n", "v1.0+b-2", "# release: v1\nrelease: v1.0+b-2 # v1\n", "v1"},
	} {
		got, was, err := desired.SetRelease("fleets/web.yaml", []byte(c.text), c.release)
		if string(got) != c.want || was != c.was || err != nil {
			t.Errorf("%s: %q, was %q, %v; want %q", name, got, was, err, c.want)
		}
	}
}

func TestReleaseThatCannotBeChanged(t *testing.T) {
	t.Parallel()
	const file = "fleets/web.yaml"
	for name, c := range map[string]struct{ text, release, want string }{
		"no release":       {"release: v1\n", "", `"" is no release: it begins with`},
		"what git reads":   {"release: v1\n", "-v2", `"-v2" is no release`},
		"a second line":    {"release: v1\n", "v2\npaused: {}", "is no release"},
		"a long one":       {"release: v1\n", strings.Repeat("v", 129), "is no release"},
		"an anchor":        {"release: &r v1\n", "v2", "fleets/web.yaml:1:10: anchor &r: anchors are not allowed"},
		"a tag":            {"release: !!str v1\n", "v2", "fleets/web.yaml:1:10: tag !!str: tags are not allowed"},
		"an alias":         {"name: &r v1\nrelease: *r\n", "v2", "fleets/web.yaml:2:10: alias *r: aliases are not allowed"},
		"twice":            {"release: v1\nrelease: v1\n", "v2", `fleets/web.yaml:2:1: key "release" is given twice`},
		"a block":          {"release: |\n  v1\n", "v2", "fleets/web.yaml:1:10: release is written in a way that only a person can change"},
		"two lines":        {"release: v1\n  v3\n", "v2", "only a person can change"},
		"two quoted lines": {"release: \"v1\n  v3\"\n", "v2", "only a person can change"},
		"an escape":        {"release: \"v\\x31\"\n", "v2", "only a person can change"},
		"nothing":          {"release:\n", "v2", "release is empty; write one by hand"},
		"a list":           {"release: [v1]\n", "v2", "release is a list; write one by hand"},
		"no YAML":          {"release: [v1\n", "v2", "this is not YAML"},
		"two documents":    {"release: v1\n---\nrelease: v1\n", "v2", "a second document starts here"},
		"none of its own":  {"base: ../base/web.yaml\n", "v2", "it says no release"},
	} {
		got, _, err := desired.SetRelease(file, []byte(c.text), c.release)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s: %q, %v; want %s", name, got, err, c.want)
		}
	}
	if _, _, err := desired.SetRelease(file, []byte("name: web\n"), "v2"); !errors.Is(err, desired.ErrNoRelease) {
		t.Errorf("no release: %v", err)
	}
}

func TestWhichFileSaysTheRelease(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"fleets/own.yaml":    "base: ../base/web.yaml\nrelease: v1\n",
		"fleets/live.yaml":   "base: ../base/web.yaml\n",
		"fleets/deep.yaml":   "base: ../base/deep.yaml\n",
		"fleets/none.yaml":   "base: ../base/none.yaml\n",
		"fleets/lost.yaml":   "base: ../base/lost.yaml\n",
		"fleets/circle.yaml": "base: ../base/circle.yaml\n",
		"fleets/out.yaml":    "base: ../../web.yaml\n",
		"fleets/broken.yaml": "release: [\n",
		"base/web.yaml":      "release: v2\n",
		"base/deep.yaml":     "base: web.yaml\n",
		"base/none.yaml":     "ssh: {user: deploy}\n",
		"base/circle.yaml":   "base: circle.yaml\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, want := range map[string]string{
		"own": "fleets/own.yaml", "live": "base/web.yaml", "deep": "base/web.yaml",
		"none": "! fleets/none.yaml and its bases: it says no release", "lost": "! base/lost.yaml does not exist", "missing": "! fleets/missing.yaml does not exist",
		"circle": "! base/circle.yaml:1:7: base \"circle.yaml\" goes in a circle: fleets/circle.yaml → base/circle.yaml → base/circle.yaml",
		"out":    "! fleets/out.yaml:1:7: base \"../../web.yaml\" leaves the repo", "broken": "! fleets/broken.yaml:",
	} {
		got, err := desired.ReleaseFile(files, "fleets/"+name+".yaml")
		if err != nil {
			got = "! " + err.Error()
		}
		if !strings.HasPrefix(got, want) || err == nil && got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
