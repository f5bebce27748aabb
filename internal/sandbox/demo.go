package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"windlass/internal/live"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// DemoOptions say how the demo is given. The zero DemoOptions are ready for use in the windlass binary.
type DemoOptions struct {
	Executable string // the windlass binary; default: this process's own
	Dir        string // where everything is kept; default: a temporary directory that is removed at the end
	Nodes      int    // default 4
	Keep       bool   // goes on after the walk, until ctx ends
}

// Demo walks a local fleet through a first day, a deploy that waits for its tests, a release that is bad, and a revert, and shows what happens.
// The error is nil only if no request failed and each act ended as it should.
func Demo(ctx context.Context, o DemoOptions, show live.Options) (err error) {
	if o.Nodes == 1 {
		return errors.New("cannot show a rolling release with a single node: ask for at least 2")
	}
	tell := newTeller(show)
	defer func() { err = errors.Join(err, tell.close()) }()
	f, err := Start(ctx, Options{Executable: o.Executable, Dir: o.Dir, Fleet: "web-live", Nodes: o.Nodes, Chat: true, Source: true})
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.publishDemo(); err != nil {
		return err
	}
	tell.welcome(f)
	if err := walk(ctx, f, tell); err != nil {
		return err
	}
	if o.Keep {
		tell.farewell(f)
		<-ctx.Done()
	}
	return nil
}

// interrupted is that the demo was, when it was, instead of what failed because of it.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("the demo was interrupted")
	}
	return err
}

func (f *Fleet) publishDemo() error {
	return errors.Join(
		f.Publish(Build{Release: "v2"}),
		f.Publish(Build{Release: "v3", Fault: "cannot reach its database"}),
		f.Publish(Build{Release: "v4"}),
		f.Source.Tag("v2", "in_progress"), f.Source.Tag("v3", "success"), f.Source.Tag("v4", "success"),
	)
}

// An act is a part of the walk: something is done, and the fleet settles.
type act struct {
	title string
	shown string // what a person would type
	begin func(*Fleet) error
	types []string // arguments of a command that tells by itself how the fleet fares; none: begin does it
	exit  int      // its exit status

	meanwhile func(context.Context, *Fleet) error // what happens elsewhere while the command runs; nil: nothing

	phase    plan.Phase // that it ends in
	releases func(nodes int) map[string]int
	out      int      // nodes out of service at its end
	serves   []string // releases that may answer requests
	linger   time.Duration
}

func acts(f *Fleet) []act {
	all := func(release string) func(int) map[string]int {
		return func(nodes int) map[string]int { return map[string]int{release: nodes} }
	}
	deploy := func(release string) []string { return []string{"deploy", f.options.Fleet, release, "--yes"} }
	return []act{
		{
			title: "first day: v1 serves already, the agent finds everything as git says",
			shown: "windlass run --repo " + f.Repo.URL + " …",
			begin: func(f *Fleet) error { return f.Agent.Start() },
			phase: plan.PhaseIdle, releases: all("v1"), serves: []string{"v1"}, linger: time.Second,
		},
		{
			title: "one command deploys v2: its tests fail, and nothing moves; they pass, and it goes on, one node at a time",
			types: deploy("v2"), meanwhile: failsFirst("v2"),
			phase: plan.PhaseIdle, releases: all("v2"), serves: []string{"v1", "v2"},
		},
		{
			title: "v3 fails its health check on the first node, and goes no further",
			types: deploy("v3"), exit: 3,
			phase: plan.PhaseHalted, out: 1, serves: []string{"v2"}, linger: 2 * time.Second,
			releases: func(nodes int) map[string]int { return map[string]int{"v2": nodes - 1, "v3": 1} },
		},
		{
			title: "back to what was proven: only the node that left is visited",
			types: []string{"rollback", f.options.Fleet, "--yes"},
			phase: plan.PhaseIdle, releases: all("v2"), serves: []string{"v2"}, linger: time.Second,
		},
	}
}

// An ending is how an act went.
type ending struct {
	act
	took  time.Duration
	count Count
	least int   // nodes in the balancer's rotation, at the worst moment
	err   error // why it did not end as it should, or what it cost
}

// walk plays the acts. One that does not end as it should is the last.
func walk(ctx context.Context, f *Fleet, tell *teller) error {
	var endings []ending
	f.Traffic.Reset()
	f.Rotation.Reset()
	threads := 0
	for i, a := range acts(f) {
		tell.act(i+1, a)
		e := a.play(ctx, f, tell)
		if e.err == nil && a.types != nil {
			threads++
			e.err = tell.chat(f, threads)
		}
		if ctx.Err() != nil {
			return interrupted(ctx, e.err)
		}
		endings = append(endings, e)
		if e.err != nil {
			tell.trouble(i+1, e, f.Agent.Log(15))
			break
		}
	}
	tell.table(endings)
	return verdict(endings)
}

// play does what the act is about and follows the fleet until it has settled.
func (a act) play(ctx context.Context, f *Fleet, tell *teller) ending {
	e := ending{act: a}
	began := time.Now()
	limit := actTime + time.Duration(len(f.nodes))*nodeTime
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the act did not end within %v", limit))
	defer cancel()
	revision, err := a.do(ctx, f, tell)
	if err == nil {
		err = a.settle(ctx, f, tell, revision)
	}
	tell.settled()
	e.took = time.Since(began)
	e.count, e.least = f.Traffic.Reset(), f.Rotation.Reset()
	if e.err = errors.Join(err, a.judge(e.count)); e.least < len(f.nodes)-1 {
		e.err = errors.Join(e.err, fmt.Errorf("the balancer had only %d of %d nodes in rotation for a moment", e.least, len(f.nodes)))
	}
	return e
}

// An act may take actTime, and nodeTime more for each node. On a machine with nothing else to do it takes a fifth of that.
const (
	actTime  = 30 * time.Second
	nodeTime = 10 * time.Second
)

// do does what the act is about, and returns the newest commit of the deploy repo then.
func (a act) do(ctx context.Context, f *Fleet, tell *teller) (revision string, err error) {
	if a.types == nil {
		return f.Repo.Head(), a.begin(f)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	elsewhere := make(chan error, 1)
	go func() {
		err := a.elsewhere(ctx, f)
		if err != nil {
			cancel(err)
		}
		elsewhere <- err
	}()
	exit, err := f.types(ctx, tell.out, a.types...)
	if err == nil && exit != a.exit {
		err = fmt.Errorf("windlass %s ended with exit status %d, not %d", strings.Join(a.types, " "), exit, a.exit)
	}
	cancel(nil)
	if happened := <-elsewhere; err == nil {
		err = happened
	}
	if err != nil {
		return "", err
	}
	return f.Repo.Tip()
}

func (a act) elsewhere(ctx context.Context, f *Fleet) error {
	if a.meanwhile == nil {
		return nil
	}
	return a.meanwhile(ctx, f)
}

// failsFirst has the check of a release, which runs, fail once the fleet waits for it, and pass when people were told.
func failsFirst(release string) func(context.Context, *Fleet) error {
	gate := func(state plan.GateState) func(web.Fleet) bool {
		return func(s web.Fleet) bool {
			return s.Desired.Release == release && slices.ContainsFunc(s.Gates, func(g web.Gate) bool { return g.Name == sourceGate && g.State == state.String() })
		}
	}
	return func(ctx context.Context, f *Fleet) error {
		if _, err := f.Agent.Wait(ctx, "a gate that waits for the tests", gate(plan.GateWait)); err != nil {
			return err
		}
		if err := f.Source.Run(release, "failure"); err != nil {
			return err
		}
		if _, err := f.Agent.Wait(ctx, "a gate that is shut", gate(plan.GateShut)); err != nil {
			return err
		}
		if err := f.heldUp(); err != nil {
			return err
		}
		return f.Source.Run(release, "success")
	}
}

// sourceGate is what the gate is called that asks whether a release may be deployed.
const sourceGate = "source"

// settle waits until nothing is left to do about the revision, and has not been for as long as the act lingers: adopting a node is no step,
// and an agent that is about to may be idle for a moment.
func (a act) settle(ctx context.Context, f *Fleet, tell *teller, revision string) error {
	var last web.Fleet
	rests := func(s web.Fleet) bool {
		last = s
		if a.types == nil {
			tell.fleet(s)
		}
		return s.Desired.Revision == revision && (s.Phase == plan.PhaseIdle || s.Phase == plan.PhaseHalted) && len(s.Plan.Steps) == 0
	}
	for {
		if err := f.Agent.Follow(ctx, rests); err != nil {
			return fmt.Errorf("%w; last: %s", err, describe(last))
		}
		lingering, cancel := context.WithTimeout(ctx, a.linger)
		err := f.Agent.Follow(lingering, func(s web.Fleet) bool { return !rests(s) })
		stayed := lingering.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil: // it goes on
		case stayed:
			return a.compare(last, len(f.nodes))
		default:
			return fmt.Errorf("%w; last: %s", err, describe(last))
		}
	}
}

// compare is an error unless the fleet stands as the act says.
func (a act) compare(s web.Fleet, nodes int) error {
	if s.Phase != a.phase || s.InService != nodes-a.out || !maps.Equal(s.Releases, a.releases(nodes)) {
		return fmt.Errorf("it should have ended %s with %d in service and %v, but: %s", a.phase, nodes-a.out, a.releases(nodes), describe(s))
	}
	return nil
}

// judge is an error unless every request was answered, by a release that may.
func (a act) judge(c Count) error {
	switch {
	case c.Requests == 0:
		return errors.New("no request was sent")
	case c.Failed > 0:
		return fmt.Errorf("%d of %d requests failed: %s", c.Failed, c.Requests, strings.Join(c.Failures, "; "))
	}
	for _, release := range slices.Sorted(maps.Keys(c.Releases)) {
		if !slices.Contains(a.serves, release) {
			return fmt.Errorf("%d requests were answered by %s", c.Releases[release], release)
		}
	}
	return nil
}

// verdict is an error unless every act ended as it should.
func verdict(endings []ending) error {
	for i, e := range endings {
		if e.err != nil {
			return fmt.Errorf("act %d of the demo (%s) failed: %w", i+1, e.title, e.err)
		}
	}
	return nil
}
