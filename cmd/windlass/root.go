package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"windlass/desired"
	"windlass/internal/redact"
)

// A code is an exit code that is no trouble, or whose trouble is told already: nothing is said on standard error.
type code int

func (c code) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// exitCode tells people what went wrong, on one line, and the shell that it did.
func exitCode(err error, stderr io.Writer) int {
	var known code
	switch {
	case err == nil:
		return 0
	case errors.As(err, &known):
		return int(known)
	}
	fmt.Fprintln(stderr, "windlass: "+redact.Line(err.Error()))
	return 1
}

// run is the command as a function of its arguments. It returns when it is done or soon after ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "windlass",
		Short: "Takes a release from a git commit to every node behind the load balancer, one node at a time",
		Example: `  windlass demo                                               # see it work on this machine, in a minute
  windlass init deploy                                        # a deploy repo with your names
  windlass up web-live                                        # its fleet on this machine, before anything is committed
  windlass validate path/to/deploy-repo                       # in the deploy repo's CI
  windlass plan --repo https://git.example.com/ops/deploy     # what would happen now, and why not more
  windlass run  --repo https://git.example.com/ops/deploy     # the agent
  windlass deploy web-live v1.4.3                             # commit a release, push it, and follow it
  windlass rollback web-live                                  # take it back
  windlass status --watch                                     # what the agent on this machine is doing
  windlass history web-live                                   # and what it has done`,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Version:       thisBuild().String(), // for --version, which people try first
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(explainFlag)
	root.SetVersionTemplate("{{.Version}}")
	root.SetHelpCommand(newHelp())
	root.AddCommand(newRun(), newPlan(), newValidate(), newStatus(), newDeploy(), newRollback(), newFollow(), newHistory(), newDiff(), newDemo(), newUp(), newInit(), newSchema(), newVersion(), newDemoNode(), newCage(), newManual())
	return root
}

// knownCommand refuses what is no command, and names the one that was likely meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return fmt.Errorf("there is no command %q%s; see windlass --help", args[0], didYouMean("", args[0], names))
}

// newHelp is cobra's, but that it refuses what is no command.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			of, unknown, err := cmd.Root().Find(args)
			if err == nil {
				err = knownCommand(cmd.Root(), unknown)
			}
			if err != nil {
				return err
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// atMost refuses more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch path := cmd.CommandPath(); {
		case len(args) <= n:
			return nil
		case n == 0:
			return fmt.Errorf("%s takes no argument, not %q; see %[1]s --help", path, args[0])
		default:
			return fmt.Errorf("%s takes at most %s, not %d; see %[1]s --help", path, counted(n, "argument"), len(args))
		}
	}
}

// explainFlag names the flag that was likely meant by an unknown one, and where to read on.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	suggestion := ""
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		suggestion = didYouMean("--", unknown.GetSpecifiedName(), names)
	}
	return fmt.Errorf("%w%s; see %s --help", plainly(err), suggestion, cmd.CommandPath())
}

// plainly says of a value that a flag cannot take what it can.
func plainly(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	wanted := map[string]string{
		"duration": "a duration, as in 300ms, 15s or 5m",
		"int":      "a whole number",
		"bool":     "true or false",
	}[invalid.GetFlag().Value.Type()]
	return fmt.Errorf("--%s %q cannot be: give %s", invalid.GetFlag().Name, invalid.GetValue(), wanted)
}

func didYouMean(prefix, word string, known []string) string {
	if near := desired.Nearest(word, known); near != "" {
		return "; did you mean " + prefix + near + "?"
	}
	return ""
}
