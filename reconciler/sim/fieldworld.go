package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
)

// A saying is what balancers say of targets by no fault of theirs, as actuators/elb reads it.
type saying struct {
	name   string
	status actuators.TargetStatus
	reason string
}

var sayings = []saying{
	{"unavailable", actuators.TargetUnknown, `state "unavailable" Target.HealthCheckDisabled`},
	{"override", actuators.TargetUnknown, "administrative override zonal_shift_active"},
	{"unused", actuators.TargetUnused, "Target.NotInUse: Target is in an Availability Zone that is not enabled for the load balancer"},
	{"elb", actuators.TargetUnhealthy, "Elb.InternalError"},
}

// scopes are whom a saying is of: one machine, one machine in one group, a zone, or a group.
var scopes = []string{"machine", "place", "zone", "group"}

// A said is a saying that goes on.
type said struct {
	saying
	scope                string
	event                string // that began it
	machine, zone, group string // of whom; empty: of any
}

// covers reports whether the saying is of a machine's place in a group.
func (s said) covers(g *group, m *machine) bool {
	return (s.machine == "" || s.machine == m.id) && (s.zone == "" || s.zone == m.zone) && (s.group == "" || s.group == g.ID)
}

// word is what is said of a target while the saying is of it, instead of what its own checks show. What leaves goes on leaving, and an override
// shows of healthy targets alone.
func (s said) word(own actuators.TargetStatus) actuators.TargetStatus {
	if own == actuators.TargetDraining || s.name == "override" && own != actuators.TargetHealthy {
		return own
	}
	return s.status
}

// field is what field events have changed in the world.
type field struct {
	said      []said
	denied    map[string]bool // "leave" or "join" and the group
	nobody    []string        // exclusions that name nobody
	pruning   string          // a stranger whose removal is in flight
	committed time.Time       // when git last said something else
	agent     time.Time       // when an agent last began
	seen      map[string]int  // what has happened, and how often
}

func newField() field { return field{denied: map[string]bool{}, seen: map[string]int{}} }

// saw counts something that stories are to hold.
func (w *World) saw(kind string) {
	if w.story.Field.On || w.story.Traffic.On {
		w.field.seen[kind]++
	}
}

// saidOf is the saying of a machine's place in a group; nil: there is none.
func (w *World) saidOf(g *group, m *machine) *said {
	for i := range w.field.said {
		if w.field.said[i].covers(g, m) {
			return &w.field.said[i]
		}
	}
	return nil
}

// target is what a group says of a member.
func (w *World) target(g *group, m *machine, e *member) actuators.Target {
	t := actuators.Target{Membership: e.place, Status: w.status(g, m, e)}
	t.Reason, t.AtFault = string(t.Status), t.Status == actuators.TargetUnhealthy
	if s := w.saidOf(g, m); s != nil && t.Status != actuators.TargetDraining {
		t.AtFault = false
		if t.Status == s.status {
			t.Reason = s.reason
		}
	}
	return t
}

// runField makes an event of field stories happen; it reports whether it was one, and whether git says something new.
func (w *World) runField(e Event, m *machine) (ours, commit bool) {
	switch e.What {
	case "says":
		w.say(e, m)
	case "says no more":
		w.field.said = slices.DeleteFunc(w.field.said, func(s said) bool { return s.event == eventKey(e) })
	case "deny leave", "deny join":
		w.field.denied[e.What[len("deny "):]+" "+w.groups[e.Node%len(w.groups)].ID] = true
	case "let leave", "let join":
		delete(w.field.denied, e.What[len("let "):]+" "+w.groups[e.Node%len(w.groups)].ID)
		w.wild.eased = w.now()
	case "one out":
		if m != nil && len(w.groups) > 1 {
			w.takeOut(m, w.groups[e.Node%len(w.groups)])
			w.saw("out of one group")
		}
	case "ill", "well":
		w.sickenFor(e)
	case "exclude failed":
		return true, w.excludeFailed()
	case "exclude nobody":
		w.field.nobody = []string{"web-99"}
		w.commit()
		return true, true
	case "name nobody":
		w.field.nobody = nil
		w.commit()
		return true, true
	default:
		return false, false
	}
	return true, false
}

func eventKey(e Event) string { return fmt.Sprint(e.To, "/", e.Node) }

// commit makes the fleet file say what else has changed.
func (w *World) commit() { w.fleet = w.file(w.fleet.Release) }

// say begins a saying.
func (w *World) say(e Event, m *machine) {
	name, scope, _ := strings.Cut(e.To, " ")
	s := said{scope: scope, event: eventKey(e)}
	s.saying = sayings[slices.IndexFunc(sayings, func(s saying) bool { return s.name == name })]
	if m == nil {
		return
	}
	switch scope {
	case "machine":
		s.machine = m.id
	case "place":
		s.machine, s.group = m.id, w.groups[e.Node%len(w.groups)].ID
	case "zone":
		s.zone = m.zone
	case "group":
		s.group = w.groups[e.Node%len(w.groups)].ID
	}
	w.field.said = append(w.field.said, s)
}

// sickenFor makes a machine pass no check for a while. It is found by the number it has among all, whoever else is gone by its end.
func (w *World) sickenFor(e Event) {
	m := w.machines[fmt.Sprintf("i-%04d", 1+e.Node)]
	if m == nil || m.dead || w.calm {
		return
	}
	m.sick, m.flaky = e.What == "ill", true
	if !m.sick {
		return
	}
	m.sickened = w.now()
	for _, o := range w.alive() {
		if o != m && o.record.Stage == actuators.Verified && !w.laws.proven[o.digest] && w.inRotation(o) {
			w.saw("ill beside a canary")
		}
	}
}

// excludeFailed has somebody exclude the first machine that stays out as failed; it reports whether there is one.
func (w *World) excludeFailed() bool {
	for _, m := range w.alive() {
		if _, excluded := w.wild.excluded[m.id]; excluded || m.record.Stage != actuators.Failed {
			continue
		}
		w.laws.untold(w, m)
		w.wild.excluded[m.id], w.wild.moved[m.id] = m.name, w.now()
		w.saw("failed one excluded")
		w.commit()
		return true
	}
	return false
}

// denyGroup refuses a call to one group while it is denied.
func (w *World) denyGroup(kind, group string, m *machine) error {
	if !w.field.denied[kind+" "+group] {
		return nil
	}
	if kind == "leave" && m != nil && slices.ContainsFunc(m.record.Taken, func(p actuators.Membership) bool {
		return p.Group != group && !w.inRotationOf(m, w.group(p.Group))
	}) {
		w.saw("left one group of several")
	}
	return errDenied
}

// fieldCalm ends what field events began.
func (w *World) fieldCalm() {
	if !w.story.Field.On {
		return
	}
	w.field.said, w.field.nobody = nil, nil
	clear(w.field.denied)
	for _, m := range w.machines {
		m.sick = false
	}
}

// noteSayings counts what an agent reads of sayings.
func (w *World) noteSayings(g *group) {
	for _, s := range w.field.said {
		for id, e := range g.members {
			if m := w.machines[id]; s.covers(g, m) && w.status(g, m, e) == s.status {
				w.saw("says " + s.name)
				w.saw("of a " + s.scope)
				break
			}
		}
	}
}

// slowly is a call that takes a stranger out and lasts: its way there is longer than readings are awaited. It returns what ends it.
func (p *ports) slowly(ctx context.Context, m actuators.Membership) (end func(), err error) {
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	stranger := w.machines[m.ID] != nil && w.machines[m.ID].foreign
	if !stranger || !w.story.Field.On {
		return func() {}, nil
	}
	w.field.pruning = m.ID
	end = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.field.pruning = ""
	}
	if !w.story.Field.Slow || w.calm {
		return end, nil
	}
	takes := 5*time.Second + time.Duration(w.roll("slowly/"+m.ID).Int64N(int64(4*time.Second)))
	w.mu.Unlock()
	err = p.travel(ctx, takes)
	w.mu.Lock()
	w.saw("slow prune")
	return end, err
}

// Kinds are what field stories are to hold, each of them with an effect.
func Kinds() []string {
	kinds := []string{
		"left one group of several", "failed one excluded", "strayed one counted", "nobody excluded and one missing", "slow prune", "out of one group",
		"ill beside a canary", "let go unproven", "let go and baked", "bad fix", "percentage", "several at once", "absent from a group",
	}
	for _, s := range sayings {
		kinds = append(kinds, "says "+s.name)
	}
	for _, s := range scopes {
		kinds = append(kinds, "of a "+s)
	}
	return slices.Sorted(slices.Values(kinds))
}

// nobodyExcluded are the exclusions of names that nobody ever had.
func (w *World) nobodyExcluded() []desired.Exclusion {
	var out []desired.Exclusion
	for _, name := range w.field.nobody {
		out = append(out, desired.Exclusion{Name: name, Reason: "a slip"})
	}
	return out
}

// letGo makes a machine rest with a release that was never proven there: it was let go while another was wanted.
func (w *World) letGo(m *machine, release string) {
	m.installed, m.digest = release, w.file(release).Digest(desired.DigestAlgorithm)
	m.record.On = actuators.Version{Release: release, Digest: m.digest, Algorithm: desired.DigestAlgorithm, Revision: "rev-" + release}
	w.saw("let go unproven")
}

// noteAgent notes that an agent begins.
func (w *World) noteAgent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.field.agent = w.now()
}

// noteCommit notes that git says something else.
func (w *World) noteCommit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.field.committed = w.now()
	if len(w.field.nobody) > 0 && w.misses() {
		w.saw("nobody excluded and one missing")
	}
}
