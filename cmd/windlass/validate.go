package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/internal/forge"
	"windlass/internal/notify"
	"windlass/internal/web"
)

const head = "HEAD"

func newValidate() *cobra.Command {
	var o validateOptions
	cmd := &cobra.Command{
		Use:   "validate [DIR]",
		Short: "Check a deploy repo's working tree, for its CI",
		Long: `Check the fleet files of a deploy repo's working tree (default: the current directory), and all they refer to. Every error of
every file is told, one per line, as file:line:column: what is wrong. Those in trust/, which say who may sign, are among them.

In a git repository it also names each fleet that the changes since a commit roll, and the files that do it: a base or a
template may reach further than meant. Without --against that commit is HEAD, and nothing is said where there is none.

With --online it asks what the agent will ask before it starts a release: whether its tag is there, on the branch, signed, and its checks green (source:). What is
not there yet is a warning. Without --online no server is asked anything.

With --notify, the agent's file of channels, it warns of channels that fleets name under notify and that are not there.

Exit status: 0 all is well, 1 something is wrong. Warnings change nothing about it.`,
		Example: `  windlass validate
  windlass validate path/to/deploy-repo --against origin/main
  windlass validate --online --forges ~/forges.yaml`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return o.validate(cmd.Context(), dir, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.against, "against", "", "`revision` to name the changes since: a branch, a tag, a commit (default HEAD)")
	cmd.Flags().StringVar(&o.notified, "notify", "", "`file` with the agent's channels, to compare with")
	cmd.Flags().BoolVar(&o.online, "online", false, "ask the servers that releases come from what the agent will ask before it starts them")
	cmd.Flags().StringVar(&o.forges, "forges", "", "`file` that says which host is a GitHub, a GitLab or a Gitea, and whose token is used there, to read checks with --online")
	cmd.Flags().StringVar(&o.git.gitSSHKey, "git-ssh-key", "", "private key `file` for the repositories of releases over ssh, with --online (default: the ssh agent)")
	cmd.Flags().StringVar(&o.git.gitKnownHosts, "git-known-hosts", "", "known_hosts `file` for the repositories of releases over ssh, with --online (default: ~/.ssh/known_hosts)")
	return configurable(cmd)
}

// validateOptions are the flags of validate.
type validateOptions struct {
	against, notified string
	online            bool
	forges            string
	git               agentOptions // how servers of source code are reached
}

func (o validateOptions) validate(ctx context.Context, dir string, stdout, stderr io.Writer) error {
	against := o.against
	files, closer, err := desired.Dir(dir)
	if err != nil {
		return err
	}
	defer closer.Close() // only read from
	if _, err := fs.Stat(files, "fleets"); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no directory fleets: name the directory of the deploy repo that holds it", dir)
	}
	tree, err := desired.Load(files)
	if err != nil {
		return fmt.Errorf("cannot read deploy repo %s: %w", dir, err)
	}
	unknown, err := unknownChannels(o.notified, tree)
	if err != nil {
		return err
	}
	tellWarnings(append(tree.Warnings, unknown...), stderr)
	tellRejected(tree.Rejected, stderr)
	wrong, err := o.releases(ctx, tree, stdout, stderr)
	if err != nil {
		return err
	}
	unsure := checkSigners(files, stderr)
	switch err := tellRolls(dir, cmp.Or(against, head), files, tree, stdout); {
	case err == nil, against == "" && errors.Is(err, fs.ErrNotExist):
	case against == "": // nobody asked for it
		fmt.Fprintln(stderr, "windlass: "+web.Line(fmt.Sprintf("cannot tell what rolls since %s: %v", head, err)))
	default:
		return err
	}
	if len(tree.Rejected) > 0 || wrong || unsure {
		return code(1)
	}
	_, err = fmt.Fprintf(stdout, "%s valid\n", counted(len(tree.Fleets), "fleet"))
	return err
}

// releases tells whether the releases that fleets want are as they demand, if that is to be asked.
func (o validateOptions) releases(ctx context.Context, tree desired.Tree, stdout, stderr io.Writer) (wrong bool, err error) {
	if !o.online {
		return false, nil
	}
	hosts, err := forge.Read(o.forges)
	if err != nil {
		return false, err
	}
	return tellReleases(ctx, tree, newReleases(o.git.gitOptions(""), hosts, 0), stdout, stderr), nil
}

// unknownChannels warns of channels that fleets name and that are not in the agent's file; none is given: of none.
func unknownChannels(path string, tree desired.Tree) (warnings []desired.Error, err error) {
	if path == "" {
		return nil, nil
	}
	file, err := notify.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("cannot use --notify %s: %w", path, err)
	}
	for _, name := range sortedNames(tree.Fleets) {
		fleet := tree.Fleets[name]
		for _, says := range file.Unknown(fleet.Notify) {
			warnings = append(warnings, desired.Error{Position: desired.Position{File: fleet.Path}, Message: says})
		}
	}
	return warnings, nil
}

func tellWarnings(warnings []desired.Error, stderr io.Writer) {
	for _, warning := range warnings {
		fmt.Fprintln(stderr, web.Line(fmt.Sprintf("%s: warning: %s", warning.Position, warning.Message)))
	}
}

// tellRejected writes a line for each error.
func tellRejected(rejected map[string]desired.Rejection, stderr io.Writer) {
	for _, name := range sortedNames(rejected) {
		for _, err := range rejected[name].Errors {
			fmt.Fprintln(stderr, web.Line(err.Error()))
		}
	}
}

// tellRolls names the fleets that the changes since a commit roll, and the changed files of each.
func tellRolls(dir, revision string, files fs.FS, tree desired.Tree, stdout io.Writer) error {
	was, err := gitrepo.Committed(dir, revision)
	if err != nil {
		return err
	}
	before, err := desired.Load(was)
	if err != nil {
		return fmt.Errorf("cannot read the fleets of %s: %w", revision, err)
	}
	for _, fleet := range sortedNames(before.Fleets) {
		_, broken := tree.Rejected[fleet]
		_, unnamed := tree.Rejected[before.Fleets[fleet].Path]
		if tree.Fleets[fleet] == nil && !broken && !unnamed {
			fmt.Fprintf(stdout, "gone since %s: fleet %s is let go; its nodes keep what they have\n", revision, fleet)
		}
	}
	for _, fleet := range desired.Affected(before, tree) {
		if before.Fleets[fleet] == nil {
			fmt.Fprintf(stdout, "new since %s: fleet %s\n", revision, fleet)
			continue
		}
		fmt.Fprintf(stdout, "changed since %s: fleet %s rolls (%s)\n", revision, fleet, web.Line(strings.Join(desired.ChangedFiles(fleet, tree, was, files), ", ")))
	}
	return nil
}

// counted is a number with its noun, in the plural unless it is one.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
