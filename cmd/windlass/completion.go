package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"windlass/internal/web"
)

// completionTime is how long a shell waits for the agent at most.
const completionTime = 2 * time.Second

const asListed = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder

// completes has a shell complete a command's arguments from what the agent knows: fleets, and after a fleet its releases where they are
// asked for. An agent that cannot be asked completes nothing.
func completes(cmd *cobra.Command, at *agentAddress, releases bool) {
	cmd.ValidArgsFunction = asked(at, func(ctx context.Context, c *client, args []string) []string {
		switch {
		case len(args) == 0:
			return c.fleetNames(ctx)
		case len(args) == 1 && releases:
			return c.releases(ctx, args[0])
		}
		return nil
	})
}

// completesFrom has a shell complete --from with fleets other than the one that is deployed.
func completesFrom(cmd *cobra.Command, at *agentAddress) {
	err := cmd.RegisterFlagCompletionFunc("from", asked(at, func(ctx context.Context, c *client, args []string) []string {
		return slices.DeleteFunc(c.fleetNames(ctx), func(name string) bool { return slices.Contains(args, name) })
	}))
	if err != nil {
		panic(err) // the flag is defined
	}
}

// asked completes with what words finds out from the agent.
func asked(at *agentAddress, words func(context.Context, *client, []string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		if err := cmd.PreRunE(cmd, args); err != nil {
			return nil, asListed
		}
		c, err := newClient(*at)
		if err != nil {
			return nil, asListed
		}
		defer c.close()
		return words(ctx, c, args), asListed
	}
}

func (c *client) fleetNames(ctx context.Context) (names []string) {
	var fleets []web.Fleet
	_ = c.get(ctx, "/api/v1/fleets", &fleets) // nothing is known then
	for _, f := range fleets {
		names = append(names, web.Line(f.Name))
	}
	return names
}

// releases are those that a fleet is known to have had, the newest first.
func (c *client) releases(ctx context.Context, fleet string) (known []string) {
	at := "/api/v1/fleets/" + url.PathEscape(fleet)
	var past []web.Past
	_ = c.get(ctx, fmt.Sprintf("%s/history?limit=%d", at, web.UsualPast), &past) // one that keeps none has the others to tell
	for _, p := range past {
		known = append(known, p.Release, p.From)
	}
	var now web.Fleet
	_ = c.get(ctx, at, &now)
	known = append(known, now.Desired.Release)
	var kept []string
	for _, release := range known {
		if release = web.Line(release); release != "" && !slices.Contains(kept, release) {
			kept = append(kept, release)
		}
	}
	return kept
}
