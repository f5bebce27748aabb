package desired

import (
	"testing"
	"testing/fstest"
	"time"
)

// What two commits say alike is the same, whenever they were read: a time zone remembers what time it is there. What they say otherwise is not.
func TestFilesThatSayTheSame(t *testing.T) {
	read := func(windows string) *Fleet {
		text := "apiVersion: windlass/v1\nkind: Fleet\nname: web\nrelease: v1\nnodes: {ec2: {tags: {app: web}}, expect: 4}\n" +
			"configure: {activate: [{name: install, run: install}]}\nhealth: [{name: serves, http: {port: 80, body: '{release}'}}]\n" + windows
		tree, err := Load(fstest.MapFS{"fleets/web.yaml": {Data: []byte(text)}, WindowsFile: {Data: []byte("rules: [{deny: '2026-12-24'}]\n")}})
		if err != nil || tree.Fleets["web"] == nil {
			t.Fatal(err, tree.Rejected)
		}
		return tree.Fleets["web"]
	}
	const berlin = "windows: {timezone: Europe/Berlin, rules: [{deny: '2026-12-24'}]}\n"
	first, later := read(berlin), read(berlin)
	summer := *later.Windows.zone
	later.Windows.zone, later.RepoWindows.zone = &summer, time.FixedZone("as it was read", 3600)
	for name, c := range map[string]struct {
		a, b *Fleet
		same bool
	}{
		"read later":   {first, later, true},
		"another zone": {first, read("windows: {timezone: Europe/Paris, rules: [{deny: '2026-12-24'}]}\n"), false},
		"another rule": {first, read("windows: {timezone: Europe/Berlin, rules: [{deny: '2026-12-25'}]}\n"), false},
		"no windows":   {first, read(""), false},
		"none, twice":  {read(""), read(""), true},
		"none to one":  {nil, first, false},
		"none to none": {nil, nil, true},
	} {
		if c.a.Same(c.b) != c.same || c.b.Same(c.a) != c.same {
			t.Errorf("%s: the same is %t", name, !c.same)
		}
	}
	if first.Windows.zone == nil {
		t.Error("what is compared is changed")
	}
}
