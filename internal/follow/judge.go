package follow

import (
	"fmt"
	"slices"
	"strings"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// An Aim is what is followed: a fleet on its way to what a commit wants of it.
type Aim struct {
	Fleet    string
	Revision string // the commit; empty: whatever is wanted when following begins
	Release  string // that it wants; empty with no revision

	// Contains reports whether a newer revision has Revision among its ancestors. It may be nil; then only Revision itself is known.
	Contains func(newer string) bool
}

// An End is how what is followed ended. The zero value is that it has not.
type End int

// The ends that there are.
const (
	Pending    End = iota
	InService      // every node has what the commit wants
	Refused        // the agent does not take the commit, or knows no such fleet
	Halted         // it failed, and a person has to decide
	Superseded     // a newer commit wants something else
)

// A Verdict is how something stands that is followed, with its reason in one line.
type Verdict struct {
	End    End
	Reason string
}

// A Judge follows one aim. Its zero value has none.
type Judge struct {
	Aim    Aim
	seen   bool   // the agent wants what the commit says
	digest string // of that
}

// Seen reports whether the agent wants what is followed, as far as was told.
func (j *Judge) Seen() bool { return j.seen }

// Take judges the newest picture of what the agent knows. An agent that is restarted in between may know less for a while: that is no end.
func (j *Judge) Take(repo web.Repo, fleets []web.Fleet) Verdict {
	at := slices.IndexFunc(fleets, func(f web.Fleet) bool { return f.Name == j.Aim.Fleet })
	switch {
	case at >= 0:
		return j.judge(repo, fleets[at])
	case repo.Revision == "":
		return Verdict{Pending, "the agent has not read the deploy repo yet" + because(repo)}
	case j.seen:
		return Verdict{Refused, fmt.Sprintf("the agent knows no fleet %s any more: its file is gone", j.Aim.Fleet)}
	case j.Aim.Revision == "" || j.has(repo.Revision):
		return Verdict{Refused, fmt.Sprintf("the agent knows no fleet %s", j.Aim.Fleet)}
	}
	return j.unseen(repo)
}

func (j *Judge) judge(repo web.Repo, f web.Fleet) Verdict {
	inForce := f.Desired.Revision != ""
	switch r := f.Rejected; {
	case r != nil && !j.seen && j.refused(f):
		return Verdict{Refused, "the agent refuses the commit: " + strings.Join(r.Errors, "; ")}
	case inForce && (j.seen || j.Aim.Revision == "" || j.has(f.Desired.Revision)):
	case j.seen || j.Aim.Revision == "":
		return Verdict{Pending, "the agent has not looked at the fleet yet"}
	default:
		return j.unseen(repo)
	}
	switch {
	case f.Released:
		return Verdict{Refused, f.Reason}
	case !j.seen && j.Aim.Release != "" && f.Desired.Release != j.Aim.Release, j.seen && f.Desired.Digest != j.digest:
		return Verdict{Superseded, fmt.Sprintf("commit %.7s wants %s", f.Desired.Revision, f.Desired.Release)}
	}
	j.seen, j.digest = true, f.Desired.Digest
	switch f.Phase {
	case plan.PhaseIdle:
		return Verdict{InService, f.Reason}
	case plan.PhaseHalted:
		return Verdict{Halted, f.Reason}
	case plan.PhaseInvalid, plan.PhasePaused: // which hide how the fleet rests with what is in force
		if allInService(f) {
			return Verdict{InService, fmt.Sprintf("%d of %d in service with %s; the fleet is %s: %s", f.InService, f.Size, f.Desired.Release, f.Phase, f.Reason)}
		}
	}
	return Verdict{Pending, f.Reason}
}

// refused reports whether what is refused of a fleet is what is followed: the newest commit, with no aim, once nothing is under way.
func (j *Judge) refused(f web.Fleet) bool {
	if j.Aim.Revision == "" {
		return f.Phase == plan.PhaseInvalid
	}
	return j.has(f.Rejected.Revision) && !j.has(f.Desired.Revision)
}

func allInService(f web.Fleet) bool {
	lacks := func(n web.Node) bool { return n.State != plan.InService || n.Outdated || n.Drift }
	return f.Size > 0 && f.InService == f.Size && !slices.ContainsFunc(f.Nodes, lacks)
}

func (j *Judge) unseen(repo web.Repo) Verdict {
	return Verdict{Pending, fmt.Sprintf("the agent has not seen commit %.7s yet%s", j.Aim.Revision, because(repo))}
}

func because(repo web.Repo) string {
	if repo.Problem == "" {
		return ""
	}
	return ": " + repo.Problem
}

// has reports whether a revision has what the aim's wants.
func (j *Judge) has(revision string) bool {
	return revision == j.Aim.Revision || revision != "" && j.Aim.Contains != nil && j.Aim.Contains(revision)
}
