package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"windlass/desired"
	"windlass/internal/mirror"
	"windlass/internal/sandbox/aws"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A misfortune is what happens to a rollout.
type misfortune struct {
	name   string
	moment func(web.Fleet) bool // of the rollout at which it strikes; nil: before it begins
	strike func(context.Context, *Mirror, web.Fleet) error
	holds  bool // nodes stay in mid-step until it has struck: steps may be over before anybody sees them
	passes bool // the rollout goes on to its end
}

// misfortunes are the usual ones, in the order they are rehearsed.
func misfortunes() []misfortune {
	return []misfortune{
		{
			name:   "a check fails on the first node",
			moment: func(f web.Fleet) bool { return nodeIn(f, plan.Draining, plan.Configuring) != "" },
			strike: func(ctx context.Context, m *Mirror, f web.Fleet) error {
				return m.node(nodeIn(f, plan.Draining, plan.Configuring)).run(ctx, m, "touch "+failFile, "")
			},
		},
		{
			name:   "a node is lost in mid-step",
			moment: changing,
			strike: func(_ context.Context, m *Mirror, f web.Fleet) error {
				return m.node(nodeIn(f, plan.Configuring)).Kill()
			},
			holds: true,
		},
		{
			name:   "the agent is killed",
			moment: changing,
			strike: func(_ context.Context, m *Mirror, _ web.Fleet) error {
				return errors.Join(m.Agent.Kill(), m.Agent.Start())
			},
			holds: true, passes: true,
		},
		{
			name: "the balancer throttles",
			strike: func(_ context.Context, m *Mirror, _ web.Fleet) error {
				m.Cloud.Adjust(func(f *aws.Faults) { f.Throttle = map[string]aws.Rate{"*": {PerSecond: 2, Burst: 2}} })
				return nil
			},
			passes: true,
		},
	}
}

// changing is that a node is out of service for its change.
func changing(f web.Fleet) bool { return nodeIn(f, plan.Configuring) != "" }

// nodeIn names the first node in one of these states; empty: none is.
func nodeIn(f web.Fleet, states ...plan.State) string {
	for _, n := range f.Nodes {
		if slices.Contains(states, n.State) {
			return n.Name
		}
	}
	return ""
}

func (m *Mirror) node(name string) *CagedNode {
	return m.Nodes[slices.IndexFunc(m.Nodes, func(n *CagedNode) bool { return n.Name == name })]
}

// rehearse rolls what is not committed yet once for each misfortune, each on a fleet of its own that has what is committed, and tells
// whether service held. The error is nil only if it always did.
func (o UpOptions) rehearse(ctx context.Context, after Saved, tell *teller) error {
	if err := rehearsable(after.Fleet, "it"); err != nil {
		return err
	}
	tell.differences(after.Fleet, o.MirrorOptions)
	unjudged(tell, after.Fleet)
	before, after, err := o.committed(tell, after)
	if err != nil {
		return err
	}
	failed, err := o.playAll(ctx, before, after, tell)
	switch {
	case ctx.Err() != nil:
		return errors.New("the rehearsal was interrupted")
	case err != nil:
		return err
	case failed > 0:
		return fmt.Errorf("service of fleet %s did not hold in %d of %d rehearsals", after.Fleet.Name, failed, len(misfortunes()))
	}
	return nil
}

// rehearsable is an error where a fleet, called it, would not roll or could not be judged.
func rehearsable(f *desired.Fleet, it string) error {
	switch {
	case len(f.LoadBalancers) == 0:
		return fmt.Errorf("cannot rehearse fleet %s: %s has no load balancer, so that no traffic tells whether service holds", f.Name, it)
	case f.Paused != nil:
		return fmt.Errorf("cannot rehearse fleet %s: %s is paused, so that nothing would be rolled", f.Name, it)
	}
	return nil
}

// playAll rehearses one misfortune after another, and returns in how many service did not hold. The fleet of the next one gets ready
// meanwhile.
func (o UpOptions) playAll(ctx context.Context, before, after Saved, tell *teller) (failed int, err error) {
	all := misfortunes()
	next := o.prepare(ctx, before)
	for i, what := range all {
		s := <-next
		if s.err != nil {
			return failed, fmt.Errorf("cannot rehearse that %s: %w", what.name, s.err)
		}
		if i+1 < len(all) {
			next = o.prepare(ctx, before)
		}
		e, err := play(ctx, s.mirror, what, after)
		if err := errors.Join(err, s.mirror.Close()); err != nil {
			if i+1 < len(all) {
				err = errors.Join(err, (<-next).close())
			}
			return failed, fmt.Errorf("cannot rehearse that %s: %w", what.name, err)
		}
		if !e.held() {
			failed++
		}
		tell.say("%s: %s", what.name, tell.paint(e.colour(), e.String()))
	}
	return failed, nil
}

// A prepared fleet is in service with what is committed, or it is not for a reason.
type prepared struct {
	mirror *Mirror
	err    error
}

func (p prepared) close() error {
	if p.mirror == nil {
		return nil
	}
	return p.mirror.Close()
}

// prepare brings a fleet of its own into service. Whoever asked for it receives it, also when ctx has ended.
func (o UpOptions) prepare(ctx context.Context, before Saved) <-chan prepared {
	ready := make(chan prepared, 1)
	go func() {
		m, err := o.prepareNow(ctx, before)
		ready <- prepared{m, err}
	}()
	return ready
}

func (o UpOptions) prepareNow(ctx context.Context, before Saved) (*Mirror, error) {
	m, err := StartMirror(ctx, o.MirrorOptions, before)
	if err != nil {
		return nil, err
	}
	if err := m.Agent.Start(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if err := m.inService(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the fleet as it is without the change does not come into service: %w", err), m.Close())
	}
	return m, nil
}

// committed is what the fleet's nodes have when a rehearsal begins. Where nothing is uncommitted, or nothing is committed, what is
// rolled is the same once more, with a var that no template asks for.
func (o UpOptions) committed(tell *teller, after Saved) (Saved, Saved, error) {
	files, err := o.Committed()
	if errors.Is(err, fs.ErrNotExist) {
		tell.say("nothing is committed: what is saved is rolled once more, as for a changed var")
		return after, again(after), nil
	}
	if err != nil {
		return Saved{}, Saved{}, fmt.Errorf("cannot read what is committed: %w", err)
	}
	before, err := o.read(files)
	if err != nil {
		return Saved{}, Saved{}, fmt.Errorf("cannot rehearse a rollout from what is committed: %w", err)
	}
	if err := rehearsable(before.Fleet, "what is committed"); err != nil {
		return Saved{}, Saved{}, err
	}
	if before.digest() == after.digest() {
		tell.say("nothing that rolls is uncommitted: what is saved is rolled once more, as for a changed var")
		return before, again(after), nil
	}
	tell.say("rehearsed: from %s as it is committed to %s as it is saved", before.Fleet.Release, after.Fleet.Release)
	return before, after, nil
}

// again is the same with another digest.
func again(s Saved) Saved {
	fleet := *s.Fleet
	fleet.Configure.Vars = maps.Clone(fleet.Configure.Vars)
	if fleet.Configure.Vars == nil {
		fleet.Configure.Vars = map[string]any{}
	}
	fleet.Configure.Vars[mirror.RehearsalVar] = true
	s.Fleet = &fleet
	return s
}

// An outcome is how a rehearsal went.
type outcome struct {
	count Count
	did   string // what the fleet did, in a line
}

func (e outcome) held() bool { return e.count.Failed == 0 && e.count.Requests > 0 }

func (e outcome) colour() string {
	if e.held() {
		return green
	}
	return red
}

func (e outcome) String() string {
	if e.held() {
		return fmt.Sprintf("service held, %d requests, none failed; %s", e.count.Requests, e.did)
	}
	return fmt.Sprintf("service did not hold, %d of %d requests failed (%s); %s",
		e.count.Failed, e.count.Requests, web.Line(strings.Join(e.count.Failures[:min(1, len(e.count.Failures))], "; ")), e.did)
}

// limit is how long a fleet may take to come to rest. On a machine with nothing else to do it takes a fifth of that.
func (m *Mirror) limit() time.Duration { return 2 * (actTime + time.Duration(len(m.Nodes))*nodeTime) }

// play rolls what comes after, has the misfortune strike, and waits until the fleet rests.
func play(ctx context.Context, m *Mirror, what misfortune, after Saved) (e outcome, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.limit(), fmt.Errorf("it takes longer than %v", m.limit()))
	defer cancel()
	var traffic []*Traffic
	for _, url := range m.judged() {
		traffic = append(traffic, StartTraffic(url, rehearsalRate))
	}
	e.did, err = m.suffer(ctx, what, after)
	for _, t := range traffic {
		t.Stop()
		e.add(t.Count())
	}
	return e, err
}

// judged are the addresses of the balancers that traffic goes through: those of which a check says what they answer, if there are any.
func (m *Mirror) judged() (urls []string) {
	for name, url := range m.URLs {
		if !m.unknown[name] {
			urls = append(urls, url)
		}
	}
	if len(urls) == 0 {
		return slices.Collect(maps.Values(m.URLs))
	}
	return urls
}

// unjudged tells of balancers that no traffic goes through.
func unjudged(tell *teller, f *desired.Fleet) {
	known := func(b desired.LoadBalancer) bool { return mirror.Page(f, mirror.Port(f, b)) != "" }
	for _, b := range f.LoadBalancers {
		if !known(b) && slices.ContainsFunc(f.LoadBalancers, known) {
			tell.say("%s is not judged: no check says what it answers", b)
		}
	}
}

// add takes the requests to one more balancer.
func (e *outcome) add(c Count) {
	e.count.Requests += c.Requests
	e.count.Failed += c.Failed
	e.count.Failures = append(e.count.Failures, c.Failures...)
}

const rehearsalRate = 50 // requests a second to each balancer

// inService waits until every node is.
func (m *Mirror) inService(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.limit(), fmt.Errorf("not within %v", m.limit()))
	defer cancel()
	f, err := m.Agent.Wait(ctx, "every node in service", func(f web.Fleet) bool {
		return f.Phase == plan.PhaseHalted || serves(f, m.Repo.Head())
	})
	if err == nil && f.Phase == plan.PhaseHalted {
		return errors.New(f.Reason)
	}
	return err
}

// serves reports whether all nodes are in service with a revision, but for those that the file says to leave alone.
func serves(f web.Fleet, revision string) bool {
	return f.Phase == plan.PhaseIdle && f.Desired.Revision == revision && f.InService > 0 && f.InService == f.Size
}

// suffer rolls what comes after, with the misfortune, and returns what the fleet did.
func (m *Mirror) suffer(ctx context.Context, what misfortune, after Saved) (string, error) {
	if what.moment == nil {
		if err := what.strike(ctx, m, web.Fleet{}); err != nil {
			return "", err
		}
	}
	if what.holds {
		if err := m.onNodes(ctx, "touch "+holdFile, ""); err != nil {
			return "", err
		}
	}
	revision, err := m.Save(ctx, after, "rehearsed: "+what.name)
	if err != nil {
		return "", err
	}
	if what.moment != nil {
		f, err := m.Agent.Wait(ctx, "the moment at which "+what.name, func(f web.Fleet) bool {
			return f.Desired.Revision == revision && (what.moment(f) || f.Phase == plan.PhaseHalted)
		})
		switch {
		case err != nil:
			return "", err
		case !what.moment(f):
			return "", fmt.Errorf("the rollout halted before: %s", f.Reason)
		}
		if err := what.strike(ctx, m, f); err != nil {
			return "", err
		}
	}
	if what.holds {
		if err := m.onNodes(ctx, "rm "+holdFile, ""); err != nil {
			return "", err
		}
	}
	return m.rest(ctx, revision, what.passes)
}

// Nothing more is expected of a fleet that is done for as long as lingers, and of one that waits for as long as waits.
const (
	lingers = time.Second
	waits   = 5 * time.Second
)

// rest waits until the fleet has come to rest with a revision, and tells how it stands.
func (m *Mirror) rest(ctx context.Context, revision string, ends bool) (string, error) {
	for {
		f, err := m.Agent.Wait(ctx, "the fleet at rest", func(f web.Fleet) bool { return rests(f, revision, ends) })
		if err != nil {
			return "", err
		}
		quiet := waits
		if f.Phase == plan.PhaseIdle || f.Phase == plan.PhaseHalted {
			quiet = lingers
		}
		lingering, cancel := context.WithTimeout(ctx, quiet)
		last, err := m.Agent.Wait(lingering, "a change", func(f web.Fleet) bool { return !rests(f, revision, ends) })
		stayed := lingering.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil: // it goes on
		case stayed:
			if last.Name != "" {
				f = last
			}
			return stands(f), nil
		default:
			return "", err
		}
	}
}

// rests reports whether nothing moves on the way to a revision: no node is on its journey, whatever the fleet waits for; where the rollout
// has to end, it did. A fleet that is idle and not done has not begun.
func rests(f web.Fleet, revision string, ends bool) bool {
	outdated := func(n web.Node) bool { return n.State == plan.Outdated || n.State == plan.InService && n.Outdated }
	over := f.Phase == plan.PhaseHalted || f.Phase == plan.PhaseIdle && !slices.ContainsFunc(f.Nodes, outdated)
	return f.Desired.Revision == revision && (over || !ends && f.Phase != plan.PhaseIdle) &&
		nodeIn(f, plan.Preparing, plan.Draining, plan.Configuring, plan.Verifying, plan.Joining, plan.Baking) == ""
}

// stands tells how the fleet stands: how many have what is wanted, and why not all.
func stands(f web.Fleet) string {
	done := 0
	for _, n := range f.Nodes {
		if n.State == plan.InService && !n.Outdated {
			done++
		}
	}
	return fmt.Sprintf("the fleet is %s, %d of %d have it, %d in service: %s", f.Phase, done, f.Size, f.InService, web.Line(f.Reason))
}
