package sandbox

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"windlass/internal/follow"
	"windlass/internal/live"
	"windlass/internal/notify/notifytest"
	"windlass/internal/web"
)

// A teller tells people what happens: what the fleet does in a view, and the rest around it.
type teller struct {
	out     io.Writer
	colour  bool
	view    *live.View
	stamp   func(now time.Time) string
	witness follow.Witness // of the act
}

// Colours of a terminal.
const (
	bold  = "1"
	red   = "31"
	green = "32"
)

// newTeller has to be closed. Lines have the time since its beginning.
func newTeller(o live.Options) *teller {
	began := time.Now()
	o.Stamp = func(now time.Time) string { return fmt.Sprintf("%6.1f s", now.Sub(began).Seconds()) }
	return &teller{out: o.Out, colour: o.Colour, view: live.Start(o), stamp: o.Stamp}
}

func (t *teller) close() error { return t.view.Close() }

// fleet tells how the fleet stands now.
func (t *teller) fleet(s web.Fleet) {
	t.witness.Take(s)
	_ = t.view.Show(web.Repo{}, []web.Fleet{s}) // out tells of its own trouble
}

// settled tells how the act ended, in a line to pass on where there was a rollout.
func (t *teller) settled() {
	var lines []string
	if recap := t.witness.Recap(follow.Pending); recap != "" {
		lines = append(lines, recap)
	}
	_ = t.view.End(lines...)
}

// remark says something while a fleet is shown.
func (t *teller) remark(format string, args ...any) {
	_ = t.view.End(t.stamp(time.Now()) + "  " + fmt.Sprintf(format, args...)) // out tells of its own trouble
}

func (t *teller) paint(colour, text string) string {
	if !t.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (t *teller) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

func (t *teller) welcome(f *Fleet) {
	t.say("%s", t.paint(bold, fmt.Sprintf("windlass demo: %d nodes behind a load balancer, all on this machine", len(f.nodes))))
	t.say("status page    %s\nload balancer  %s, %d requests a second", f.Agent.URL, f.URL, f.options.Rate)
}

func (t *teller) act(number int, a act) {
	t.witness = follow.Witness{}
	t.say("\n%s", t.paint(bold, fmt.Sprintf("%d  %s", number, a.title)))
	t.say("   $ %s", cmp.Or(a.shown, "windlass "+strings.Join(a.types, " ")))
}

// chat shows what people heard of an act: the newest thread.
func (t *teller) chat(f *Fleet, threads int) error {
	thread, err := f.told(threads)
	if err != nil {
		return err
	}
	t.say("\nwhat the chat shows in the end: one message, kept up to date, and its thread")
	return notifytest.Print(t.out, []notifytest.Thread{thread})
}

// trouble tells why an act failed, and what the agent said last.
func (t *teller) trouble(number int, e ending, log []string) {
	t.say("\n%s", t.paint(red, fmt.Sprintf("act %d failed: %v", number, e.err)))
	t.say("the agent's last lines:")
	for _, line := range log {
		t.say("   %s", line)
	}
}

// table tells what each act cost.
func (t *teller) table(endings []ending) {
	t.say("")
	w := tabwriter.NewWriter(t.out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "act\ttook\trequests\tfailed\tin service, at least\t  answered by")
	failed := 0
	for i, e := range endings {
		failed += e.count.Failed
		fmt.Fprintf(w, "%d\t%.1f s\t%d\t%d\t%d\t  %s\n", i+1, e.took.Seconds(), e.count.Requests, e.count.Failed, e.least, shares(e.count.Releases))
	}
	w.Flush()
	if verdict(endings) == nil {
		t.say("\n%s", t.paint(green, "No request failed, and each act ended as it should."))
	}
}

// shares is how many requests each release answered.
func shares(releases map[string]int) string {
	var parts []string
	for _, release := range slices.Sorted(maps.Keys(releases)) {
		parts = append(parts, fmt.Sprintf("%s: %d", release, releases[release]))
	}
	return strings.Join(parts, ", ")
}

// farewell tells what can be tried while the fleet goes on.
func (t *teller) farewell(f *Fleet) {
	node, windlass, fleet := f.nodes[0], f.options.Executable, f.options.Fleet
	environment := strings.Join(f.Cloud.Environment(), " ")
	t.say("\n%s", t.paint(bold, "The fleet goes on until Ctrl-C. Status page: "+f.Agent.URL+"\nIn another terminal:"))
	for _, try := range []struct {
		why      string
		commands []string
	}{
		{"a clone of the deploy repo, and the agent that is asked", []string{"cd " + f.Repo.Work, "export WINDLASS_SERVER=" + f.Agent.URL, "export WINDLASS_FORGES=" + f.path("forges.yaml")}},
		{"what it does; what it did; what nodes have", []string{windlass + " status --watch", windlass + " history " + fleet, windlass + " diff"}},
		{"v1, v2 and v4 are good; v3 failed, and is tried again only with retry: 1", []string{windlass + " deploy " + fleet + " v4"}},
		{"takes that back", []string{windlass + " rollback " + fleet}},
		{"what merging a branch would do, once it is pushed", []string{windlass + " plan --server " + f.Agent.URL + " --branch NAME"}},
		{"the service", []string{"curl " + f.URL}},
		{"the record on " + node.Name, []string{fmt.Sprintf("ssh -i %s -o UserKnownHostsFile=%s -p %d %s@%s cat .windlass/%s/record.json", f.path("id"), f.path("known_hosts"), f.sshPort, f.options.User, node.Address, fleet)}},
		{"the balancer", []string{"env " + strings.Replace(environment, "AWS_REGION", "AWS_DEFAULT_REGION", 1) + " aws elbv2 describe-target-groups"}}, // which every version of the CLI knows
	} {
		t.say("\n# %s", try.why)
		for _, command := range try.commands {
			t.say("%s", command)
		}
	}
}
