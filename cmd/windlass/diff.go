package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"windlass/internal/web"
)

// differs is the exit status of a diff that is not empty.
const differs = code(2)

func newDiff() *cobra.Command {
	var at agentAddress
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff [FLEET]",
		Short: "Show what nodes have against what is wanted",
		Long: `Show what nodes have against what is wanted: for each node that lacks something its release and commit and those that are wanted, and by
name the variables, files and steps that differ, without what is in them. Besides: nodes that drifted, that somebody else took out of
rotation, that are missing or excluded, and members of the load balancers that are no nodes of the fleet. All fleets unless one is named.

What a node has is told by the commit that its record names, as far down as the agent reads the history of its branch.

Exit status: 0 no difference, 2 there are some, 1 the agent could not be asked.`,
		Example: `  windlass diff web-live
  windlass diff --json | jq '.[].nodes[].name'`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(at)
			if err != nil {
				return err
			}
			defer c.close()
			all, err := c.diffs(cmd.Context(), args)
			if err != nil {
				return err
			}
			return showDiffs(all, asJSON, cmd.OutOrStdout())
		},
	}
	at.define(cmd)
	completes(cmd, &at, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the API's JSON, as a list")
	cmd.Flags().SortFlags = false
	return configurable(cmd)
}

// diffs asks for those of the fleet that is named, or of all.
func (c *client) diffs(ctx context.Context, named []string) ([]web.Diff, error) {
	var fleets []web.Fleet
	if err := c.get(ctx, "/api/v1/fleets", &fleets); err != nil {
		return nil, err
	}
	fleets, err := only(fleets, named)
	if err != nil {
		return nil, err
	}
	c.http.Transport.(*http.Transport).ResponseHeaderTimeout = planPatience
	var all []web.Diff
	for _, f := range fleets {
		d, err := c.diff(ctx, f.Name)
		var no *refusal
		switch {
		case errors.As(err, &no) && no.code == http.StatusConflict && len(named) == 0:
			d = web.NoDiff(f.Name, no.said) // the others are to be seen all the same
		case err != nil:
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (c *client) diff(ctx context.Context, fleet string) (d web.Diff, err error) {
	err = c.get(ctx, "/api/v1/fleets/"+url.PathEscape(fleet)+"/diff", &d)
	var no *refusal
	if errors.As(err, &no) && no.code == http.StatusNotFound {
		return d, no.older("tells no differences")
	}
	return d, err
}

func showDiffs(all []web.Diff, asJSON bool, out io.Writer) error {
	show := func() error { return web.DiffText(out, all, terminalOf(out)) }
	if asJSON {
		show = func() error { return printJSON(out, all) }
	}
	if err := show(); err != nil {
		return err
	}
	for _, d := range all {
		if d.Differs() {
			return differs
		}
	}
	return nil
}
