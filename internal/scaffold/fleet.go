package scaffold

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	example "windlass/deploy-repo-example"
)

// An edit is what stands in the example, and what is to stand there.
type edit struct{ old, new string }

// replaced is text after edits, each of which must find its place, and one only. An error says that the example has changed.
func replaced(text string, edits []edit) (string, error) {
	for _, e := range edits {
		if strings.Count(text, e.old) != 1 {
			return "", fmt.Errorf("the example says %q %d times", e.old, strings.Count(text, e.old))
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text, nil
}

// fleetText is a fleet file that needs no base: that of the example's live fleet, with what its base says besides.
func fleetText(a Answers) (string, error) {
	live, err := fs.ReadFile(example.Files, "fleets/web-live.yaml")
	if err != nil {
		return "", err
	}
	shared, err := baseText(a)
	if err != nil {
		return "", err
	}
	expect := "  # expect: 8 #"
	if a.Expect != 0 {
		expect = "  expect: " + strconv.Itoa(a.Expect) + " #"
	}
	group := edit{"- {targetGroup: web-live}", "- {targetGroup: " + quoted(a.Group) + "}"}
	if a.Group == "" {
		group = edit{"loadBalancers:\n  - {targetGroup", "# loadBalancers:\n#  - {targetGroup"}
	}
	return replaced(string(live), []edit{
		{"\nname: web-live\n", "\nname: " + quoted(a.Fleet) + "\n"},
		{"\nbase: ../base/web.yaml\n", "\n"},
		{"\nrelease: v1.4.2 #", "\nrelease: " + quoted(a.Release) + " #"},
		{"tags: {app: web, env: live}", "tags: " + quotedMap(a.Tags)},
		{"  expect: 8 #", expect},
		group,
		{"configure:\n  vars: {environment: live, workers: 8, logLevel: info}\n", shared},
		{"so at least 7 of 8 always serve", "or a percentage of them: the others always serve"},
	})
}

// baseText is what the example's base says: how to log in, how to install, how a node proves what it serves.
func baseText(a Answers) (string, error) {
	base, err := fs.ReadFile(example.Files, "base/web.yaml")
	if err != nil {
		return "", err
	}
	ssh, err := between(string(base), "ssh:\n", "\nconfigure:")
	if err != nil {
		return "", err
	}
	steps, err := between(string(base), "  # Each step is a script", "\n  prepare:")
	if err != nil {
		return "", err
	}
	activate, err := between(string(base), "  activate:", "\n")
	if err != nil {
		return "", err
	}
	health, err := between(string(base), "# A node goes back to", "")
	if err != nil {
		return "", err
	}
	port := "port: " + strconv.Itoa(a.Port)
	health = strings.NewReplacer("port: 8080", port, "in on 8080;", "in on "+strconv.Itoa(a.Port)+";").Replace(health)
	ssh, err = replaced(ssh, []edit{{"user: deploy", "user: " + quoted(a.User)}})
	install := activate + "\n    - name: install\n      run: " + quoted(a.Install) + "\n"
	return ssh + "\nconfigure:\n" + steps + install + "\n" + health, err
}

// between is text from the first mark up to the next, which stays out; up to the end where there is none.
func between(text, from, to string) (string, error) {
	start := strings.Index(text, from)
	if start < 0 {
		return "", fmt.Errorf("the example says nowhere %q", from)
	}
	text = text[start:]
	if to == "" {
		return text, nil
	}
	end := strings.Index(text, to)
	if end < 0 {
		return "", fmt.Errorf("the example says nowhere %q after %q", to, from)
	}
	return text[:end], nil
}

// quoted is text as a YAML scalar of one line that stands for it, also within braces.
func quoted(text string) string {
	inline, err := yaml.Marshal(&yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{scalar(text)}})
	if err != nil {
		return `""` // is no answer, and so refused
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(inline)), "["), "]")
}

func quotedMap(texts map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		pairs = append(pairs, quoted(key)+": "+quoted(texts[key]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// boolish is what YAML 1.1 took for a boolean. A fleet file may not say it unquoted.
var boolish = regexp.MustCompile(`^(?i:y|yes|n|no|on|off)$`)

// scalar is a string, whatever it looks like.
func scalar(text string) *yaml.Node {
	var n yaml.Node
	n.SetString(text)
	if strings.ContainsAny(text, "\n\r") || boolish.MatchString(text) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return &n
}
