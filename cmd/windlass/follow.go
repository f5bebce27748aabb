package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"windlass/internal/follow"
	"windlass/internal/live"
	"windlass/internal/web"
)

// Exit codes of what is followed.
const (
	hasHalted    = code(3)
	isSuperseded = code(4)
	ranOut       = code(5)
	interrupted  = code(130)
)

// endings says how the commands that push and follow end; they share it.
const endings = `Exit status: 0 in service, 1 refused, declined, not pushed, or the agent cannot be asked, 3 halted, 4 superseded by a newer commit,
5 --timeout ran out, 130 Ctrl-C, which ends the following and never the rollout.`

func newFollow() *cobra.Command {
	var at agentAddress
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "follow FLEET",
		Short: "Follow what is under way in a fleet, to its end",
		Long: `Follow what is under way in a fleet, to its end: drawn in place on a terminal, a line for each change in the logs of pipelines, and
last a line to pass on. An agent that is restarted meanwhile is waited for.

Exit status: 0 in service, 1 the agent cannot be asked or does not know the fleet, 3 halted, 4 superseded by a newer commit, 5 --timeout
ran out, 130 Ctrl-C, which ends the following and never the rollout.`,
		Example: `  windlass follow web-live
  windlass follow web-live --server http://127.0.0.1:9190 --timeout 30m`,
		Args: exactly("a fleet"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(at)
			if err != nil {
				return err
			}
			defer c.close()
			p, err := c.look(cmd.Context())
			if err != nil {
				return err
			}
			if p.repo.Revision != "" {
				if _, err := only(p.fleets, args); err != nil {
					return err
				}
			}
			f := newFollower(c, follow.Aim{Fleet: args[0]}, timeout, cmd.OutOrStdout(), cmd.ErrOrStderr())
			return f.run(cmd.Context())
		},
	}
	at.define(cmd)
	completes(cmd, &at, false)
	f := cmd.Flags()
	f.DurationVar(&timeout, "timeout", 0, "how long to follow at most (default: to the end)")
	f.Lookup("timeout").DefValue = "0"
	f.SortFlags = false
	return configurable(cmd)
}

// exactly asks for its arguments by name, as in: a fleet, a release.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("name %s; see %s --help", names[len(args)], cmd.CommandPath())
		}
		return atMost(len(names))(cmd, args)
	}
}

// A follower tells what becomes of an aim until it has ended.
type follower struct {
	client      *client
	judge       follow.Judge
	timeout     time.Duration // 0: none
	out, stderr io.Writer

	view    *live.View
	witness follow.Witness
	least   int // in service, of all that was seen
	fleet   web.Fleet
}

func newFollower(c *client, aim follow.Aim, timeout time.Duration, out, stderr io.Writer) *follower {
	return &follower{client: c, judge: follow.Judge{Aim: aim}, timeout: timeout, out: out, stderr: stderr, least: -1}
}

// run returns the exit code of the end, or why nothing can be told.
func (f *follower) run(ctx context.Context) error {
	options, end := viewOptions(f.out, f.stderr)
	defer end()
	f.view = live.Start(options)
	err := f.listen(ctx)
	if shown := f.view.Close(); shown != nil {
		return shown
	}
	switch err {
	case interrupted:
		fmt.Fprintf(f.stderr, "windlass: not followed any more, and it goes on; windlass follow %s follows it again\n", f.judge.Aim.Fleet)
	case ranOut:
		fmt.Fprintf(f.stderr, "windlass: not at its end after %v, and it goes on; windlass follow %s follows it again\n", f.timeout, f.judge.Aim.Fleet)
	}
	return err
}

// listen follows the agent to the end.
func (f *follower) listen(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	pictures, troubles := make(chan picture), make(chan error)
	listening.Go(func() { listen(ctx, f.client, pictures, troubles) })
	late, end := f.deadline()
	defer end()
	for {
		select {
		case <-ctx.Done():
			return interrupted
		case <-late:
			return ranOut
		case trouble := <-troubles:
			var final *unwelcome
			if errors.As(trouble, &final) {
				return trouble
			}
			if err := f.view.Trouble(trouble); err != nil {
				return err
			}
		case p := <-pictures:
			v, err := f.take(p)
			if err != nil || v.End != follow.Pending {
				return f.close(v, time.Since(began), err)
			}
		}
	}
}

func (f *follower) deadline() (late <-chan time.Time, end func() bool) {
	if f.timeout <= 0 {
		return nil, func() bool { return false }
	}
	timer := time.NewTimer(f.timeout)
	return timer.C, timer.Stop
}

// take judges a picture and tells what changed.
func (f *follower) take(p picture) (follow.Verdict, error) {
	v := f.judge.Take(p.repo, p.fleets)
	at := slices.IndexFunc(p.fleets, func(fleet web.Fleet) bool { return fleet.Name == f.judge.Aim.Fleet })
	known := at >= 0 && p.fleets[at].Desired.Revision != "" // else nothing is known of it yet
	if known && v.End != follow.Superseded {                // the next rollout is not this one
		f.witness.Take(p.fleets[at])
	}
	if !f.judge.Seen() && v.End == follow.Pending {
		return v, f.view.Await(v.Reason)
	}
	if !known {
		return v, nil
	}
	f.fleet = p.fleets[at]
	if f.least < 0 || f.fleet.InService < f.least {
		f.least = f.fleet.InService
	}
	return v, f.view.Show(p.repo, p.fleets[at:at+1])
}

// close tells the end, the last of it in a line that can be passed on.
func (f *follower) close(v follow.Verdict, took time.Duration, err error) error {
	if err != nil {
		return err
	}
	name, recap := web.Line(f.judge.Aim.Fleet), f.witness.Recap(v.End)
	switch v.End {
	case follow.InService:
		if recap == "" { // it was so already, or nobody knows how it came to be
			recap = fmt.Sprintf("%s: %s in service on %d of %d, followed for %v, at least %d in service meanwhile",
				name, web.Line(f.fleet.Desired.Release), f.fleet.InService, f.fleet.Size, took.Round(time.Second), max(0, f.least))
		}
		return f.view.End(recap)
	case follow.Halted:
		return orCode(f.end(fmt.Sprintf("%s: halted: %s", name, web.Line(v.Reason)), recap), hasHalted)
	case follow.Superseded:
		return orCode(f.end(fmt.Sprintf("%s: superseded: %s", name, web.Line(v.Reason)), recap), isSuperseded)
	}
	return fmt.Errorf("%s: %s", name, v.Reason)
}

// end tells why it ended, and the rollout if it is known.
func (f *follower) end(why, recap string) error {
	if recap == "" {
		return f.view.End(why)
	}
	return f.view.End(why, recap)
}

func orCode(err error, c code) error {
	if err != nil {
		return err
	}
	return c
}
