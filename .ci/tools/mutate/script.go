package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A rule rewrites one place of a script's line.
type rule struct {
	was    *regexp.Regexp
	became string
}

var rules = []rule{
	{regexp.MustCompile(` -gt `), " -ge "},
	{regexp.MustCompile(` -ge `), " -gt "},
	{regexp.MustCompile(` -lt `), " -le "},
	{regexp.MustCompile(` -le `), " -lt "},
	{regexp.MustCompile(` = `), " != "},
	{regexp.MustCompile(` != `), " = "},
	{regexp.MustCompile(` && `), " || "},
	{regexp.MustCompile(` \|\| `), " && "},
	{regexp.MustCompile(`(if|while|until|&&|\|\|) ! `), "$1 "},
	{regexp.MustCompile(`\[ ! `), "[ "},
	{regexp.MustCompile(`\[ -([a-z]) ("[^"]*"|\S+) \]`), "[ ! -$1 $2 ]"},
	{regexp.MustCompile(`(if|\{|&&|\|\|) (sync|flock|mv|rm|kill|chmod|chown|writable|space|lock|unlock|claimed) [^;&|}]*`), "$1 true "},
}

// simple is a line that is a command of its own.
var simple = regexp.MustCompile(`^\t*[a-z:]+( |$|=)[^{(]*$`)

// partial begins lines that are not commands of their own.
var partial = regexp.MustCompile(`^\t*(if|then|else|elif|fi|for|while|until|do|done|case|esac|readonly|local|exit)\b|\{ *$|(&&|\|\||\||\\)$|;;$|<<`)

// plantScripts writes an overlay for each bug of the shell scripts that a package embeds.
func (s *source) plantScripts(dir string) ([]*mutant, error) {
	var bugs []*mutant
	for _, name := range s.embeds {
		if filepath.Ext(name) != ".sh" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return nil, err
		}
		found, err := s.plantScript(dir, name, string(text))
		if err != nil {
			return nil, err
		}
		bugs = append(bugs, found...)
	}
	return bugs, nil
}

func (s *source) plantScript(dir, name, text string) ([]*mutant, error) {
	var bugs []*mutant
	lines := strings.Split(text, "\n")
	within := "script"
	for i, line := range lines {
		if f, ok := strings.CutSuffix(line, "() {"); ok {
			within = f
		}
		for _, became := range variants(line) {
			changed := strings.Join(append(append(append([]string{}, lines[:i]...), became), lines[i+1:]...), "\n")
			if exec.Command("sh", "-n", "-c", changed).Run() != nil {
				continue
			}
			base := fmt.Sprintf("%s-%d-%d", filepath.Base(name), i, len(bugs))
			file := filepath.Join(dir, base)
			if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
				return nil, err
			}
			overlay, err := writeOverlay(dir, base, map[string]string{filepath.Join(s.dir, name): file})
			if err != nil {
				return nil, err
			}
			bugs = append(bugs, &mutant{file: filepath.Join(s.name, name), within: within, line: i + 1, was: strings.TrimSpace(line), became: strings.TrimSpace(became), overlay: overlay})
		}
		if line == "}" {
			within = "script"
		}
	}
	return bugs, nil
}

// variants are a line with one bug each.
func variants(line string) []string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return nil
	}
	var out []string
	for _, r := range rules {
		for _, at := range r.was.FindAllStringSubmatchIndex(line, -1) {
			became := string(r.was.ExpandString(nil, r.became, line, at))
			out = append(out, line[:at[0]]+became+line[at[1]:])
		}
	}
	if simple.MatchString(line) && !partial.MatchString(line) {
		out = append(out, ":")
	}
	return out
}
