package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// Exit codes of status, from best to worst.
const (
	allRests   = code(0) // idle or paused
	underWay   = code(2) // progressing, rolling back or waiting
	needsHuman = code(3) // halted or invalid
)

type statusOptions struct {
	agent       agentAddress
	watch, json bool
	until       string
}

func newStatus() *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status [FLEET…]",
		Short: "Show what the agent wants, sees, does and waits for",
		Long: `Show what the agent wants, sees, does and waits for, and the last lines of a step that failed, of all fleets or of those named.

Exit status: 0 idle or paused, 2 progressing, rolling back or waiting, 3 halted or invalid, 1 the agent could not be asked; the
worst of several fleets. With --until idle it ends with 0 when all are idle, and with 3 when none moves and one needs a person.`,
		Example: `  windlass status
  windlass status web-live --watch
  windlass status --watch --until idle >/dev/null   # in a pipeline
  windlass status --server https://deploy.example.com:9190 --user anna --password-file ~/.windlass-password
  windlass status --json | jq '.[] | select(.phase == "halted") | .reason'`,
		RunE: func(cmd *cobra.Command, fleets []string) error {
			if err := o.check(); err != nil {
				return err
			}
			c, err := newClient(o.agent)
			if err != nil {
				return err
			}
			defer c.close()
			if o.watch {
				return watch(cmd.Context(), c, o, fleets, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return showStatus(cmd.Context(), c, o, fleets, cmd.OutOrStdout())
		},
	}
	o.agent.define(cmd)
	completes(cmd, &o.agent, false)
	f := cmd.Flags()
	f.BoolVar(&o.watch, "watch", false, "go on showing how it goes, until Ctrl-C")
	f.StringVar(&o.until, "until", "", "with --watch: `idle` ends it when all fleets that are shown have come to rest")
	f.BoolVar(&o.json, "json", false, "print the API's JSON; with --watch a line for each change of a fleet")
	f.SortFlags = false
	return configurable(cmd)
}

func (o statusOptions) check() error {
	switch {
	case o.until != "" && o.until != string(plan.PhaseIdle):
		return fmt.Errorf("--until %q is unknown: give idle", o.until)
	case o.until != "" && !o.watch:
		return fmt.Errorf("--until needs --watch")
	}
	return nil
}

// rested is the exit code of a picture in which all has come to rest; false: something moves, waits or is paused.
func rested(p picture) (code, bool) {
	all := allRests
	for _, f := range p.fleets {
		if f.Phase == plan.PhasePaused || codeOf(f.Phase) == underWay {
			return 0, false
		}
		all = max(all, codeOf(f.Phase))
	}
	return all, len(p.fleets) > 0
}

func showStatus(ctx context.Context, c *client, o statusOptions, names []string, out io.Writer) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	if p.fleets, err = only(p.fleets, names); err != nil {
		return err
	}
	if o.json {
		err = printJSON(out, p.fleets)
	} else {
		err = web.Text(out, p.repo, p.fleets, terminalOf(out))
	}
	if err != nil {
		return err
	}
	return worst(p)
}

func printJSON[T any](out io.Writer, list []T) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(append([]T{}, list...)) // never null
}

// only returns the fleets that are named, all of them when none is.
func only(fleets []web.Fleet, names []string) ([]web.Fleet, error) {
	if len(names) == 0 {
		return fleets, nil
	}
	var known []string
	for _, f := range fleets {
		known = append(known, f.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("the agent knows no fleet %q%s; windlass status shows all", name, didYouMean("", name, known))
		}
	}
	return slices.DeleteFunc(slices.Clone(fleets), func(f web.Fleet) bool { return !slices.Contains(names, f.Name) }), nil
}

// worst is the exit code for all that is shown. An agent that cannot read its repo and knows no fleet is waiting.
func worst(p picture) error {
	all := allRests
	if len(p.fleets) == 0 && (p.repo.Revision == "" || p.repo.Problem != "") {
		all = underWay
	}
	for _, f := range p.fleets {
		all = max(all, codeOf(f.Phase))
	}
	return orNone(all)
}

func codeOf(phase plan.Phase) code {
	switch phase {
	case plan.PhaseIdle, plan.PhasePaused:
		return allRests
	case plan.PhaseHalted, plan.PhaseInvalid:
		return needsHuman
	}
	return underWay
}
