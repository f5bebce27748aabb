package main

import (
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"windlass/internal/sandbox"
)

func newDemo() *cobra.Command {
	var o sandbox.DemoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Walk a whole local fleet through deploy, failure and rollback, in a minute",
		Long: `Walk a whole local fleet through its first day, a deploy, a release that fails its health check, and a rollback, with constant
traffic through its load balancer, by the commands that you would type. All of it runs on loopback, without root or cloud, and needs
nothing installed but git: a git server, nodes with SSH and a web service, a load balancer with AWS's API, and the agent as it is.

Exit status: 0 when no request failed and every act ended as it should, 1 otherwise.`,
		Example: `  windlass demo
  windlass demo --nodes 8 --keep`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Nodes < 2 {
				return fmt.Errorf("--nodes %d is too few: give 2 to 100, a single node cannot show a rolling release", o.Nodes)
			}
			// A closed terminal and a reader that has seen enough end it as Ctrl-C does: nothing is left behind.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			show, end := viewOptions(cmd.OutOrStdout(), cmd.ErrOrStderr())
			defer end()
			return sandbox.Demo(ctx, o, show)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Nodes, "nodes", 4, "how many nodes the fleet has")
	f.BoolVar(&o.Keep, "keep", false, "leave it running at the end, to play with, until Ctrl-C")
	f.StringVar(&o.Dir, "dir", "", "`directory` to keep everything in (default: a temporary one, removed at the end)")
	f.SortFlags = false
	return configurable(cmd)
}

// newDemoNode is what the demo starts for each of its nodes.
func newDemoNode() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-node",
		Short:  "Be one node of the demo",
		Hidden: true,
		Args:   atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sandbox.RunNode(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
