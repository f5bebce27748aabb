package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"windlass/internal/web"
)

type historyOptions struct {
	agent agentAddress
	limit int
	json  bool
}

func newHistory() *cobra.Command {
	var o historyOptions
	cmd := &cobra.Command{
		Use:   "history FLEET",
		Short: "List a fleet's rollouts that ended",
		Long: `List a fleet's rollouts that ended, the newest first: when each began, how it ended, how long it took, what it brought, the commit and
who wrote it, who was out of service the longest, and the least capacity there was. The agent keeps the newest 1,000 of a fleet in its
state directory, also of a fleet whose file is gone.

Exit status: 0, or 1 when the agent could not be asked, does not know the fleet, or keeps no history.`,
		Example: `  windlass history web-live
  windlass history web-live --limit 1000 --json | jq '.[] | select(.result == "halted")'`,
		Args: exactly("a fleet"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.limit < 1 || o.limit > web.MostPast {
				return fmt.Errorf("--limit %d cannot be: give 1 to %d", o.limit, web.MostPast)
			}
			c, err := newClient(o.agent)
			if err != nil {
				return err
			}
			defer c.close()
			return showHistory(cmd.Context(), c, o, args[0], cmd.OutOrStdout())
		},
	}
	o.agent.define(cmd)
	completes(cmd, &o.agent, false)
	f := cmd.Flags()
	f.IntVar(&o.limit, "limit", web.UsualPast, "how many to list at most, 1 to 1000")
	f.BoolVar(&o.json, "json", false, "print the API's JSON")
	f.SortFlags = false
	return configurable(cmd)
}

func showHistory(ctx context.Context, c *client, o historyOptions, fleet string, out io.Writer) error {
	var all []web.Past
	err := c.get(ctx, fmt.Sprintf("/api/v1/fleets/%s/history?limit=%d", url.PathEscape(fleet), o.limit), &all)
	var no *refusal
	if errors.As(err, &no) && no.code == http.StatusNotFound {
		return c.unknown(ctx, fleet, no)
	}
	switch {
	case err != nil:
		return err
	case o.json:
		return printJSON(out, all)
	}
	return web.PastText(out, fleet, all, terminalOf(out))
}

// unknown says what the agent knows instead of a fleet. One that was built before there was a history answers 404 as well.
func (c *client) unknown(ctx context.Context, fleet string, no *refusal) error {
	var known []web.Fleet
	if err := c.get(ctx, "/api/v1/fleets", &known); err != nil {
		return err
	}
	if _, err := only(known, []string{fleet}); err != nil {
		return err
	}
	return no.older("keeps no history")
}
