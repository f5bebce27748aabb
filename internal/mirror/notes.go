package mirror

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"windlass/desired"
)

// A Machine says what commands find here.
type Machine struct {
	Has      func(command string) bool // it is installed
	StandIns map[string]string         // by command: what stands in for it, in words
	Users    bool                      // nodes have other users than root
	Network  bool                      // nodes reach other machines, by a proxy
}

// Notes is everything that is different here from what the fleet's file says, sorted within its kind. Nothing is left out silently.
func Notes(f *desired.Fleet, g Ground, m Machine) []Note {
	return slices.Concat(nodeNotes(f, g), balancerNotes(f), paceNotes(f, g), commandNotes(f, m), userNotes(f, m))
}

func nodeNotes(f *desired.Fleet, g Ground) []Note {
	var notes []Note
	there := f.Nodes.Expect
	if there == 0 && f.Nodes.EC2 == nil {
		there = len(f.Nodes.Static)
	}
	if there != 0 && there != len(g.Nodes) {
		notes = append(notes, notef("nodes: %d instead of %d", len(g.Nodes), there))
	}
	if f.Nodes.EC2 != nil {
		notes = append(notes, "nodes: cages of this machine instead of the instances with those tags")
	}
	if len(f.Nodes.Static) > 0 {
		notes = append(notes, "nodes: cages of this machine instead of the addresses in the file, which nothing here connects to")
	}
	if f.SSH.User != "root" {
		notes = append(notes, notef("ssh: whoever logs in is root of the cage, not %s", f.SSH.User))
	}
	if len(f.Notify) > 0 {
		notes = append(notes, "notify: nobody hears of rollouts here")
	}
	return notes
}

func balancerNotes(f *desired.Fleet) []Note {
	var notes []Note
	for _, b := range f.LoadBalancers {
		where := ""
		if b.Port == 0 {
			where = fmt.Sprintf("; it sends to port %d, as the first check asks", Port(f, b))
		}
		notes = append(notes, notef("%s: one of this machine%s", b, where))
	}
	if len(f.LoadBalancers) > 0 {
		notes = append(notes, "drains: at most "+delay+", and none settles")
	}
	return notes
}

func paceNotes(f *desired.Fleet, g Ground) []Note {
	var notes []Note
	if g.Check != "" && f.Rollout.Attempts > 1 {
		notes = append(notes, notef("rollout: 1 attempt instead of %d", f.Rollout.Attempts))
	}
	if f.Rollout.Bake > mostBake {
		notes = append(notes, notef("rollout: bakes for %v instead of %v", mostBake, f.Rollout.Bake))
	}
	if c := f.Rollout.Canary; c != nil && c.Bake > mostCanaryBake {
		notes = append(notes, notef("rollout: the canary bakes for %v instead of %v", mostCanaryBake, c.Bake))
	}
	if f.Windows != nil || f.RepoWindows != nil {
		notes = append(notes, "windows: none, nodes are changed at any time")
	}
	if f.Source != nil {
		notes = append(notes, "source: nothing is asked of the release")
	}
	if len(f.After) > 0 {
		notes = append(notes, "after: nothing, no other fleet is here to prove a release first")
	}
	return notes
}

func userNotes(f *desired.Fleet, m Machine) []Note {
	owned := slices.ContainsFunc(f.Configure.Files, func(file desired.File) bool { return file.Owner != "" })
	if m.Users || !owned {
		return nil
	}
	return []Note{"files: all belong to root, since only root can make cages with other users"}
}

// A script is shell of the fleet's that runs on nodes.
type script struct{ where, text string }

func scripts(f *desired.Fleet) []script {
	var all []script
	for _, s := range slices.Concat(f.Configure.Prepare, f.Configure.Activate) {
		all = append(all, script{"step " + s.Name, s.Run})
	}
	for _, c := range f.Health {
		if c.Command != nil {
			all = append(all, script{"check " + c.Name, c.Command.Run})
		}
	}
	return all
}

func commandNotes(f *desired.Fleet, m Machine) []Note {
	standIns, missing, hosts := map[string][]string{}, map[string][]string{}, map[string][]string{}
	var notes []Note
	for _, s := range scripts(f) {
		commands, err := Commands(s.text)
		if err != nil {
			notes = append(notes, notef("%s: its commands cannot be told: %v", s.where, err))
		}
		for _, command := range commands {
			switch {
			case m.StandIns[command] != "":
				standIns[command] = append(standIns[command], s.where)
			case !m.Has(command):
				missing[command] = append(missing[command], s.where)
			}
		}
		for _, host := range Hosts(s.text) {
			hosts[host] = append(hosts[host], s.where)
		}
	}
	for _, file := range f.Configure.Files {
		for _, host := range Hosts(string(file.Content)) {
			hosts[host] = append(hosts[host], "file "+file.To)
		}
	}
	if f.SSH.Sudo && m.StandIns["sudo"] != "" {
		standIns["sudo"] = append(standIns["sudo"], "ssh.sudo")
	}
	for _, command := range slices.Sorted(maps.Keys(standIns)) {
		notes = append(notes, notef("%s stands in: %s (%s)", command, m.StandIns[command], listed(standIns[command])))
	}
	for _, command := range slices.Sorted(maps.Keys(missing)) {
		notes = append(notes, notef("%s is not installed here (%s)", command, listed(missing[command])))
	}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		if m.Network {
			notes = append(notes, notef("%s is reached by a proxy for http and https, if it is public and no node that the deploy repo names (%s)", host, listed(hosts[host])))
			continue
		}
		notes = append(notes, notef("%s cannot be reached: a cage has no network (%s)", host, listed(hosts[host])))
	}
	return notes
}

func listed(where []string) string { return strings.Join(slices.Compact(where), ", ") }

var url = regexp.MustCompile(`[a-z][a-z0-9+.-]*://(?:[^\s/@"']*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)`)

// Hosts are those of the URLs in a text that are not the node itself, sorted.
func Hosts(text string) []string {
	var hosts []string
	for _, m := range url.FindAllStringSubmatch(text, -1) {
		host := strings.ToLower(m[1])
		if host != "localhost" && host != "[::1]" && !strings.HasPrefix(host, "127.") {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// wrappers run the command that is their first word that is no option.
var wrappers = []string{"sudo", "exec", "command", "nohup", "env", "setsid", "nice", "ionice"}

// Commands are the programs that a script for sh calls by name, sorted, as far as they can be read off it: neither those of the shell
// itself, nor the script's own functions, nor what a variable names.
func Commands(text string) ([]string, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, err
	}
	called, functions := map[string]bool{}, map[string]bool{}
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.FuncDecl:
			functions[n.Name.Value] = true
		case *syntax.CallExpr:
			note(n.Args, called)
		}
		return true
	})
	var commands []string
	for _, name := range slices.Sorted(maps.Keys(called)) {
		if !functions[name] && !slices.Contains(builtins, name) {
			commands = append(commands, name)
		}
	}
	return commands, nil
}

func note(args []*syntax.Word, called map[string]bool) {
	if len(args) == 0 {
		return
	}
	name := args[0].Lit()
	if name == "" {
		return
	}
	called[name] = true
	if !slices.Contains(wrappers, name) {
		return
	}
	for i, arg := range args[1:] {
		if lit := arg.Lit(); !strings.HasPrefix(lit, "-") && !strings.Contains(lit, "=") {
			note(args[1+i:], called)
			return
		}
	}
}

// builtins are those of a POSIX shell, and what dash has besides.
var builtins = []string{
	":", ".", "[", "alias", "bg", "break", "case", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "false", "fg", "getopts", "hash", "jobs",
	"kill", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift", "test", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait",
}
