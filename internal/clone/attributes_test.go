package clone

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The same files are taken for filtered as by git itself.
func TestFilterByAttributes(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("left out: git is not installed")
	}
	for name, c := range map[string]struct {
		root, below string
		filtered    bool
	}{
		"something else said later": {"*.yaml filter=crypt\n* text=auto\n", "", true},
		"something else beside it":  {"*.yaml filter=crypt diff=crypt merge=crypt -text\n", "", true},
		"taken back":                {"* filter=crypt diff=crypt -text\n*.yaml -filter\n", "", false},
		"unspecified again":         {"* filter=crypt\n*.yaml !filter eol=lf\n", "", false},
		"taken back below":          {"* filter=crypt\n", "*.yaml !filter\n", false},
		"said below":                {"* text=auto\n", "web.yaml filter=crypt\n", true},
		"set":                       {"*.yaml filter\n", "", true},
		"a macro":                   {"*.yaml sealed\n[attr]sealed filter=crypt -diff\n", "", true},
		"a macro of a macro":        {"[attr]sealed filter=crypt\n[attr]shut sealed\n*.yaml shut\n", "", true},
		"a macro below":             {"", "[attr]sealed filter=crypt\n*.yaml sealed\n", false},
		"all in a directory":        {"fleets/** filter=crypt\n", "", true},
		"anywhere":                  {"**/web.yaml filter=crypt\n", "", true},
		"two stars in a name":       {"**.yaml filter=crypt\n", "", true},
		"two stars in the middle":   {"fleets/**/web.yaml filter=crypt\n", "", true},
		"from the root":             {"/web.yaml filter=crypt\n", "", false},
		"a star over directories":   {"*/web.yaml filter=crypt\n", "", true},
		"not these letters":         {"[!a-v]eb.yaml filter=crypt\n", "", true},
		"a class":                   {"[[:alpha:]]eb.y[]a]ml filter=crypt\n", "", true},
		"not this class":            {"[^[:alpha:]]eb.yaml filter=crypt\n", "", false},
		"quoted":                    {"\"web.yaml\" filter=crypt\r\n", "", true},
		"a backslash":               {`we\b.yaml filter=crypt` + "\n", "", true},
		"other names":               {"web.yaml.bak filter=crypt\nxweb.yaml filter=crypt\nweb?yaml -filter\n", "", false},
		"a comment":                 {"# *.yaml filter=crypt\n\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			git := func(args ...string) string {
				cmd := exec.Command("git", args...)
				cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
				said, err := cmd.Output()
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(string(said))
			}
			git("init", "-q")
			if err := os.Mkdir(filepath.Join(dir, "fleets"), 0o755); err != nil {
				t.Fatal(err)
			}
			var said attributes
			for below, text := range map[string]string{"": c.root, "fleets/": c.below} {
				if err := os.WriteFile(filepath.Join(dir, below, ".gitattributes"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(said.add("", c.root), said.add("fleets/", c.below)); err != nil {
				t.Fatal(err)
			}
			const file = "fleets/web.yaml"
			_, value, _ := strings.Cut(git("check-attr", "filter", "--", file), "filter: ")
			if plain := value == "unspecified" || value == "unset"; plain == c.filtered {
				t.Fatalf("git itself says %s", value)
			}
			if got := said.filter(file); (got != "") != c.filtered {
				t.Errorf("the filter is %q, and git says %s", got, value)
			}
		})
	}
}
