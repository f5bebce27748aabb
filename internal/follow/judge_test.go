package follow_test

import (
	"testing"

	"windlass/internal/follow"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A picture is what the agent shows at some time.
type picture struct {
	repo   web.Repo
	fleets []web.Fleet
}

func at(revision string, fleets ...web.Fleet) picture {
	return picture{web.Repo{Revision: revision}, fleets}
}

func fleet(revision, release, digest string, phase plan.Phase, reason string) web.Fleet {
	return web.Fleet{Name: "web", Phase: phase, Reason: reason, Desired: web.Desired{Release: release, Revision: revision, Digest: digest}}
}

func TestWhatBecomesOfADeploy(t *testing.T) {
	t.Parallel()
	var (
		before   = at("old", fleet("old", "v1", "d1", plan.PhaseIdle, "2 of 2 in service with v1"))
		blind    = picture{web.Repo{Revision: "old", Problem: "cannot read it"}, before.fleets}
		rolling  = at("new", fleet("new", "v2", "d2", plan.PhaseProgressing, "1 of 2 nodes under way"))
		done     = at("new", fleet("new", "v2", "d2", plan.PhaseIdle, "2 of 2 in service with v2"))
		later    = at("later", fleet("later", "v2", "d2", plan.PhaseProgressing, "1 of 2 nodes under way"))
		halted   = at("new", fleet("new", "v2", "d2", plan.PhaseHalted, "v2 failed on web-1"))
		paused   = at("new", fleet("new", "v2", "d2", plan.PhasePaused, "incident"))
		reverted = at("later", fleet("later", "v1", "d1", plan.PhaseRollingBack, "back"))
		restart  = picture{}
		released = at("later", web.Fleet{Name: "web", Released: true, Phase: plan.PhaseIdle, Reason: "its file is gone", Desired: web.Desired{Release: "v2", Revision: "later", Digest: "d2"}})
		gone     = at("later")
		other    = at("later", web.Fleet{Name: "api"})
		retuned  = at("later", fleet("later", "v2", "d3", plan.PhaseProgressing, "vars changed"))
		broken   = later
		refused  = func(revision string) picture {
			f := fleet("old", "v1", "d1", plan.PhaseIdle, "2 of 2 in service with v1")
			f.Rejected = &web.Rejection{Revision: revision, Errors: []string{"fleets/web.yaml:3:1: one", "fleets/web.yaml:4:1: two"}}
			return at(revision, f)
		}
	)
	begins := at("new", web.Fleet{Name: "web"})
	invalid := func(inService int) picture {
		f := fleet("new", "v2", "d2", plan.PhaseInvalid, "fleets/web.yaml:3:1: one")
		f.Size, f.InService = 2, inService
		f.Nodes = []web.Node{{Name: "web-1", State: plan.InService}, {Name: "web-2", State: plan.Outdated}}
		if inService == 2 {
			f.Nodes[1].State = plan.InService
		}
		f.Rejected = &web.Rejection{Revision: "later", Errors: []string{"fleets/web.yaml:3:1: one"}}
		return at("later", f)
	}
	rested := invalid(2)
	rested.fleets[0].Phase, rested.fleets[0].Reason, rested.fleets[0].Rejected = plan.PhasePaused, "incident", nil
	drifted := at("new", rested.fleets[0])
	drifted.fleets[0].Nodes = []web.Node{{Name: "web-1", State: plan.InService}, {Name: "web-2", State: plan.InService, Drift: true, Outdated: true}}
	broken.fleets = []web.Fleet{later.fleets[0]}
	broken.fleets[0].Rejected = &web.Rejection{Revision: "later", Errors: []string{"fleets/web.yaml:3:1: one"}}
	for name, c := range map[string]struct {
		pictures []picture
		end      follow.End
		reason   string
	}{
		"not polled yet":                 {[]picture{before}, follow.Pending, "the agent has not seen commit new yet"},
		"which cannot read the repo":     {[]picture{before, blind}, follow.Pending, "the agent has not seen commit new yet: cannot read it"},
		"an agent that just began":       {[]picture{restart}, follow.Pending, "the agent has not read the deploy repo yet"},
		"under way":                      {[]picture{before, rolling}, follow.Pending, "1 of 2 nodes under way"},
		"in service":                     {[]picture{before, rolling, done}, follow.InService, "2 of 2 in service with v2"},
		"at once":                        {[]picture{done}, follow.InService, "2 of 2 in service with v2"},
		"halted":                         {[]picture{rolling, halted}, follow.Halted, "v2 failed on web-1"},
		"paused":                         {[]picture{rolling, paused}, follow.Pending, "incident"},
		"a later commit for others":      {[]picture{rolling, later}, follow.Pending, "1 of 2 nodes under way"},
		"seen with a later commit":       {[]picture{before, later}, follow.Pending, "1 of 2 nodes under way"},
		"reverted":                       {[]picture{rolling, reverted}, follow.Superseded, "commit later wants v1"},
		"reverted before it was seen":    {[]picture{before, reverted}, follow.Superseded, "commit later wants v1"},
		"changed, of the same release":   {[]picture{rolling, retuned}, follow.Superseded, "commit later wants v2"},
		"restarted":                      {[]picture{rolling, restart}, follow.Pending, "the agent has not read the deploy repo yet"},
		"restarted and done":             {[]picture{rolling, restart, done}, follow.InService, "2 of 2 in service with v2"},
		"refused":                        {[]picture{before, refused("new")}, follow.Refused, "the agent refuses the commit: fleets/web.yaml:3:1: one; fleets/web.yaml:4:1: two"},
		"a new agent that begins":        {[]picture{rolling, begins, rolling}, follow.Pending, "1 of 2 nodes under way"},
		"and has not begun yet":          {[]picture{rolling, begins}, follow.Pending, "the agent has not looked at the fleet yet"},
		"in service below a broken file": {[]picture{rolling, invalid(2)}, follow.InService, "2 of 2 in service with v2; the fleet is invalid: fleets/web.yaml:3:1: one"},
		"paused when all is in service":  {[]picture{rolling, paused, rested}, follow.InService, "2 of 2 in service with v2; the fleet is paused: incident"},
		"not yet, below a broken file":   {[]picture{rolling, invalid(1)}, follow.Pending, "fleets/web.yaml:3:1: one"},
		"paused when one has drifted":    {[]picture{rolling, drifted}, follow.Pending, "incident"},
		"refused, with a later commit":   {[]picture{before, refused("later")}, follow.Refused, "the agent refuses the commit: fleets/web.yaml:3:1: one; fleets/web.yaml:4:1: two"},
		"a later commit is refused":      {[]picture{rolling, broken}, follow.Pending, "1 of 2 nodes under way"},
		"an older commit is refused":     {[]picture{refused("old")}, follow.Pending, "the agent has not seen commit new yet"},
		"let go":                         {[]picture{rolling, released}, follow.Refused, "its file is gone"},
		"let go and forgotten":           {[]picture{rolling, gone}, follow.Refused, "the agent knows no fleet web any more: its file is gone"},
		"known to another agent":         {[]picture{other}, follow.Refused, "the agent knows no fleet web"},
		"a new fleet, not seen yet":      {[]picture{at("old")}, follow.Pending, "the agent has not seen commit new yet"},
		"an agent of another repo's age": {[]picture{at("", before.fleets...)}, follow.Pending, "the agent has not seen commit new yet"},
	} {
		j := follow.Judge{Aim: follow.Aim{Fleet: "web", Revision: "new", Release: "v2", Contains: func(revision string) bool { return revision == "later" }}}
		var got follow.Verdict
		for i, p := range c.pictures {
			if got = j.Take(p.repo, p.fleets); got.End != follow.Pending && i < len(c.pictures)-1 {
				t.Errorf("%s: ends at picture %d: %+v", name, i, got)
			}
		}
		if want := (follow.Verdict{End: c.end, Reason: c.reason}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// Who follows without a commit follows what is wanted then.
func TestWhatIsUnderWayIsFollowed(t *testing.T) {
	t.Parallel()
	j := follow.Judge{Aim: follow.Aim{Fleet: "web"}}
	for _, c := range []struct {
		picture picture
		want    follow.Verdict
	}{
		{picture{}, follow.Verdict{End: follow.Pending, Reason: "the agent has not read the deploy repo yet"}},
		{at("a", fleet("a", "v1", "d1", plan.PhaseProgressing, "moves")), follow.Verdict{End: follow.Pending, Reason: "moves"}},
		{at("b", fleet("b", "v1", "d1", plan.PhaseIdle, "rests")), follow.Verdict{End: follow.InService, Reason: "rests"}},
		{at("c", fleet("c", "v2", "d2", plan.PhaseProgressing, "moves")), follow.Verdict{End: follow.Superseded, Reason: "commit c wants v2"}},
	} {
		if got := j.Take(c.picture.repo, c.picture.fleets); got != c.want {
			t.Errorf("%+v, want %+v", got, c.want)
		}
	}
	unknown := follow.Judge{Aim: follow.Aim{Fleet: "web"}}
	if got := unknown.Take(web.Repo{Revision: "a"}, nil); got.End != follow.Refused {
		t.Errorf("a fleet that nobody knows: %+v", got)
	}
}

// An agent that begins tells of fleets before it has looked at them, and of files that were never in force.
func TestWhatIsUnderWayWhereNothingIs(t *testing.T) {
	t.Parallel()
	begins, never := at("a", web.Fleet{Name: "web"}), at("a", web.Fleet{Name: "web", Phase: plan.PhaseInvalid, Reason: "fleets/web.yaml:3:1: one"})
	never.fleets[0].Rejected = &web.Rejection{Revision: "a", Errors: []string{"fleets/web.yaml:3:1: one"}}
	invalid := at("b", fleet("a", "v1", "d1", plan.PhaseInvalid, "fleets/web.yaml:3:1: one"))
	invalid.fleets[0].Rejected = &web.Rejection{Revision: "b", Errors: []string{"fleets/web.yaml:3:1: one"}}
	rests := at("a", fleet("a", "v1", "d1", plan.PhaseIdle, "rests"))
	for name, c := range map[string]struct {
		pictures []picture
		want     follow.Verdict
	}{
		"begins":             {[]picture{begins}, follow.Verdict{End: follow.Pending, Reason: "the agent has not looked at the fleet yet"}},
		"then rests":         {[]picture{begins, rests}, follow.Verdict{End: follow.InService, Reason: "rests"}},
		"was never in force": {[]picture{never}, follow.Verdict{End: follow.Refused, Reason: "the agent refuses the commit: fleets/web.yaml:3:1: one"}},
		"is broken by now":   {[]picture{invalid}, follow.Verdict{End: follow.Refused, Reason: "the agent refuses the commit: fleets/web.yaml:3:1: one"}},
	} {
		j := follow.Judge{Aim: follow.Aim{Fleet: "web"}}
		var got follow.Verdict
		for _, p := range c.pictures {
			got = j.Take(p.repo, p.fleets)
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
