package notify

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"windlass/desired"
	"windlass/internal/history"
	"windlass/internal/outbound"
	"windlass/internal/web"
	"windlass/reconciler"
)

// lookPause is at least how long after a snapshot the next is looked at.
const lookPause = 250 * time.Millisecond

// A Source knows how fleets stand; see web.Source for its laws.
type Source interface {
	Snapshot() reconciler.Snapshot
	Changed() <-chan struct{}
}

// A Past knows rollouts that ended, the newest first.
type Past interface {
	Newest(fleet string, most int) ([]history.Entry, error)
}

// Options are what a notifier needs.
type Options struct {
	File    File
	Memory  *Memory
	Source  Source
	Past    Past                                  // nil: there is none
	Observe func(service, trigger, result string) // of each attempt; nil: nobody counts
	Touch   func()                                // called when a channel begins to fail, or does no more; nil: nobody wants to know
	Log     *slog.Logger

	Others map[string]Channel // by name, beside the file's: who measures or simulates brings channels of their own
}

// A Notifier tells channels of rollouts. Its methods may be called side by side; Run starts it.
type Notifier struct {
	options Options
	names   []string // of channels, sorted
	workers []*worker
	clients []*outbound.Client

	mu      sync.Mutex
	done    map[string][]reconciler.RolloutDone // that ended since the start, by fleet, the oldest first
	views   map[string]*view                    // by channel
	changed chan struct{}

	waiting map[string]time.Time // since when a fleet's newest rollout waits; of the one that looks
	hears   map[string]time.Time // since when a channel is to hear of a fleet, by both; of the same
	held    map[string]time.Time // since when what a fleet is to get waits for its rollout to begin; of the same
	past    map[string][]ended   // that ended before the start, by fleet; of the same
}

// New makes a notifier of the file's channels. It connects to nothing.
func New(o Options) (*Notifier, error) {
	if o.Observe == nil {
		o.Observe = func(_, _, _ string) {}
	}
	if o.Touch == nil {
		o.Touch = func() {}
	}
	n := &Notifier{
		options: o, names: slices.Sorted(maps.Keys(o.File.Channels)), done: map[string][]reconciler.RolloutDone{},
		views: map[string]*view{}, changed: make(chan struct{}), waiting: map[string]time.Time{}, hears: map[string]time.Time{}, held: map[string]time.Time{}, past: map[string][]ended{},
	}
	for _, name := range n.names {
		client, err := outbound.New(outbound.Options{})
		if err != nil {
			return nil, err
		}
		n.clients = append(n.clients, client)
		n.workers = append(n.workers, n.open(name, o.File.Channels[name], client)...)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Others)) {
		n.names = append(n.names, name)
		n.workers = append(n.workers, n.worker(name, name, name, o.Others[name]))
	}
	return n, nil
}

// open makes the workers of a channel: one, or one for each who gets mail.
func (n *Notifier) open(name string, e Entry, client *outbound.Client) []*worker {
	one := func(c Channel) []*worker { return []*worker{n.worker(name, name+" "+c.Traits().Service, name, c)} } // of another kind it knows no thread
	switch {
	case e.Slack != nil:
		return one(&slack{*e.Slack, client})
	case e.GoogleChat != nil:
		return one(&googleChat{*e.GoogleChat, client})
	case e.Teams != nil:
		return one(&teams{*e.Teams, client})
	case e.Webhook != nil:
		return one(&webhook{*e.Webhook, client})
	case e.Email != nil:
		var all []*worker
		for _, to := range e.Email.To {
			all = append(all, n.worker(name, name+" "+to, name+", "+to, &email{at: *e.Email, to: to}))
		}
		return all
	case e.Alertmanager != nil:
		w := n.worker(name, name, name, nil)
		w.alerts, w.service = &alertmanager{at: *e.Alertmanager, http: client}, "alertmanager"
		w.to = name + " (alertmanager)"
		return []*worker{w}
	}
	return nil
}

func (n *Notifier) worker(name, key, to string, c Channel) *worker {
	w := &worker{
		name: name, key: key, to: to, channel: c, log: n.options.Log, observe: n.options.Observe, touch: n.options.Touch, memory: n.options.Memory, views: n.view, decide: next,
		pace: outbound.Pace{Every: time.Second, Least: leastPause, Most: mostPause, Jitter: 0.2},
	}
	if c != nil {
		t := c.Traits()
		w.service, w.pace.Every = t.Service, t.Every
		w.to += " (" + t.Service + ")"
	}
	return w
}

// Run tells channels until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	var keys []string
	for _, w := range n.workers {
		keys = append(keys, w.key)
	}
	n.options.Memory.only(keys)
	var working sync.WaitGroup
	for _, w := range n.workers {
		working.Go(func() { w.run(ctx) })
	}
	for ctx.Err() == nil {
		changed := n.options.Source.Changed()
		n.look()
		await(ctx, changed, time.Time{})
		await(ctx, nil, time.Now().Add(lookPause))
	}
	working.Wait()
	for _, c := range n.clients {
		c.Close()
	}
}

// RolloutDone takes a rollout that ended. It returns at once.
func (n *Notifier) RolloutDone(d reconciler.RolloutDone) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := append(n.done[d.Fleet], d)
	if len(all) > mostPastOf { // of many, those that nobody wanted are forgotten first
		i := slices.IndexFunc(all, func(d reconciler.RolloutDone) bool {
			return d.Rollout.Result != reconciler.ResultHalted && (d.Rollout.Trigger == reconciler.TriggerDrift || d.Rollout.Trigger == reconciler.TriggerMembership)
		})
		all = slices.Delete(all, max(0, i), max(0, i)+1)
	}
	n.done[d.Fleet] = all
}

// view is what each channel may be told of, and is closed when that has changed.
func (n *Notifier) view() (map[string]*view, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.views, n.changed
}

// look makes views of the newest snapshot.
func (n *Notifier) look() {
	s := n.options.Source.Snapshot()
	views := map[string]*view{}
	for _, name := range n.names {
		views[name] = &view{known: s.Repo.Revision != ""}
	}
	present, heard := map[string]bool{}, map[string]bool{}
	for _, f := range s.Fleets {
		present[f.Name] = true
		for _, to := range f.Notify {
			heard[f.Name+" "+to.Channel] = true
		}
		n.stand(f, views)
	}
	maps.DeleteFunc(n.hears, func(both string, _ time.Time) bool { return !heard[both] })
	for _, since := range []map[string]time.Time{n.waiting, n.held} {
		maps.DeleteFunc(since, func(fleet string, _ time.Time) bool { return !present[fleet] })
	}
	maps.DeleteFunc(n.past, func(fleet string, _ []ended) bool { return !present[fleet] })
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.Repo.Revision != "" {
		maps.DeleteFunc(n.done, func(fleet string, _ []reconciler.RolloutDone) bool { return !present[fleet] })
	}
	n.views = views
	close(n.changed)
	n.changed = make(chan struct{})
}

// stand adds how a fleet stands to the views of the channels that hear of it. One that was not looked at yet may come to be heard of.
func (n *Notifier) stand(f reconciler.Status, views map[string]*view) {
	if f.Phase == "" {
		for _, v := range views {
			v.standings = append(v.standings, standing{fleet: web.Fleet{Name: f.Name}, unheard: true})
		}
		return
	}
	if len(f.Notify) == 0 {
		return
	}
	f.Nodes, f.Steps, f.Excluded, f.Holds = nil, nil, nil, nil // not told, and many
	s := standing{fleet: web.FromStatus(f), coming: coming(f)}
	s.waiting, s.held = since(n.waiting, f.Name, waits(s.fleet)), since(n.held, f.Name, holds(f))
	s.past, s.verdict = n.before(f)
	for _, to := range f.Notify {
		v := views[to.Channel]
		if v == nil {
			continue
		}
		if i := len(v.standings) - 1; i >= 0 && v.standings[i].fleet.Name == f.Name { // named twice
			v.standings[i].on = append(slices.Clone(v.standings[i].on), to.On...)
			continue
		}
		s.on, s.since = to.On, since(n.hears, f.Name+" "+to.Channel, true)
		v.standings = append(v.standings, s)
	}
}

// since is since when something is so of a fleet, as far as that was seen; zero: it is not.
func since(all map[string]time.Time, fleet string, is bool) time.Time {
	switch {
	case !is:
		delete(all, fleet)
	case all[fleet].IsZero():
		all[fleet] = time.Now()
	}
	return all[fleet]
}

// coming is what is known of a rollout before it begins.
func coming(f reconciler.Status) web.Rollout {
	r := reconciler.Rollout{Trigger: reconciler.TriggerCommit, Release: f.Desired.Release, Revision: f.Desired.Revision, Change: f.Desired.Change}
	return web.FromStatus(reconciler.Status{Name: f.Name, Rollout: r}).Rollout
}

// before are the rollouts before the newest, as they are known: from the history those of earlier starts. Which they are is not for the clock to say, as
// it may have been set back. verdict is why the newest halted, if it did.
func (n *Notifier) before(f reconciler.Status) (all []ended, verdict string) {
	past, asked := n.past[f.Name]
	if !asked {
		past = n.recall(f.Name)
		n.past[f.Name] = past
	}
	n.mu.Lock()
	done := slices.Clone(n.done[f.Name])
	n.mu.Unlock()
	newest := web.FromStatus(reconciler.Status{Rollout: f.Rollout}).Rollout.Started
	for _, d := range done {
		r := web.FromStatus(reconciler.Status{Name: d.Fleet, Rollout: d.Rollout}).Rollout
		past = append(past[:len(past):len(past)], ended{r, web.Line(d.Reason)})
	}
	for _, e := range past {
		if e.rollout.Started.Equal(newest) {
			verdict = e.reason
		} else {
			all = append(all, e)
		}
	}
	return all, verdict
}

func (n *Notifier) recall(fleet string) []ended {
	if n.options.Past == nil {
		return nil
	}
	entries, err := n.options.Past.Newest(fleet, mostPastOf)
	if err != nil {
		return nil // the history itself says so
	}
	var all []ended
	for _, e := range slices.Backward(entries) {
		r := reconciler.Rollout{
			Trigger: e.Trigger, Release: e.To, From: e.From, Revision: e.Revision, Started: e.Started, Ended: e.Ended, Result: e.Result,
			Planned: e.Planned, Completed: e.Completed, Lowest: e.Lowest, Longest: e.Longest,
			Change: desired.Commit{Revision: e.Revision, Committed: e.Committed, Author: e.Author, Subject: e.Subject},
		}
		all = append(all, ended{web.FromStatus(reconciler.Status{Name: fleet, Rollout: r}).Rollout, web.Line(e.Reason)})
	}
	return all
}

// Problems are the channels that cannot be told now.
func (n *Notifier) Problems() []reconciler.Report {
	var all []reconciler.Report
	for _, w := range n.workers {
		if problem, since := w.trouble(); problem != "" {
			all = append(all, reconciler.Report{To: "channel " + w.to, Problem: problem, Since: since})
		}
	}
	return all
}

// A State is a channel as metrics show it.
type State struct {
	Channel, Service string
	Failing          bool
}

// States are all channels; one of mail fails when somebody's mail does.
func (n *Notifier) States() []State {
	var all []State
	for _, w := range n.workers {
		problem, _ := w.trouble()
		if i := len(all) - 1; i >= 0 && all[i].Channel == w.name {
			all[i].Failing = all[i].Failing || problem != ""
			continue
		}
		all = append(all, State{w.name, w.service, problem != ""})
	}
	return all
}

// Unknown says, of each channel that a fleet names and that there is not, what to do about it.
func (f File) Unknown(wanted []desired.Notification) []string {
	names := slices.Sorted(maps.Keys(f.Channels))
	var all []string
	for _, to := range wanted {
		if slices.Contains(names, to.Channel) {
			continue
		}
		says := "notify: channel " + to.Channel + " is not in the agent's file of --notify, so nobody hears there"
		if near := desired.Nearest(to.Channel, names); near != "" {
			says += "; did you mean " + near + "?"
		}
		all = append(all, says)
	}
	return all
}

// Services are the kinds of places that the file names, sorted.
func (f File) Services() []string {
	there := map[string]bool{}
	for _, e := range f.Channels {
		there[e.service()] = true
	}
	return slices.Sorted(maps.Keys(there))
}

func (e Entry) service() string {
	switch {
	case e.Slack != nil:
		return "slack"
	case e.GoogleChat != nil:
		return "googleChat"
	case e.Teams != nil:
		return "teams"
	case e.Email != nil:
		return "email"
	case e.Alertmanager != nil:
		return "alertmanager"
	}
	return "webhook"
}
