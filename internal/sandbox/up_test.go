package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"windlass/desired"
	"windlass/internal/live"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// small is a fleet whose service is the one that stands in, of one node that may be away.
const small = `apiVersion: windlass/v1
kind: Fleet
name: small
release: v1
nodes: {static: [{name: one, address: one.example.com}]}
loadBalancers: [{targetGroup: small}]
configure:
  files: [{from: files/small.service, to: /etc/systemd/system/small.service, owner: 'root:root'}]
  activate: [{name: restart, run: systemctl restart small}]
health: [{name: up, http: {port: 80, body: '{release}'}}]
rollout: {allowOutage: true}
`

// smallRepo is a deploy repo with a fleet in it, and another directory.
func smallRepo(t *testing.T, fleet string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"fleets/small.yaml": fleet, "files/small.service": "[Service]\nExecStart=/opt/small/bin/small --listen :80\nUser=small\n",
	} {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

func uncommitted() (fs.FS, error) { return nil, fs.ErrNotExist }

func linuxOnly(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("left out: cages are made of Linux")
	}
}

func TestOutcomesAreJudgedByTheRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		count Count
		held  bool
		says  string
	}{
		{Count{Requests: 9}, true, "service held, 9 requests, none failed; it waits"},
		{Count{Requests: 9, Failed: 2, Failures: []string{"503", "502"}}, false, "service did not hold, 2 of 9 requests failed (503); it waits"},
		{Count{}, false, "service did not hold, 0 of 0 requests failed (); it waits"},
	} {
		e := outcome{count: c.count, did: "it waits"}
		if e.held() != c.held || e.String() != c.says {
			t.Errorf("%+v: held %v, %s", c.count, e.held(), e)
		}
	}
}

// What is uncommitted is told from what is not by what a node is given.
func TestRehearsesFromWhatIsCommitted(t *testing.T) {
	t.Parallel()
	dir := smallRepo(t, strings.Replace(small, "release: v1", "release: v2", 1))
	was := fstest.MapFS{"fleets/small.yaml": {Data: []byte(small)}, "files/small.service": {Data: must(os.ReadFile(filepath.Join(dir, "files/small.service")))(t)}}
	var out bytes.Buffer
	o := UpOptions{Dir: dir, Committed: func() (fs.FS, error) { return was, nil }}
	s := must(o.load())(t)
	tell := newTeller(live.Options{Out: &out})
	defer tell.close()
	before, after, err := o.committed(tell, s)
	check(t, err)
	if before.Fleet.Release != "v1" || after.Fleet.Release != "v2" || out.String() != "rehearsed: from v1 as it is committed to v2 as it is saved\n" {
		t.Errorf("from %s to %s: %s", before.Fleet.Release, after.Fleet.Release, &out)
	}
	was["fleets/small.yaml"].Data = []byte("name: [")
	if _, _, err := o.committed(tell, s); err == nil || !strings.Contains(err.Error(), "cannot rehearse a rollout from what is committed: ") {
		t.Error(err)
	}
	for fleet, want := range map[string]string{
		small + "paused: {reason: sale}\n":                                       "what is committed is paused",
		strings.Replace(small, "loadBalancers: [{targetGroup: small}]\n", "", 1): "what is committed has no load balancer",
	} {
		was["fleets/small.yaml"].Data = []byte(fleet)
		if _, _, err := o.committed(tell, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	o.Committed = func() (fs.FS, error) { return nil, errors.New("the disk is gone") }
	if _, _, err := o.committed(tell, s); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Error(err)
	}
}

// A signature tells saves from looks.
func TestSavesAreSeen(t *testing.T) {
	t.Parallel()
	dir := smallRepo(t, small)
	check(t, os.MkdirAll(filepath.Join(dir, ".git"), 0o755))
	before := signature(dir)
	check(t, os.WriteFile(filepath.Join(dir, ".git/index"), []byte("git's own"), 0o644))
	if _, err := os.ReadFile(filepath.Join(dir, "fleets/small.yaml")); err != nil || signature(dir) != before {
		t.Error("a look, or git's own files, are taken for a save")
	}
	check(t, os.WriteFile(filepath.Join(dir, "fleets/small.yaml"), []byte(small+"# more\n"), 0o644))
	if signature(dir) == before {
		t.Error("a save is not seen")
	}
}

// Nothing that is saved while the fleet starts is missed, also where the repo is reached by a link; what is no file is left alone.
func TestSavesSinceTheFilesWereReadAreTold(t *testing.T) {
	t.Parallel()
	dir := smallRepo(t, small)
	link := filepath.Join(t.TempDir(), "deploy")
	check(t, os.Symlink(dir, link))
	check(t, os.Symlink("/", filepath.Join(dir, "all")))
	check(t, syscall.Mkfifo(filepath.Join(dir, "fleets/fifo.yaml"), 0o644))
	seen := signature(link)
	check(t, os.WriteFile(filepath.Join(dir, "fleets/small.yaml"), []byte(small+"# more\n"), 0o644))
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	<-watchSaves(ctx, &work, link, seen)
}

// What a save brings that cannot be had here is told, and what has no place here rolls nothing and ends nothing.
func TestSavesTellWhatIsNewlyDifferent(t *testing.T) {
	t.Parallel()
	linuxOnly(t)
	o := UpOptions{Dir: smallRepo(t, small)}
	m := must(StartMirror(t.Context(), o.MirrorOptions, must(o.load())(t)))(t)
	t.Cleanup(func() { check(t, m.Close()) })
	var out bytes.Buffer
	save := func(change string) string {
		out.Reset()
		check(t, os.WriteFile(filepath.Join(o.Dir, "fleets/small.yaml"), []byte(strings.Replace(small, "systemctl restart small", change, 1)), 0o644))
		tell := newTeller(live.Options{Out: &out})
		o.save(t.Context(), m, tell)
		check(t, tell.close())
		return out.String()
	}
	said := save("systemctl restart small && no-such-program")
	if !strings.Contains(said, "different from the file: no-such-program is not installed here") || !strings.Contains(said, "saved: fleets/small.yaml wants v1") || strings.Count(said, "different") != 1 {
		t.Errorf("it says %q", said)
	}
	if said := save("systemctl restart small && no-such-program"); said != "" {
		t.Errorf("of nothing new it says %q", said)
	}
	check(t, m.Nodes[0].Kill())
	m.network = &network{prefix: "192.0.2.", given: map[int]bool{}} // has no port
	check(t, os.WriteFile(filepath.Join(o.Dir, "fleets/small.yaml"), []byte(strings.Replace(small, "port: 80", "port: 81", 1)), 0o644))
	tell := newTeller(live.Options{Out: &out})
	o.save(t.Context(), m, tell)
	check(t, tell.close())
	if !strings.Contains(out.String(), "nothing is rolled: ") {
		t.Errorf("it says %q", &out)
	}
}

// What stands in for a service answers what the checks of the fleet want to see.
func TestPagesAreThoseOfTheChecks(t *testing.T) {
	t.Parallel()
	s := must(UpOptions{Dir: smallRepo(t, strings.Replace(small, "health: [", "health: [{name: moved, http: {port: 80, path: '/old?x=1', status: 301}}, {name: tcp, tcp: {port: 81}}, ", 1))}.load())(t)
	pages := pagesOf(s.Fleet, nil)
	if _, listens := pages[81]; !listens || len(pages[80]) != 2 {
		t.Fatalf("the pages are %v", pages)
	}
	server := httptest.NewServer(pageHandler(pages[80], "v9", "one"))
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for path, want := range map[string]string{"/": "200 v9 v9 on one\n", "/old?x=1": "301 v9 on one\n", "/else": "200 v9 on one\n"} {
		response := must(client.Get(server.URL + path))(t)
		var body bytes.Buffer
		_, err := body.ReadFrom(response.Body)
		check(t, errors.Join(err, response.Body.Close()))
		if got := response.Status[:3] + " " + body.String(); got != want {
			t.Errorf("%s answers %q, want %q", path, got, want)
		}
	}
}

// get is what the service on port 80 of a node answers, as soon as it does.
func (n *CagedNode) get(t *testing.T, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := n.cage.Dial(ctx, 80)
	for ; err != nil; conn, err = n.cage.Dial(ctx, 80) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	must(io.WriteString(conn, "GET "+path+" HTTP/1.0\r\n\r\n"))(t)
	response := must(http.ReadResponse(bufio.NewReader(conn), nil))(t)
	return response.Status[:3] + " " + string(must(io.ReadAll(response.Body))(t))
}

// What stands in for a service leaves a port to whoever has it, is another one when it is reloaded, and answers what the checks that were
// saved last want to see.
func TestServicesThatStandIn(t *testing.T) {
	t.Parallel()
	linuxOnly(t)
	fleet := strings.Replace(small, "}}]", "}}, {name: ssh, tcp: {port: 22}}]", 1)
	o := UpOptions{Dir: smallRepo(t, fleet)}
	m := must(StartMirror(t.Context(), o.MirrorOptions, must(o.load())(t)))(t)
	t.Cleanup(func() { check(t, m.Close()) })
	n := m.Nodes[0]
	systemctl := func(release, words string) {
		t.Helper()
		check(t, n.run(t.Context(), m, "WINDLASS_RELEASE="+release+" WINDLASS_NODE=one systemctl "+words, ""))
	}
	check(t, n.run(t.Context(), m, "cat >/etc/systemd/system/small.service", "[Service]\nExecStart=/opt/small/bin/small\n"))
	systemctl("v1", "start small")
	if got := n.get(t, "/"); got != "200 v1 v1 on one\n" {
		t.Errorf("started, it answers %q", got)
	}
	systemctl("v2", "reload small")
	if got := n.get(t, "/"); got != "200 v2 v2 on one\n" {
		t.Errorf("reloaded, it answers %q", got)
	}
	check(t, os.WriteFile(filepath.Join(o.Dir, "fleets/small.yaml"), []byte(strings.Replace(fleet, "port: 80,", "port: 80, path: /ready, status: 203,", 1)), 0o644))
	must(m.Save(t.Context(), must(o.load())(t), "saved"))(t)
	if got := n.get(t, "/ready"); got != "203 v2 v2 on one\n" {
		t.Errorf("with another check, it answers %q", got)
	}
}

// The scripts that stand in say what they cannot do, and pass on what they can.
func TestStandInsOfACage(t *testing.T) {
	t.Parallel()
	dir, real, me := t.TempDir(), t.TempDir(), must(os.Hostname())(t)
	for name, script := range must(programs(false))(t) {
		check(t, os.WriteFile(filepath.Join(dir, name), script, 0o755))
	}
	for _, name := range []string{"curl", "wget"} {
		check(t, os.WriteFile(filepath.Join(real, name), []byte("#!/bin/sh\necho real "+name+" \"$@\"\n"), 0o755))
	}
	for script, want := range map[string]string{
		"sudo -n -u web A=1 sh -c 'echo $A'":                     "1\n",
		"sudo -- echo -n":                                        "",
		"curl -fsS https://releases.example.com/list":            "a dummy of windlass up: the cage has no network\n",
		"curl -fsSo got https://releases.example.com/x; cat got": "a dummy of windlass up: the cage has no network\n",
		"wget -qO- https://releases.example.com/list":            "a dummy of windlass up: the cage has no network\n",
		"wget -q https://releases.example.com/list; cat list":    "a dummy of windlass up: the cage has no network\n",
		"wget -qO- http://me:x@localhost:8080/healthz":           "real wget -qO- http://me:x@localhost:8080/healthz\n",
		"wget --version":                    "real wget --version\n",
		"curl -fsS 'http://[::1]:80/'":      "real curl -fsS http://[::1]:80/\n",
		"curl -f http://" + me + ":80/":     "real curl -f http://" + me + ":80/\n",
		"curl -sX POST localhost:8080/load": "real curl -sX POST localhost:8080/load\n",
	} {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + dir + ":" + real + ":" + searchPath()}
		if said, err := cmd.CombinedOutput(); err != nil || string(said) != want {
			t.Errorf("%s says %q, %v; want %q", script, said, err, want)
		}
	}
}

// A balancer of each kind may have the same name. Nodes have nothing of each other, a relay ends with all that it carries, and nobody else
// says what runs on them.
func TestNodesGoDownWhole(t *testing.T) {
	t.Parallel()
	linuxOnly(t)
	both := strings.Replace(small, "[{targetGroup: small}]", "[{targetGroup: small}, {classic: small}]", 1)
	o := UpOptions{Dir: smallRepo(t, both), MirrorOptions: MirrorOptions{Nodes: 2}}
	m := must(StartMirror(t.Context(), o.MirrorOptions, must(o.load())(t)))(t)
	t.Cleanup(func() { check(t, m.Close()) })
	if names := slices.Sorted(maps.Keys(m.URLs)); !slices.Equal(names, []string{"small", "small (classic)"}) {
		t.Errorf("the balancers are %q", names)
	}
	n := m.Nodes[0]
	check(t, n.run(t.Context(), m, "test $(id -u) = 0 && touch /etc/mine", ""))
	if err := m.Nodes[1].run(t.Context(), m, "test ! -e /etc/mine", ""); err != nil {
		t.Errorf("nodes share their files: %v", err)
	}
	response := must(http.Post(m.Repo.URL+"/git-receive-pack", "application/x-git-receive-pack-request", strings.NewReader("0000")))(t)
	check(t, response.Body.Close())
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("whoever is on this machine may push: %s", response.Status)
	}
	check(t, n.Kill())
	check(t, n.Kill())
	if n.relays != nil {
		t.Error("its ports are open")
	}
}

func TestUpIsEndedByPeople(t *testing.T) {
	t.Parallel()
	linuxOnly(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := Up(ctx, UpOptions{Dir: smallRepo(t, small), Committed: uncommitted}, live.Options{Out: &out}); err != nil {
		t.Error(err)
	}
	if err := Up(ctx, UpOptions{Dir: smallRepo(t, small), Committed: uncommitted, Rehearse: true}, live.Options{Out: &out}); err == nil || err.Error() != "the rehearsal was interrupted" {
		t.Error(err)
	}
	if strings.Contains(out.String(), "status page") {
		t.Errorf("it began:\n%s", &out)
	}
}

// Nothing is at rest that is on its way, or that has not begun; what has to end has ended.
func TestRests(t *testing.T) {
	t.Parallel()
	at := func(phase plan.Phase, outdated bool, states ...plan.State) web.Fleet {
		f := web.Fleet{Phase: phase, Desired: web.Desired{Revision: "b"}}
		for _, s := range states {
			f.Nodes = append(f.Nodes, web.Node{Name: "one", State: s, Outdated: outdated})
		}
		return f
	}
	for _, c := range []struct {
		fleet    web.Fleet
		revision string
		ends     bool
		want     bool
	}{
		{at(plan.PhaseProgressing, true, plan.InService, plan.Draining), "b", false, false},
		{at(plan.PhaseIdle, false, plan.InService), "a", false, false},
		{at(plan.PhaseIdle, false, plan.InService), "b", true, true},
		{at(plan.PhaseIdle, true, plan.InService), "b", false, false},
		{at(plan.PhaseIdle, true, plan.Outdated), "b", true, false},
		{at(plan.PhaseHalted, true, plan.InService, plan.Unreachable, plan.Failed), "b", true, true},
		{at(plan.PhaseWaiting, true, plan.InService, plan.Unreachable), "b", false, true},
		{at(plan.PhaseWaiting, true, plan.InService, plan.Unreachable), "b", true, false},
	} {
		if got := rests(c.fleet, c.revision, c.ends); got != c.want {
			t.Errorf("%+v: rests %v (with an end %v)", c.fleet, got, c.ends)
		}
	}
}

// A node that the file says to leave alone is not waited for.
func TestServesWithoutThoseThatAreLeftAlone(t *testing.T) {
	t.Parallel()
	f := web.Fleet{Phase: plan.PhaseIdle, InService: 1, Size: 1, Desired: web.Desired{Revision: "b"}, Excluded: []web.Exclusion{{Name: "two"}}}
	f.Nodes = []web.Node{{Name: "one", State: plan.InService}}
	if !serves(f, "b") || serves(f, "a") || serves(web.Fleet{Phase: plan.PhaseIdle, Desired: f.Desired}, "b") {
		t.Errorf("%+v: serves %v", f, serves(f, "b"))
	}
	if got := stands(f); got != "the fleet is idle, 1 of 1 have it, 1 in service: " {
		t.Errorf("it says %q", got)
	}
}

// Traffic goes through every balancer that is known to answer, and through all where none is.
func TestEveryBalancerIsJudged(t *testing.T) {
	t.Parallel()
	m := &Mirror{URLs: map[string]string{"a": "http://a/", "b": "http://b/", "mail": "http://mail/"}, unknown: map[string]bool{"mail": true}}
	if got := slices.Sorted(slices.Values(m.judged())); !slices.Equal(got, []string{"http://a/", "http://b/"}) {
		t.Errorf("traffic goes to %q", got)
	}
	m.unknown = map[string]bool{"a": true, "b": true, "mail": true}
	if got := m.judged(); len(got) != 3 {
		t.Errorf("where no answer is known, traffic goes to %q", got)
	}
	var e outcome
	e.add(Count{Requests: 5})
	e.add(Count{Requests: 5, Failed: 1, Failures: []string{"503"}})
	if e.held() || e.count.Requests != 10 {
		t.Errorf("an outage of the second balancer counts as %+v", e.count)
	}
}

func TestRehearsesNothingThatCannotRoll(t *testing.T) {
	t.Parallel()
	for add, want := range map[string]string{"paused: {reason: sale}\n": "it is paused", "loadBalancers: []\n": "it has no load balancer"} {
		o := UpOptions{Dir: smallRepo(t, strings.Replace(small, "loadBalancers: [{targetGroup: small}]\n", "", 1)+add), Committed: uncommitted, Rehearse: true}
		if strings.HasPrefix(add, "paused") {
			o.Dir = smallRepo(t, small+add)
		}
		if err := Up(t.Context(), o, live.Options{Out: io.Discard}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", add, err)
		}
	}
}

// What is inside reaches public addresses by names that are resolved outside, and no node of the deploy repo.
func TestOutletReachesNoNode(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"releases.example.com": "203.0.114.7", "web-1.example.com": "198.51.101.1", "alias.example.com": "198.51.101.1", "home.example.com": "192.168.1.1",
		"metadata.example.com": "169.254.169.254", "me.example.com": "127.0.0.1", "mapped.example.com": "::ffff:10.0.0.1", "shared.example.com": "100.64.0.1",
	}
	var dialled []string
	o := &outlet{
		resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if a, err := netip.ParseAddr(host); err == nil {
				return []netip.Addr{a}, nil
			}
			if names[host] == "" {
				return nil, &net.DNSError{Name: host, IsNotFound: true}
			}
			return []netip.Addr{netip.MustParseAddr(names[host])}, nil
		},
		dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, errors.New("dialled")
		},
		local: func() ([]net.Addr, error) {
			return []net.Addr{&net.IPNet{IP: net.ParseIP("2606:4700::7"), Mask: net.CIDRMask(64, 128)}, &net.IPNet{IP: net.IPv4(198, 51, 102, 9), Mask: net.CIDRMask(24, 32)}}, nil
		},
	}
	o.avoid(desired.Tree{Fleets: map[string]*desired.Fleet{"web": {Nodes: desired.NodeSet{Static: []desired.StaticNode{
		{Address: "Web-1.example.com"}, {Address: "198.51.101.2"}, {Address: "not-there.example.com", Target: "198.51.101.3"},
	}}}}})
	for address, says := range map[string]string{
		"Releases.example.com.:443": "dialled", "web-1.example.com:22": "is a node that the deploy repo names", "alias.example.com:443": `as node "web-1.example.com" is`,
		"198.51.101.3:80": "is a node that the deploy repo names",
		"198.51.101.2:80": "is a node that the deploy repo names", "home.example.com:80": "public addresses only", "metadata.example.com:80": "public addresses only",
		"me.example.com:80": "public addresses only", "mapped.example.com:80": "public addresses only", "shared.example.com:80": "public addresses only",
		"nowhere.example.com:80": "cannot resolve", "[64:ff9b::a00:1]:80": "public addresses only",
		"[fec0::1]:80": "public addresses only", "[::ffff:0:a00:1]:80": "public addresses only",
		"[2606:4700::7]:5432": "a network that this machine is on", "[2606:4700::8]:80": "a network that this machine is on", "198.51.102.1:80": "a network that this machine is on",
	} {
		if _, err := o.reach(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", address, err, says)
		}
	}
	if len(dialled) != 1 || dialled[0] != "203.0.114.7:443" {
		t.Errorf("it dialled %q", dialled)
	}
}

// A program in a cage gets what it asks the proxy for, and an answer where it may not.
func TestCagesWithANetworkHaveAProxy(t *testing.T) {
	t.Parallel()
	linuxOnly(t)
	curl := installedTool(t, "curl")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "release of "+r.Host) }))
	defer server.Close()
	o := UpOptions{Dir: smallRepo(t, small), MirrorOptions: MirrorOptions{Network: true}}
	m := must(StartMirror(t.Context(), o.MirrorOptions, must(o.load())(t)))(t)
	t.Cleanup(func() { check(t, m.Close()) })
	m.outlet.resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "one.example.com" {
			return []netip.Addr{netip.MustParseAddr("203.0.114.8")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("203.0.114.7")}, nil
	}
	m.outlet.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server.Listener.Addr().String())
	}
	for script, says := range map[string]string{
		"curl -s http://releases.example.com/x":               "release of releases.example.com",
		"curl -sp http://releases.example.com/x":              "release of releases.example.com", // by CONNECT, as for https
		"curl -s http://one.example.com/x":                    `windlass up: "one.example.com" is a node that the deploy repo names`,
		"curl -s --noproxy '*' http://203.0.114.7/ ; echo $?": "7",
	} {
		if err := m.Nodes[0].run(t.Context(), m, "said=$("+script+"); [ \"$said\" = \"$(cat)\" ]", says); err != nil {
			t.Errorf("%s does not say %s (with %s): %v", script, says, curl, err)
		}
	}
}

// What strikes while steps run has them wait for it: they may be over before anybody sees them.
func TestNodesStayInMidStepForWhatStrikesThere(t *testing.T) {
	t.Parallel()
	in := func(s plan.State) web.Fleet { return web.Fleet{Nodes: []web.Node{{Name: "web-1", State: s}}} }
	for _, m := range misfortunes() {
		midStep := m.moment != nil && m.moment(in(plan.Configuring)) && !m.moment(in(plan.Draining))
		if m.holds != midStep {
			t.Errorf("%s: holds %t, strikes in mid-step %t", m.name, m.holds, midStep)
		}
	}
}
