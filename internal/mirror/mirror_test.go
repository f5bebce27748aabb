package mirror

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	example "windlass/deploy-repo-example"
	"windlass/desired"
)

// repo is a deploy repo of one fleet that says most of what can be different here.
func repo(fleet string) fstest.MapFS {
	return fstest.MapFS{
		"fleets/shop.yaml": {Data: []byte(fleet)},
		"base/all.yaml": {Data: []byte("ssh: {user: deploy, sudo: true}\nrollout: {bake: 5m, canary: {bake: 10m}}\nwindows: {rules: [{deny: '2000-01-01/2999-12-31'}]}\n" +
			"source: {repository: 'https://git.example.com/shop/web', signed: true}\nafter: [{fleet: shop-staging}]\n")},
		"trust/releases/keyring.asc": {Data: []byte("a key")},
		"windows.yaml":               {Data: []byte("rules: [{deny: '2000-01-01/2999-12-31'}]\n")},
		"files/shop.conf":            {Data: []byte("listen 8080\ndatabase postgres://shop@db.example.com:5432/shop\n")},
	}
}

const shop = `apiVersion: windlass/v1
kind: Fleet
name: shop # of people
base: ../base/all.yaml
release: v7
nodes:
  static:
    - {name: old-1, address: shop.example.com, zone: a}
  ec2: {tags: {app: shop}}
  expect: 9
  exclude: [{name: gone-1, reason: sold}, {name: old-1, reason: odd}]
loadBalancers:
  - {targetGroup: 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shop/0123456789abcdef'}
  - {targetGroup: admin, port: 9000}
  - {classic: old}
notify: [{channel: deploys}]
configure:
  files: [{from: files/shop.conf, to: /etc/shop.conf, owner: 'shop:shop'}]
  activate: [{name: restart, run: 'sudo systemctl restart shop && frobnicate'}]
health:
  - {name: up, http: {port: 8080, path: /version, body: '{release}'}}
  - {name: near, http: {port: 8081, via: ssh}}
  - {name: port, tcp: {port: 443}}
  - {name: jobs, command: {run: 'curl https://api.example.com/jobs'}}
`

func load(t *testing.T, files fstest.MapFS) (desired.Tree, *desired.Fleet) {
	t.Helper()
	tree, err := desired.Load(files)
	if err != nil || len(tree.Rejected) > 0 {
		t.Fatal(err, tree.Rejected)
	}
	for _, f := range tree.Fleets {
		return tree, f
	}
	t.Fatal("there is no fleet")
	return tree, nil
}

func ground(f *desired.Fleet, nodes int) Ground {
	g := Ground{Nodes: Nodes(f, nodes), SSHPort: 2022, Ports: map[int]int{}}
	for i := range g.Nodes {
		g.Nodes[i].Address = "127.42.0.1" + string(rune('0'+i))
	}
	for _, port := range Ports(f) {
		g.Ports[port] = port + 20000
	}
	return g
}

// here is the fleet as the agent reads it on this machine.
func here(t *testing.T, tree desired.Tree, files fstest.MapFS, f *desired.Fleet, g Ground) (*desired.Fleet, map[string]string) {
	t.Helper()
	used, err := Used(files, tree, f)
	if err != nil {
		t.Fatal(err)
	}
	written, err := Files(used, f, g)
	if err != nil {
		t.Fatal(err)
	}
	played := fstest.MapFS{}
	for name, text := range written {
		played[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, fleet := load(t, played)
	return fleet, written
}

// Everything that leads to other machines leads to this one; what is rolled is the same to the byte.
func TestLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	files := repo(shop)
	tree, f := load(t, files)
	got, written := here(t, tree, files, f, ground(f, 3))
	if got.Digest(desired.DigestAlgorithm) != f.Digest(desired.DigestAlgorithm) || got.Release != "v7" {
		t.Error("what is rolled is another thing")
	}
	if want := []string{"as-in-the-repo/shop.yaml", "base/all.yaml", "files/shop.conf", "fleets/shop.yaml", "trust/releases/keyring.asc"}; !slices.Equal(slices.Sorted(maps.Keys(written)), want) {
		t.Errorf("it is made of %q", slices.Sorted(maps.Keys(written)))
	}
	if !strings.Contains(written["as-in-the-repo/shop.yaml"], "release: v7") || strings.Contains(written["as-in-the-repo/shop.yaml"], "name: shop") {
		t.Errorf("the base is\n%s", written["as-in-the-repo/shop.yaml"])
	}
	n := got.Nodes
	if len(n.Static) != 1 || n.Static[0].Address != "127.42.0.10" || n.Static[0].Name != "old-1" || n.Static[0].Target != "i-00000000000000001" || n.Expect != 3 {
		t.Errorf("the nodes are %+v", n)
	}
	if n.EC2.Tags["app"] != "shop" || len(n.Exclude) != 1 || n.Exclude[0].Name != "old-1" {
		t.Errorf("the instances are %+v, without %+v", n.EC2, n.Exclude)
	}
	if b := got.LoadBalancers; len(b) != 3 || b[0].TargetGroup != "shop" || b[0].Port != 28080 || b[1].Port != 29000 || b[2].Classic != "old" {
		t.Errorf("the balancers are %+v", b)
	}
	if h := got.Health; h[0].HTTP.Port != 28080 || h[1].HTTP.Port != 8081 || h[2].TCP.Port != 20443 || h[3].Command.Run != f.Health[3].Command.Run {
		t.Errorf("the checks are %+v", h)
	}
	if got.SSH.Port != 2022 || got.SSH.User != "deploy" || !got.SSH.Sudo {
		t.Errorf("ssh is %+v", got.SSH)
	}
	if got.Rollout.Bake != mostBake || got.Rollout.Canary.Bake != mostCanaryBake || got.Rollout.Attempts != 2 {
		t.Errorf("its pace is %+v", got.Rollout)
	}
	if len(got.After) > 0 {
		t.Errorf("it comes after %+v", got.After)
	}
	if got.RepoWindows != nil || !got.Windows.At(time.Now()).Open {
		t.Errorf("its windows are %+v, and the repo's %+v", got.Windows, got.RepoWindows)
	}
	if !got.Source.Overrides(got.Release) {
		t.Errorf("of its releases it demands %+v", got.Source)
	}
}

// A file that names addresses only since the nodes were made leads to no other machines either.
func TestSavedAddressesLeadNowhereElse(t *testing.T) {
	t.Parallel()
	const static, found = "  static:\n    - {name: old-1, address: shop.example.com, zone: a}\n", "  ec2: {tags: {app: shop}}\n"
	fleet := strings.Replace(shop, "  exclude: [{name: gone-1, reason: sold}, {name: old-1, reason: odd}]\n", "", 1)
	_, before := load(t, repo(strings.Replace(fleet, static, "", 1)))
	g := ground(before, 3)
	for _, saved := range []string{fleet, strings.Replace(fleet, found, "", 1)} {
		files := repo(saved)
		tree, f := load(t, files)
		got, _ := here(t, tree, files, f, g)
		if len(got.Nodes.Static) != 3 {
			t.Errorf("the nodes are %+v", got.Nodes.Static)
		}
		for _, n := range got.Nodes.Static {
			if !strings.HasPrefix(n.Address, "127.42.0.") || !strings.HasPrefix(n.Target, "i-") {
				t.Errorf("node %s is at %s", n.Name, n.Address)
			}
		}
	}
}

func TestRehearsalsHaveACheckAndAStepMoreAndOneAttempt(t *testing.T) {
	t.Parallel()
	files := repo(shop)
	tree, f := load(t, files)
	g := ground(f, 2)
	g.Check, g.Step = "test -e /ready", "true # the last"
	got, _ := here(t, tree, files, f, g)
	if last := got.Health[len(got.Health)-1]; last.Command == nil || last.Command.Run != g.Check || got.Rollout.Attempts != 1 {
		t.Errorf("the last check is %+v, attempts %d", last, got.Rollout.Attempts)
	}
	own := len(f.Configure.Activate)
	if steps := got.Configure.Activate; len(steps) != own+1 || steps[own].Run != g.Step || !slices.Equal(steps[:own], f.Configure.Activate) {
		t.Errorf("the steps are %+v", steps)
	}
}

// What is different is told, each thing of it.
func TestNotesTellWhatIsDifferent(t *testing.T) {
	t.Parallel()
	_, f := load(t, repo(shop))
	notes := Notes(f, ground(f, 2), Machine{
		Has:      func(command string) bool { return command == "curl" },
		StandIns: map[string]string{"sudo": "you are root", "systemctl": "no systemd"},
	})
	want := []Note{
		"nodes: 2 instead of 9",
		"nodes: cages of this machine instead of the instances with those tags",
		"nodes: cages of this machine instead of the addresses in the file, which nothing here connects to",
		"ssh: whoever logs in is root of the cage, not deploy",
		"notify: nobody hears of rollouts here",
		"target group arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shop/0123456789abcdef: one of this machine; it sends to port 8080, as the first check asks",
		"target group admin: one of this machine",
		"classic load balancer old: one of this machine; it sends to port 8080, as the first check asks",
		"drains: at most 1 s, the deregistration delay of the balancers here, and none settles",
		"rollout: bakes for 500ms instead of 5m0s",
		"rollout: the canary bakes for 1s instead of 10m0s",
		"windows: none, nodes are changed at any time",
		"source: nothing is asked of the release",
		"after: nothing, no other fleet is here to prove a release first",
		"sudo stands in: you are root (step restart, ssh.sudo)",
		"systemctl stands in: no systemd (step restart)",
		"frobnicate is not installed here (step restart)",
		"api.example.com cannot be reached: a cage has no network (check jobs)",
		"db.example.com cannot be reached: a cage has no network (file /etc/shop.conf)",
		"files: all belong to root, since only root can make cages with other users",
	}
	if !slices.Equal(notes, want) {
		t.Errorf("it tells\n%s", join(notes))
	}
	f.Nodes = desired.NodeSet{Static: make([]desired.StaticNode, 5)}
	if notes := Notes(f, ground(f, 4), Machine{Has: func(string) bool { return true }}); notes[0] != "nodes: 4 instead of 5" {
		t.Errorf("of five that are named it tells %s", notes[0])
	}
}

func join(notes []Note) string {
	var b strings.Builder
	for _, n := range notes {
		b.WriteString(string(n) + "\n")
	}
	return b.String()
}

func TestTheExampleNeedsNothingThatIsNotTold(t *testing.T) {
	t.Parallel()
	tree, err := desired.Load(example.Files)
	if err != nil {
		t.Fatal(err)
	}
	f := tree.Fleets["web-live"]
	if Size(f) != MostNodes {
		t.Errorf("it has %d nodes", Size(f))
	}
	for _, note := range Notes(f, ground(f, 4), Machine{Has: func(string) bool { return true }, Users: true}) {
		if strings.Contains(string(note), "cannot be told") {
			t.Error(note)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	static := func(n int) []desired.StaticNode { return make([]desired.StaticNode, n) }
	for _, c := range []struct {
		set  desired.NodeSet
		want int
	}{
		{desired.NodeSet{Expect: 3}, 3},
		{desired.NodeSet{Expect: 30}, 4},
		{desired.NodeSet{Static: static(1)}, 1},
		{desired.NodeSet{}, 2},
		{desired.NodeSet{Static: static(3)}, 3},
		{desired.NodeSet{Static: static(5), Expect: 1}, 1},
	} {
		if got := Size(&desired.Fleet{Nodes: c.set}); got != c.want {
			t.Errorf("%+v has %d nodes here, want %d", c.set, got, c.want)
		}
	}
}

func TestCommandsThatAScriptCalls(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`set -eu; cd /opt; if [ -d x ]; then exit 0; fi`:                     "",
		`apt-get install -y "web=$WINDLASS_RELEASE"`:                         "apt-get",
		`A=1 make all | tee log && (cd x; tar xf y)`:                         "make tar tee",
		`for i in $(seq 3); do sleep "$i"; done`:                             "seq sleep",
		`fetch() { wget "$1"; }; fetch http://x`:                             "wget",
		`sudo -n env A=1 service web restart`:                                "env service sudo",
		`exec nohup ./run &`:                                                 "./run nohup",
		"cat <<'END'\nrm everything\nEND":                                    "cat",
		`"$HOME/bin/x" || $SHELL -c 'rm y'`:                                  "",
		`case $x in a) grep -q b c ;; *) ;; esac # rm`:                       "grep",
		`trap 'rm -rf "$work"' EXIT; ls -t | while read -r r; do echo; done`: "ls",
	} {
		got, err := Commands(script)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s\ncalls %q, %v; want %q", script, got, err, want)
		}
	}
	if _, err := Commands("if true; then"); err == nil {
		t.Error("half a script is taken for a whole one")
	}
}

func TestHostsInAScript(t *testing.T) {
	t.Parallel()
	const script = `curl http://localhost:80/x https://Releases.example.com/$x; git clone ssh://git@git.example.com:22/x; curl http://127.0.0.1 "http://[2001:db8::1]:80/"`
	if got := strings.Join(Hosts(script), " "); got != "[2001:db8::1] git.example.com releases.example.com" {
		t.Errorf("it names %s", got)
	}
}
