package desired

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// validate finds what a schema cannot say of a document. It works on what is there, so that it says its part about a
// document that is broken elsewhere too.
func validate(document *value) Errors {
	v := validation{document: document}
	v.tagKeys()
	v.unique("name", "nodes", "static")
	v.uniqueMachines()
	v.unique("name", "nodes", "exclude")
	v.unique("to", "configure", "files")
	v.unique("name", "health")
	v.unique("fleet", "after")
	v.uniqueSteps()
	v.uniqueGroups()
	v.knownExclusions()
	v.prune()
	v.proof()
	v.sourceCredentials()
	v.uniqueSourceChecks()
	return v.errors
}

type validation struct {
	document *value
	errors   Errors
}

func (v *validation) report(at *value, format string, args ...any) {
	if !at.flawed && len(v.errors) <= maxErrors {
		v.errors = append(v.errors, errorAt(at.at, format, args...))
	}
}

// tagKeys is here because the schema library misplaces what it finds with propertyNames.
func (v *validation) tagKeys() {
	tags := v.document.get("nodes", "ec2", "tags")
	if tags == nil {
		return
	}
	for _, key := range tags.keys {
		if n := utf8.RuneCountInString(key); n < 1 || n > 128 {
			v.errors = append(v.errors, errorAt(tags.fields[key].at, "key %q of nodes.ec2.tags: a tag's key has 1 to 128 characters", shorten(key)))
		}
	}
}

// unique reports each item of the list at path whose key is that of an earlier one.
func (v *validation) unique(key string, path ...any) {
	v.distinct(v.document.each(path...), keyPath(path...), func(item *value) *value { return item.get(key) }, exactly)
}

func exactly(text string) string { return text }

// uniqueMachines: no two nodes have one address, or one id in the balancers, which is the address where none is given.
func (v *validation) uniqueMachines() {
	nodes := v.document.each("nodes", "static")
	v.distinct(nodes, "nodes.static", func(node *value) *value { return node.get("address") }, canonical)
	v.distinct(nodes, "nodes.static", func(node *value) *value { return cmp.Or(node.get("target"), node.get("address")) }, canonical)
}

// uniqueSteps spans both lists: a step's name alone stands in metrics and on the node.
func (v *validation) uniqueSteps() {
	steps := slices.Concat(v.document.each("configure", "prepare"), v.document.each("configure", "activate"))
	v.distinct(steps, "configure", func(step *value) *value { return step.get("name") }, exactly)
}

// distinct reports each item whose part, in the spelling that counts, is that of an earlier one.
func (v *validation) distinct(items []*value, where string, part func(*value) *value, spelling func(string) string) {
	first := map[string]*value{}
	for _, item := range items {
		at := part(item)
		if at.text() == "" {
			continue
		}
		id := spelling(at.text())
		if earlier, twice := first[id]; twice {
			v.report(at, "%q is given twice in %s; it is first given at line %d", shorten(at.text()), where, earlier.at.Line)
			continue
		}
		first[id] = at
	}
}

func (v *validation) uniqueGroups() {
	v.distinct(v.document.each("loadBalancers"), "loadBalancers", func(lb *value) *value { return lb.get("classic") }, exactly)
	groups := v.document.each("loadBalancers")
	groups = groups[:min(len(groups), 100)] // the schema allows no more
	for i, lb := range groups {
		for _, earlier := range groups[:i] {
			at := lb.get("targetGroup")
			if at.text() != "" && sameGroup(readGroup(lb), readGroup(earlier)) {
				v.report(at, "target group %q is given twice, first at line %d; a node is in a group under one port, so remove one of them", at.text(), earlier.at.Line)
				break
			}
		}
	}
}

func readGroup(lb *value) LoadBalancer {
	return LoadBalancer{TargetGroup: lb.text("targetGroup"), Classic: lb.text("classic")}
}

// knownExclusions: without EC2 every node is named in the file, so that an exclusion of another is a slip, and a node that
// somebody works on would not be left alone.
func (v *validation) knownExclusions() {
	if v.document.get("nodes", "ec2") != nil {
		return
	}
	known := map[string]bool{}
	for _, node := range v.document.each("nodes", "static") {
		known[node.text("name")] = true
	}
	for i, exclusion := range v.document.each("nodes", "exclude") {
		name := exclusion.get("name")
		if name.text() == "" || known[name.text()] || len(v.errors) > maxErrors {
			continue
		}
		hint := "name a node of nodes.static, or remove it"
		if near := nearest(name.text(), sortedKeys(known)); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		v.report(name, "nodes.exclude[%d]: no node is named %q; %s", i, shorten(name.text()), hint)
	}
}

func (v *validation) prune() {
	if v.document.get("nodes", "expect") != nil {
		return
	}
	for i, lb := range v.document.each("loadBalancers") {
		if lb.scalarAt("prune") == true {
			v.report(lb.get("prune"), "loadBalancers[%d].prune needs nodes.expect, so that a short list of nodes prunes nobody", i)
		}
	}
}

// proof: the release that a node serves is proven by a check, or the file says why it cannot be.
func (v *validation) proof() {
	unproven, named := v.document.get("unproven"), v.namesRelease()
	switch {
	case named != nil && unproven.text() != "":
		v.report(unproven, "unproven says that no check can name the release, but the one at line %d does; leave unproven out", named.at.Line)
	case named == nil && unproven.text() == "" && len(v.document.each("health")) > 0:
		v.report(v.document.get("health"), `no check of health names {release}, so that nothing proves which release a node serves; add one such as {name: serves, http: {port: 8080, path: /version, body: "{release}"}}, or say in unproven why there is none`)
	}
}

func (v *validation) namesRelease() *value {
	for _, check := range v.document.each("health") {
		page := Check{HTTP: &HTTPCheck{Body: check.text("http", "body")}}
		command := Check{Command: &CommandCheck{Run: check.text("command", "run")}}
		if page.NamesRelease() || command.NamesRelease() {
			return check
		}
	}
	return nil
}

// impossible finds what a whole fleet asks for and cannot be: a check that cannot pass in time, even when every try passes
// at once, would halt every rollout.
func impossible(document *value, f *Fleet) Errors {
	var all Errors
	for i, check := range f.Health {
		least := time.Duration(check.Successes-1) * check.Interval
		if least > check.Within {
			all = append(all, errorAt(document.get("health", i).at, "health[%d] can never pass: %d successes at an interval of %v take %v, and within is %v",
				i, check.Successes, check.Interval, least, check.Within))
		}
	}
	if sent := f.Configure.sent(); sent > maxSent {
		all = append(all, errorAt(document.get("configure").at, "configure: its steps and the paths of its files take %d KiB of a command line, and a node takes %d KiB; put long scripts into files",
			(sent+1023)/1024, maxSent/1024))
	}
	return all
}

// maxSent is how much of a command line, which Linux limits to 128 KiB, steps and paths may take: the rest is the node record's.
const maxSent = 64 << 10

// sent is how many bytes of a command line, quoted for a shell, steps and the paths of files take.
func (c Configure) sent() int {
	n := 0
	for _, s := range slices.Concat(c.Prepare, c.Activate) {
		n += len(s.Name) + len(s.Run) + 3*strings.Count(s.Run, "'") + 16
	}
	for _, file := range c.Files {
		n += len(file.To) + 3*strings.Count(file.To, "'") + len(file.Owner) + 96 // mode, checksum and quotes
	}
	return n
}

// advise warns of what is allowed and yet hardly meant.
func advise(document *value, f *Fleet) []Error {
	var warnings []Error
	warn := func(path []any, format string, args ...any) {
		at := document.at
		if v := document.get(path...); v != nil {
			at = v.at
		}
		warnings = append(warnings, errorAt(at, format, args...))
	}
	c := f.Configure
	if len(c.Files)+len(c.Prepare)+len(c.Activate) == 0 {
		warn([]any{"configure"}, "configure has no files and no steps, so that a release changes nothing on a node")
	}
	alone := f.Nodes.Expect-len(f.Nodes.Exclude) == 1
	if f.Nodes.EC2 == nil {
		alone = len(f.Nodes.Static)-len(f.Nodes.Exclude) == 1
	}
	if alone && !f.Rollout.AllowOutage {
		warn([]any{"nodes"}, "a fleet of one node stays above its floor of 1 only by never leaving; set rollout.allowOutage: true to let it be rolled")
	}
	if f.Nodes.EC2 == nil && f.Nodes.Expect > len(f.Nodes.Static) {
		warn([]any{"nodes", "expect"}, "nodes.expect is %d, but nodes.static names only %d; nothing is drained while nodes are missing", f.Nodes.Expect, len(f.Nodes.Static))
	}
	for i, file := range c.Files {
		if file.Owner != "" && f.SSH.User != "root" && !f.SSH.Sudo {
			warn([]any{"configure", "files", i, "owner"}, "configure.files[%d].owner is set, but %s can hardly give files away; set ssh.sudo: true", i, f.SSH.User)
		}
	}
	return warnings
}
