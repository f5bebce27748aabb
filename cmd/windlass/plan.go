package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"windlass/actuators/host"
	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/internal/forge"
	"windlass/internal/metrics"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

const (
	changesPending = code(2)
	lookTime       = 2 * time.Minute // for git, and for all that is looked at
)

func newPlan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what the agent would do now, step by step, and why not more",
		Long: `Show what the agent would do now: every step with its reason and how many nodes can be counted on before it, the lowest number
there would be, and what holds the rest back. It looks at git, load balancers, instances and nodes, and changes nothing anywhere.
What the agent has accepted so far is taken from --state-dir, when it can be read.

The steps of a node's way: prepare while it serves, leave (claim it, write down where it serves), drain, configure, add (back to its
load balancers), prove (verified, added and baked). Besides: adopt (write down that it has what is wanted), restore (leave it as it is
now), take (go on with what another agent began), fail, halt, prune.

With --server the agent there makes the plan, of what would be done if --branch were merged into the branch that it follows. That takes
a user who may look, and no key: it is for pull requests. Nothing of the branch is run, and nothing of it is in force.

Exit status: 0 nothing to do, 2 changes are pending, 1 something could not be read or is wrong.`,
		Example: `  windlass plan --repo https://git.example.com/ops/deploy
  windlass plan --config /etc/windlass/windlass.yaml
  windlass plan --server https://windlass.example.com --user ci --password-file ci.password --branch my-branch --format markdown`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask, err := o.asks()
			switch {
			case err != nil:
				return err
			case ask && !cmd.Flags().Changed("branch"):
				return errors.New("name the branch to plan with --branch; what the agent does now is for windlass status")
			case ask:
				return planBranch(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if err := o.here.check(); err != nil {
				return err
			}
			return showPlan(cmd.Context(), o.here, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.define(cmd)
	return o.remember(configurable(cmd))
}

func showPlan(ctx context.Context, o agentOptions, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	state, sights, err := look(ctx, o, stderr)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("cannot look at everything within %v; what was not seen is missing here", lookTime)
	}
	pending, printErr := printForecasts(stdout, sights)
	tellWarnings(state.Warnings, stderr)
	tellRejected(state.Rejected, stderr)
	trouble := unread(state, sights)
	if err = errors.Join(err, printErr); err != nil {
		trouble = append(trouble, err.Error())
	}
	for _, line := range trouble {
		fmt.Fprintln(stderr, "windlass: "+web.Line(line))
	}
	switch {
	case len(trouble)+len(state.Rejected) > 0:
		return code(1)
	case pending:
		return changesPending
	}
	_, err = fmt.Fprintf(stdout, "\n%s, nothing to do\n", counted(len(sights), "fleet"))
	return err
}

// look reads git and the world; while git cannot be read, what the agent accepted stays in force, and the state says why.
func look(ctx context.Context, o agentOptions, stderr io.Writer) (desired.State, []reconciler.Sight, error) {
	git := o.gitOptions(gitDir(o.stateDir))
	git.ReadOnly = true
	repo, err := gitrepo.Open(git)
	if err != nil {
		return desired.State{}, nil, err
	}
	defer repo.Close()
	hosts, err := host.New(host.Options{KeyFile: o.sshKey, KnownHosts: o.nodeKnownHosts(), ReadOnly: true})
	if err != nil {
		return desired.State{}, nil, err
	}
	defer hosts.CloseAll()
	dir, log := &stateDir{path: o.stateDir}, newLog(stderr, "text")
	me, err := dir.known()
	if err != nil {
		return desired.State{}, nil, err
	}
	forges, err := forge.Read(o.forges)
	if err != nil {
		return desired.State{}, nil, err
	}
	deps := joined(o, me, hosts, repo, forges, metrics.NewEvents(), log)
	deps.Kept = timesOf(dir.kept(log))
	state, err := repo.Poll(ctx)
	if err != nil && state.Revision == "" {
		return desired.State{}, nil, err
	}
	sights, err := reconciler.Look(ctx, deps, state)
	return state, sights, err
}

// timesOf is of what an agent keeps only how long stages took: a rollout that is under way is the agent's.
func timesOf(kept map[string]reconciler.Kept) map[string]reconciler.Kept {
	times := make(map[string]reconciler.Kept, len(kept))
	for fleet, k := range kept {
		times[fleet] = reconciler.Kept{Took: k.Took}
	}
	return times
}

// unread says of every source that could not be read why.
func unread(state desired.State, sights []reconciler.Sight) []string {
	var lines []string
	if state.Problem != "" {
		lines = append(lines, "deploy repo: "+state.Problem)
	}
	for _, s := range sights {
		fleet := "fleet " + s.Status.Name + ": "
		if err := s.World.Inventory.Err; err != "" {
			lines = append(lines, fleet+err)
		}
		for _, g := range append(s.World.Groups[:len(s.World.Groups):len(s.World.Groups)], s.World.Former...) {
			if g.Err != "" {
				lines = append(lines, fleet+g.Name+": "+g.Err)
			}
		}
		for _, n := range s.Status.Nodes {
			if n.State == plan.Unreachable {
				lines = append(lines, fleet+n.Name+": "+n.Reason)
			}
		}
	}
	return lines
}

// isPending reports whether something would happen, or would if it were not held back.
func isPending(f plan.Forecast) bool {
	for _, n := range f.Now.Nodes {
		if n.Outdated || n.UnderWay {
			return true
		}
	}
	return len(f.Events) > 0
}

// printForecasts shows each fleet, and reports whether a change is pending in any.
func printForecasts(out io.Writer, sights []reconciler.Sight) (pending bool, err error) {
	t := terminalOf(out)
	for i, s := range sights {
		if i > 0 {
			fmt.Fprintln(out)
		}
		f := plan.Foresee(s.Want, s.World)
		pending = pending || isPending(f)
		if err := printForecast(out, s, f, t); err != nil {
			return pending, err
		}
	}
	return pending, nil
}

// printForecast shows a fleet as it stands, then each step of the way to where it comes to rest.
func printForecast(out io.Writer, s reconciler.Sight, f plan.Forecast, t web.Terminal) error {
	if err := web.Text(out, web.Repo{}, []web.Fleet{web.FromStatus(s.Status)}, t); err != nil {
		return err
	}
	if len(f.Events) == 0 {
		if !isPending(f) {
			return nil
		}
		_, err := fmt.Fprintf(out, "\n  nothing would be done while the fleet is %s\n", f.Now.Phase)
		return err
	}
	size := f.End.Size
	fmt.Fprintf(out, "\n  what would be done, if all goes well%s:\n", visited(f))
	for i, e := range f.Events {
		fmt.Fprintf(out, "  %4d. %-9s %-12s %d of %d in service: %s\n", i+1, e.Kind, web.Line(target(e.Step)), e.InService, size, web.Line(e.Reason))
	}
	fmt.Fprintf(out, "  lowest capacity: %d of %d in service, floor %d (maxUnavailable %s)\n", f.Lowest, size, f.End.Floor, s.Want.Fleet.Rollout.MaxUnavailable)
	if f.Left > 0 {
		fmt.Fprintf(out, "  foreseen so far; %s to follow in the same way\n", counted(f.Left, "node"))
		return nil
	}
	_, err := fmt.Fprintf(out, "  then: %s, %s\n", f.End.Phase, web.Line(f.End.Reason))
	for _, h := range f.End.Holds {
		if said := h.String(); said != f.End.Reason {
			_, err = fmt.Fprintf(out, "    %s\n", web.Line(said))
		}
	}
	return err
}

// visited is how many nodes a forecast has steps for, and which comes first; empty when it has none.
func visited(f plan.Forecast) string {
	nodes, first := map[string]bool{}, ""
	for _, e := range f.Events {
		if e.Node != "" {
			nodes[e.Node], first = true, cmp.Or(first, e.Node)
		}
	}
	switch len(nodes) {
	case 0:
		return ""
	case 1:
		return ", on " + web.Line(first)
	}
	return fmt.Sprintf(", on %d nodes, %s first", len(nodes), web.Line(first))
}

// target is the node of a step, or the member that is taken out.
func target(s plan.Step) string {
	if s.Node == "" && len(s.Targets) > 0 {
		return s.Targets[0].ID
	}
	return s.Node
}
