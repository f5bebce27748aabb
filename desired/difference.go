package desired

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
)

// An Earlier is a fleet as some commit had it.
type Earlier struct {
	Fleet   *Fleet // nil: it cannot be told
	Unknown string // why
}

// A Difference is something that ends on a node and that two versions of a fleet do not agree about. It names it and says nothing of
// what is in it.
type Difference struct {
	What Part   `json:"what"`
	Name string `json:"name,omitempty"` // of the variable, the step, or the file by where it ends; none of the release
	How  How    `json:"how"`
}

// A Part is a kind of what ends on a node.
type Part string

// The parts of what ends on a node, which are those of Digest.
const (
	PartRelease  Part = "release"
	PartVar      Part = "var"
	PartFile     Part = "file"
	PartPrepare  Part = "prepare step"
	PartActivate Part = "activate step"
)

// How is how something differs.
type How string

// The ways there are.
const (
	Added   How = "added"
	Removed How = "removed"
	Changed How = "changed"
	Moved   How = "moved" // to another place among the steps
)

// String is the difference for people.
func (d Difference) String() string {
	if d.Name == "" {
		return string(d.What) + " " + string(d.How)
	}
	return string(d.What) + " " + d.Name + " " + string(d.How)
}

// Differences are what makes a node that has was another one than wanted, in a fixed order.
func Differences(was, wanted *Fleet) []Difference {
	var all []Difference
	if was.Release != wanted.Release {
		all = append(all, Difference{What: PartRelease, How: Changed})
	}
	all = append(all, compare(PartVar, was.Configure.Vars, wanted.Configure.Vars, func(a, b any) bool { return reflect.DeepEqual(a, b) })...)
	all = append(all, compare(PartFile, placed(was), placed(wanted), sameFile)...)
	all = append(all, steps(PartPrepare, was.Configure.Prepare, wanted.Configure.Prepare)...)
	return append(all, steps(PartActivate, was.Configure.Activate, wanted.Configure.Activate)...)
}

// compare names what two maps do not agree about, sorted.
func compare[V any](what Part, was, wanted map[string]V, same func(a, b V) bool) []Difference {
	var found []Difference
	keys := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(wanted))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		a, had := was[key]
		b, has := wanted[key]
		switch {
		case !had:
			found = append(found, Difference{what, key, Added})
		case !has:
			found = append(found, Difference{what, key, Removed})
		case !same(a, b):
			found = append(found, Difference{what, key, Changed})
		}
	}
	return found
}

func placed(f *Fleet) map[string]File {
	files := map[string]File{}
	for _, file := range f.Configure.Files {
		files[file.To] = file
	}
	return files
}

func sameFile(a, b File) bool {
	return a.Owner == b.Owner && canonicalMode(a.Mode) == canonicalMode(b.Mode) && a.Template == b.Template && bytes.Equal(a.Content, b.Content)
}

// steps compares steps by their names; of the same ones in another order the first that moved is named. A new name for a step changes nothing.
func steps(what Part, was, wanted []Step) []Difference {
	run := func(s Step) string { return s.Run }
	if slices.EqualFunc(was, wanted, func(a, b Step) bool { return run(a) == run(b) }) {
		return nil
	}
	byName := func(all []Step) map[string]string {
		named := map[string]string{}
		for _, s := range all {
			named[s.Name] = run(s)
		}
		return named
	}
	if found := compare(what, byName(was), byName(wanted), func(a, b string) bool { return a == b }); len(found) > 0 {
		return found
	}
	for i, s := range wanted {
		if s.Name != was[i].Name {
			return []Difference{{what, s.Name, Moved}}
		}
	}
	return nil
}
