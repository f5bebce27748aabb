package main

import (
	"fmt"
	"io/fs"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/internal/mirror"
	"windlass/internal/sandbox"
)

func newUp() *cobra.Command {
	var o sandbox.UpOptions
	cmd := &cobra.Command{
		Use:   "up [FLEET]",
		Short: "Run a fleet of a deploy repo on this machine, and roll it again at each saved file",
		Long: `Run a fleet of a deploy repo on this machine, with its files, steps, checks and load balancers, as they are saved, committed or not.
A saved file rolls it again; a broken one is told, and nothing else happens. FLEET may be left out where there is one.

Each node is a cage: what runs in it sees nothing of your files, environment, processes, credentials and network, and what it
writes is thrown away. That takes Linux with user namespaces; where no cage can be had, nothing is run.
What is different from production, and what cannot be had here, is listed first.

With --rehearse, what is not committed yet is rolled once for each of the usual misfortunes, each time on a fleet of its own that has what
is committed, with constant traffic: a check that fails on the first node, a node that is lost in mid-step, an agent that is
killed, a balancer that throttles. It tells whether service held, and what the fleet did.

Exit status: 0 ended by Ctrl-C, or service held in every rehearsal; 1 otherwise.`,
		Example: `  windlass up                         # in a clone of the deploy repo
  windlass up web-live --nodes 2
  windlass up web-live --rehearse     # before a commit`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Fleet = args[0]
			}
			if cmd.Flags().Changed("nodes") && (o.Nodes < 1 || o.Nodes > 100) {
				return fmt.Errorf("--nodes %d cannot be: give 1 to 100", o.Nodes)
			}
			o.Committed = func() (fs.FS, error) { return gitrepo.Committed(o.Dir, head) }
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			show, end := viewOptions(cmd.OutOrStdout(), cmd.ErrOrStderr())
			defer end()
			return sandbox.Up(ctx, o, show)
		},
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return fleetsIn(o.Dir, typed), cobra.ShellCompDirectiveNoFileComp
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "repo", ".", "`directory` of the deploy repo")
	f.IntVar(&o.Nodes, "nodes", 0, fmt.Sprintf("how many nodes the fleet has here (default: as many as it expects, at most %d)", mirror.MostNodes))
	f.BoolVar(&o.Network, "network", false, "let nodes fetch over http and https from public addresses, never from nodes that the deploy repo names")
	f.BoolVar(&o.Rehearse, "rehearse", false, "have misfortunes strike a rollout of what is not committed yet, and end")
	f.SortFlags = false
	return configurable(cmd)
}

// fleetsIn names the fleets of a deploy repo's directory that begin so.
func fleetsIn(dir, typed string) []string {
	files, closer, err := desired.Dir(dir)
	if err != nil {
		return nil
	}
	defer closer.Close() // only read from
	tree, err := desired.Load(files)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(sortedNames(tree.Fleets), func(name string) bool { return !strings.HasPrefix(name, typed) })
}

// newCage is what runs in a cage, and what makes one.
func newCage() *cobra.Command {
	return &cobra.Command{
		Use:    "cage",
		Short:  "Be a cage, or what runs in one",
		Hidden: true,
		Args:   atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sandbox.RunCaged(cmd.Context(), args)
		},
	}
}
