package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/actuators"
	"windlass/internal/sandbox/aws"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// quickly has idle nodes read again soon.
var quickly = []string{"--refresh", "1s"}

// A trouble is bad luck that befalls a fleet, is told in words, and ends.
type trouble struct {
	befall func(w *world) (end func()) // before the deploy
	says   string                      // in the agent's status, while it lasts
	shows  string                      // in the metrics, while it lasts: the state of a node
	args   []string                    // of the agent
}

// Whatever befalls a fleet is told, harms nothing that serves, and ends by itself when its cause does.
func TestTroubleIsToldAndEnds(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]trouble{
		"a wrong host key":     {befall: wrongHostKey, says: "host key", shows: "unreachable"},
		"a refused key":        {befall: refusedKey, says: "refused", shows: "unreachable"},
		"an sshd that hangs":   {befall: hangingSSH, says: "web-1", shows: "unreachable", args: quickly},
		"a newer record":       {befall: newerRecord, says: "newer", shows: "unreachable", args: quickly},
		"no such target group": {befall: noSuchGroup, says: "wbe"},
		"no nodes found":       {befall: strayed, says: "no nodes found"},
		"fewer than expected":  {befall: fewer, says: "2 nodes found, 3 expected", shows: "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, trouble.args...)
			w.begin()
			end := trouble.befall(w)
			revision := w.deploy("v2")
			w.sees(fmt.Sprintf("%q", trouble.says), func(f web.Fleet) bool { return f.Desired.Revision == revision && says(f, trouble.says) })
			w.status(2, trouble.says)
			if trouble.shows != "" {
				w.measures(fmt.Sprintf(`windlass_fleet_nodes{fleet="web",state=%q} 1`, trouble.shows))
			}
			end()
			w.arrives(w.Repo.Head(), "v2")
			w.kept(1)
		})
	}
}

// While the API refuses one thing after another, each is told and counted, and nothing leaves; when all is well again, the
// deploy goes on.
func TestTroubleWithTheAPI(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	var revision string
	for _, trouble := range []struct {
		fault aws.Faults
		says  string
		code  string // that the metrics count
	}{
		{aws.Faults{Denied: []string{"elbv2:Describe*"}}, "AWS denies elasticloadbalancing:DescribeTargetHealth", "AccessDenied"},
		{aws.Faults{Denied: []string{"ec2:*"}}, "AWS denies ec2:DescribeInstances", "UnauthorizedOperation"},
		{aws.Faults{Throttle: map[string]aws.Rate{"elbv2:DescribeTargetHealth": {}}}, "throttl", "Throttling"},
		{aws.Faults{Before: func(string, url.Values) error { return errCut }}, "EOF", ""},
	} {
		w.Cloud.Adjust(func(f *aws.Faults) { *f = trouble.fault })
		if revision == "" {
			revision = w.deploy("v2")
		}
		w.sees(fmt.Sprintf("%q", trouble.says), func(f web.Fleet) bool {
			return f.Desired.Revision == revision && says(f, trouble.says)
		})
		w.status(2, trouble.says)
		w.counts("windlass_aws_requests_total", trouble.code)
	}
	w.kept(2)
	w.Cloud.Adjust(func(f *aws.Faults) { *f = aws.Faults{} })
	w.arrives(revision, "v2")
	w.kept(1)
}

// counts checks that the metrics have a series of that name with a label of that value.
func (w *world) counts(name, value string) {
	w.Helper()
	for line := range strings.Lines(w.metrics()) {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, value) && !strings.HasSuffix(line, " 0\n") {
			return
		}
	}
	w.Errorf("no %s counts %q", name, value)
}

// wrongHostKey has the agent know another key of the first node than it has.
func wrongHostKey(w *world) func() {
	defer w.reconnect("web-1")
	return w.swap(filepath.Join(w.Dir, "known_hosts"), func(all string) string {
		lines := strings.SplitN(all, "\n", 3)
		first, second := strings.Fields(lines[0]), strings.Fields(lines[1])
		return fmt.Sprintf("%s %s %s\n%s\n%s", first[0], first[1], second[2], lines[1], lines[2])
	})
}

func refusedKey(w *world) func() {
	end := w.swap(filepath.Join(w.node("web-1").Home, "sshd", "authorized"), func(string) string { return "" })
	w.reconnect("web-1")
	return end
}

func hangingSSH(w *world) func() { return w.sshd.freeze(w.node("web-1")) }

func newerRecord(w *world) func() {
	w.awaitRecord("web-1")
	return w.swap(w.recordFile(w.node("web-1")), func(old string) string {
		return strings.Replace(old, fmt.Sprintf(`"schema": %d`, actuators.RecordSchema), `"schema": 99`, 1)
	})
}

// strayed looks for nodes with a tag that none has.
func strayed(w *world) func() {
	w.edit(fleetFile, func(old string) string { return strings.Replace(old, "{app: web,", "{app: wbe,", 1) })
	return func() {
		w.edit(fleetFile, func(old string) string { return strings.Replace(old, "{app: wbe,", "{app: web,", 1) })
	}
}

// noSuchGroup names a target group that is not there.
func noSuchGroup(w *world) func() {
	w.edit(fleetFile, func(old string) string { return strings.Replace(old, "targetGroup: web", "targetGroup: wbe", 1) })
	return func() {
		w.edit(fleetFile, func(old string) string { return strings.Replace(old, "targetGroup: wbe", "targetGroup: web", 1) })
	}
}

// fewer expects a node that comes late.
func fewer(w *world) func() {
	w.edit(fleetFile, func(old string) string { return strings.Replace(old, "nodes:\n", "nodes:\n  expect: 3\n", 1) })
	return func() { must(w.AddNode(w.Context()))(w.T) }
}

// swap changes a file until it is undone.
func (w *world) swap(file string, change func(string) string) func() {
	w.Helper()
	old := must(os.ReadFile(file))(w.T)
	changed := change(string(old))
	if changed == string(old) {
		w.Fatalf("%s was not changed: %s", file, old)
	}
	check(w.T, os.WriteFile(file, []byte(changed), 0o600))
	return func() { check(w.T, os.WriteFile(file, old, 0o600)) }
}

// reconnect drops a node's connections.
func (w *world) reconnect(name string) { w.sshd.freeze(w.node(name))() }

// A corrupt record is set aside and taken for none: the node, which serves what is wanted, is adopted again.
func TestCorruptRecordIsSetAside(t *testing.T) {
	w := newWorld(t, 2, quickly...)
	w.begin()
	n := w.node("web-1")
	w.awaitRecord(n.Name)
	w.swap(w.recordFile(n), func(string) string { return "{\"schema\": 1, \x00" })
	w.eventually("the record to be set aside", func() bool {
		aside, _ := filepath.Glob(w.recordFile(n) + ".corrupt-*")
		return len(aside) == 1
	})
	w.awaitRecord(n.Name)
	w.arrives(w.Repo.Head(), "v1")
	if !strings.Contains(strings.Join(w.Agent.Log(100), "\n"), "node record set aside") {
		t.Error("the agent does not tell")
	}
	w.arrives(w.deploy("v2"), "v2")
	w.kept(1)
}

// While the API refuses to let a node go, nothing is lost and nothing else leaves; when it no longer does, the deploy goes on.
func TestRefusedDeregistration(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	w.Cloud.Adjust(func(f *aws.Faults) { f.Denied = []string{"elbv2:DeregisterTargets"} })
	revision := w.deploy("v2")
	w.eventually("two refusals", func() bool { return w.Cloud.Calls()["elbv2:DeregisterTargets"] >= 2 })
	w.kept(2)
	w.counts("windlass_aws_requests_total", "AccessDenied")
	w.Cloud.Adjust(func(f *aws.Faults) { f.Denied = nil })
	w.arrives(revision, "v2")
	w.kept(1)
}

// A step that hangs is ended on its node when its time is up; that uses the attempt, and the release halts with one node out.
func TestHangingStepHalts(t *testing.T) {
	w := newWorld(t, 2)
	w.edit(baseFile, func(old string) string {
		return strings.Replace(old, "- {name: hold-activate,", "- {name: hold-activate, timeout: 1s,", 1)
	})
	w.begin()
	letGo := w.hold("activate")
	out := w.halts(w.deploy("v2"), "v1", "v2")
	w.status(3, "v2 failed on "+out, "step hold-activate: timed out")
	w.balances(1)
	letGo()
	w.arrives(must(w.Repo.Revert(t.Context()))(t), "v1")
	w.kept(1)
}

// A group that is gone in mid-rollout is told, with what to do, and while it is, nothing joins and nothing else leaves; when it
// is there again, the rollout goes on.
func TestTheGroupVanishesInMidRollout(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	w.meets(plan.Configuring)
	w.Cloud.Adjust(func(f *aws.Faults) {
		f.Before = func(action string, _ url.Values) error {
			if strings.HasPrefix(action, "elbv2:") {
				return &aws.Error{Code: "TargetGroupNotFound", Message: "One or more target groups not found"}
			}
			return nil
		}
	})
	const gone = "there is no such group in region"
	w.sees("that it is gone", func(f web.Fleet) bool { return says(f, gone) })
	letGo()
	w.status(2, gone, "check loadBalancers in the fleet file and AWS_REGION")
	w.kept(1)
	w.Cloud.Adjust(func(f *aws.Faults) { f.Before = nil })
	w.arrives(revision, "v2")
	w.kept(1)
}
