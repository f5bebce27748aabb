package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/internal/clone"
	"windlass/internal/follow"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

type deployOptions struct {
	repo, branch, path    string
	message               string
	at                    agentAddress
	inBase, yes, noFollow bool
	timeout               time.Duration
	pr                    bool
	forges                string
	author                string // of the commit, where there is no clone; and so on
	gitTokenFile          string
	gitSSHKey             string
	gitKnownHosts         string
	from                  string // the fleet that says the release; empty: it is named
}

func newDeploy() *cobra.Command {
	var o deployOptions
	cmd := &cobra.Command{
		Use:   "deploy FLEET (RELEASE | --from FLEET)",
		Short: "Commit a release for a fleet, push it, and follow it to its end",
		Long: `Commit a release for a fleet, push it, and follow it to its end. In a clone of the deploy repo this changes the release: line of the
fleet's file and nothing else, on top of what the remote's branch has now. Your index, work tree, branch and uncommitted changes stay as
they are. It is done by your own git, with your name, your signature and your pre-push hook; hooks for committing do not run. Where
the deploy repo says in trust/ who may sign, a commit that they have not signed is not pushed.

Before anything is committed, the agent says what it would do, and you are asked. Where the fleet demands something of its releases (source:), that
is looked at first: a release that would not start is not pushed, and one that would wait is, with a note. Checks are read with --forges.

With --from the release is the one that every node of another fleet has proven, as the agent says: web-staging's, say, for web-live.
Where that fleet is halted, on its way or short of nodes, nothing is pushed.

` + endings,
		Example: `  windlass deploy web-live v1.4.3
  windlass deploy web-live --from web-staging                 # what is proven there
  windlass deploy web-live v1.4.3 --yes --timeout 1h          # in a pipeline
  windlass deploy web-live v1.4.3 --yes --repo https://git.example.com/ops/deploy --git-token-file token --author 'CI <ci@example.com>'
  windlass deploy web-live v1.4.3 --pr --forges ~/forges.yaml # ask for it in a pull request
  windlass deploy web-live v1.4.3 --message 'web: urgent fix' --no-follow`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly("a fleet")(cmd, args)
			}
			return atMost(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d := newDeployment(o, args[0], cmd)
			if err := d.takeRelease(args[1:], cmd.CommandPath()); err != nil {
				return err
			}
			d.prepare, d.judges = d.change, true
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&o.from, "from", "", "`fleet` that has proven the release, in place of its name")
	o.define(cmd)
	completes(cmd, &o.at, true)
	completesFrom(cmd, &o.at)
	cmd.Flags().BoolVar(&o.inBase, "in-base", false, "change the release where a base says it, for every fleet that has it from there")
	return configurable(cmd)
}

// define defines the flags of commands that commit, push and follow.
func (o *deployOptions) define(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.repo, "repo", ".", "`directory` of a clone of the deploy repo, or the repo's URL: it is cloned into memory then")
	f.StringVar(&o.branch, "branch", "", "branch to push to (default: the one that the agent follows)")
	f.StringVar(&o.path, "path", "", "`directory` of the repo that fleets/ is in (default: what the agent says)")
	f.StringVar(&o.message, "message", "", "of the commit (default: what was changed)")
	f.StringVar(&o.author, "author", "", "who commits, as 'Name <address>', where --repo is a URL (default: GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL); a clone's git knows")
	gitCredentials(f, &o.gitSSHKey, &o.gitKnownHosts, &o.gitTokenFile)
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	o.at.define(cmd)
	f.BoolVar(&o.noFollow, "no-follow", false, "end after the push")
	f.BoolVar(&o.pr, "pr", false, "push to a branch of its own, open a pull request for it, and end: needs --forges")
	f.StringVar(&o.forges, "forges", "", "`file` that says which host is a GitHub, a GitLab or a Gitea, and whose token is used there")
	f.DurationVar(&o.timeout, "timeout", 0, "how long to follow at most (default: to the end)")
	f.Lookup("timeout").DefValue = "0"
	f.SortFlags = false
}

// A deployment is one run of the command.
type deployment struct {
	deployOptions
	fleet, release string
	in             io.Reader
	out, stderr    io.Writer

	proof   proof // of the release; zero: it was named
	clone   checkout
	agent   *client
	judges  bool                                                  // what its fleets demand of the release is asked before
	prepare func(ctx context.Context, tip string) (change, error) // what is committed on top of a commit
}

func newDeployment(o deployOptions, fleet string, cmd *cobra.Command) *deployment {
	return &deployment{deployOptions: o, fleet: fleet, in: cmd.InOrStdin(), out: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
}

// takeRelease takes the release that is named, unless a fleet is to say it.
func (d *deployment) takeRelease(named []string, command string) error {
	switch {
	case d.from == d.fleet:
		return fmt.Errorf("--from %s is the fleet that is deployed: name the one that has proven the release", d.from)
	case d.from != "" && len(named) > 0:
		return fmt.Errorf("release %s and --from %s are two answers to one question: give one of them", named[0], d.from)
	case d.from != "":
		return nil
	case len(named) == 0:
		return fmt.Errorf("name a release, or with --from a fleet that has proven one; see %s --help", command)
	}
	d.release = named[0]
	return desired.CheckRelease(d.release)
}

func (d *deployment) run(ctx context.Context) (err error) {
	if d.pr && d.forges == "" {
		return errors.New("--pr needs to know the forge: give --forges FILE, which says of each host its kind (github, gitlab or gitea) and which file has the token")
	}
	if d.agent, err = newClient(d.at); err != nil {
		return err
	}
	defer d.agent.close()
	if err := d.aim(ctx); err != nil {
		return err
	}
	if d.from != "" {
		if d.proof, err = d.agent.proven(ctx, d.from); err != nil {
			return fmt.Errorf("nothing was pushed: %w", err)
		}
		d.release = d.proof.release
	}
	if d.path = path.Clean(d.path); !fs.ValidPath(d.path) {
		return fmt.Errorf("--path %s is not inside the deploy repo: name a directory relative to its root", d.path)
	}
	done, err := d.reach(ctx)
	if err != nil {
		return err
	}
	defer done()
	tip, err := d.clone.Fetch(ctx, d.branch)
	if err != nil {
		return err
	}
	c, err := d.prepare(ctx, tip)
	if err != nil {
		return err
	}
	commit, err := d.deploy(ctx, c)
	if err != nil || d.noFollow || d.pr {
		return err
	}
	return d.follow(ctx, commit)
}

// aim asks the agent which branch it follows, and where in it: nobody would take what is pushed to another.
func (d *deployment) aim(ctx context.Context) error {
	var repo web.Repo
	if err := d.agent.get(ctx, "/api/v1/repo", &repo); err != nil {
		return err
	}
	if d.branch != "" && repo.Branch != "" && d.branch != repo.Branch {
		return fmt.Errorf("the agent follows branch %s, and would not see what is pushed to %s: leave --branch out", web.Line(repo.Branch), d.branch)
	}
	d.branch, d.path = cmp.Or(d.branch, repo.Branch, gitrepo.DefaultBranch), cmp.Or(d.path, repo.Path, gitrepo.DefaultPath)
	return nil
}

// deploy returns the commit that wants the release: a new one when somebody agrees to it.
func (d *deployment) deploy(ctx context.Context, c change) (string, error) {
	if c.nothing {
		_, err := fmt.Fprintf(d.out, "%s of branch %s wants %s already; nothing is pushed\n", web.Line(c.holder), d.branch, d.release)
		return c.parent, err
	}
	f, err := d.agent.forecast(ctx, d.fleet, d.release)
	if err != nil {
		return "", err
	}
	d.tell(d.out, c, f)
	if f.Phase == plan.PhaseHalted && len(f.Nodes) == 0 {
		return "", fmt.Errorf("nothing was pushed, as nothing would come of it: %s", web.Line(f.Reason))
	}
	if d.judges {
		if err := d.admit(ctx, c); err != nil {
			return "", err
		}
	}
	if d.pr {
		return "", d.request(ctx, c, f)
	}
	if err := d.agree(ctx, "Deploy?"); err != nil {
		return "", err
	}
	return d.push(ctx, c)
}

// tell tells what is about to be committed, and what the agent would do.
func (d *deployment) tell(out io.Writer, c change, f web.Forecast) {
	fmt.Fprintf(out, "%s: %s → %s\n", d.fleet, web.Line(c.was), d.release)
	if d.from != "" {
		fmt.Fprintf(out, "  from      %s\n", d.proof)
	}
	for _, fleet := range c.rolls {
		if fleet != d.fleet {
			fmt.Fprintf(out, "  as well   fleet %s, which has its release from %s\n", web.Line(fleet), web.Line(c.holder))
		}
	}
	for _, u := range c.undone {
		fmt.Fprintf(out, "  undoes    %.7s %s (%s)\n", u.Hash, web.Line(u.Subject), web.Line(u.Author))
	}
	if f.Revision != c.parent {
		fmt.Fprintf(out, "  note      the agent is at commit %.7s, the branch at %.7s\n", web.Line(f.Revision), c.parent)
	}
	switch {
	case len(f.Nodes) > 0:
		fmt.Fprintf(out, "  nodes     %s\n", inOrder(f))
		fmt.Fprintf(out, "  capacity  at least %d of %d in service, floor %d (maxUnavailable %s)\n", f.Lowest, f.Size, f.Floor, web.Line(f.MaxUnavailable))
	default:
		fmt.Fprintf(out, "  nodes     none for now: the fleet would be %s, %s\n", web.Line(string(f.Phase)), web.Line(f.Reason))
	}
	if f.Expected != nil {
		fmt.Fprintf(out, "  expected  %s\n", web.Line(f.Expected.Says))
	}
}

// inOrder names the nodes that would be visited, the first ones by name.
func inOrder(f web.Forecast) string {
	const shown = 8
	nodes := make([]string, 0, shown)
	for _, n := range f.Nodes[:min(shown, len(f.Nodes))] {
		nodes = append(nodes, web.Line(n))
	}
	text := strings.Join(nodes, ", ")
	if more := len(f.Nodes) + f.Left - len(nodes); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// onTerminal reports whether somebody can be asked.
func (d *deployment) onTerminal() bool {
	file, ok := d.in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// agree asks whether to go on. Anything but yes is no.
func (d *deployment) agree(ctx context.Context, question string) error {
	switch {
	case d.yes:
		return nil
	case !d.onTerminal():
		return errors.New("nothing was pushed: there is no terminal to ask on; give --yes")
	}
	fmt.Fprint(d.out, question+" [y/N] ")
	if answer := answerOf(ctx, d.in); answer != "y" && answer != "yes" {
		return errors.New("nothing was pushed")
	}
	return nil
}

// answerOf is what somebody types, in small letters, or empty when they leave. Whatever reads for them is left behind then.
func answerOf(ctx context.Context, in io.Reader) string {
	typed := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(in).ReadString('\n')
		typed <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case answer := <-typed:
		return answer
	case <-ctx.Done():
		return ""
	}
}

// mostRaces is how often a commit is made anew since others were faster.
const mostRaces = 5

// push commits the change and pushes it, on top of whatever others push meanwhile, unless they change the same.
func (d *deployment) push(ctx context.Context, c change) (string, error) {
	for range mostRaces {
		commit, err := d.commit(ctx, c)
		if err != nil {
			return "", err
		}
		switch err := d.clone.Push(ctx, commit, c.parent, d.branch); {
		case err == nil:
			_, err := fmt.Fprintf(d.out, "pushed commit %.7s to branch %s\n", commit, d.branch)
			return commit, err
		case !errors.Is(err, clone.ErrMoved):
			return "", orRequest(err)
		}
		if c, err = d.again(ctx, c); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("others pushed to branch %s %d times meanwhile; try again", d.branch, mostRaces)
}

// orRequest says of a push that the remote declined what else can be done: a protected branch is one that only pull requests change.
func orRequest(err error) error {
	if text := err.Error(); strings.Contains(text, "protected") || strings.Contains(text, "declined") {
		return fmt.Errorf("%w; where only pull requests may change the branch, give --pr", err)
	}
	return err
}

func (d *deployment) commit(ctx context.Context, c change) (string, error) {
	made, err := c.made, error(nil)
	if made == "" {
		made, err = d.clone.Commit(ctx, clone.Change{Parent: c.parent, Message: d.subject(c), Files: map[string][]byte{c.inRepo: c.text}})
	}
	if err != nil {
		return "", err
	}
	return made, d.verifies(ctx, c.parent, made)
}

func (d *deployment) subject(c change) string {
	if strings.TrimSpace(d.message) != "" {
		return d.message
	}
	if d.from != "" {
		return fmt.Sprintf("%s: %s from %s (was %s)", d.fleet, d.release, d.from, c.was)
	}
	return fmt.Sprintf("%s: %s (was %s)", d.fleet, d.release, c.was)
}

// again prepares the same change on top of what others pushed. It stops when they touched what it is about.
func (d *deployment) again(ctx context.Context, before change) (change, error) {
	tip, err := d.clone.Fetch(ctx, d.branch)
	if err != nil {
		return change{}, err
	}
	c, err := d.prepare(ctx, tip)
	if err != nil {
		return change{}, err
	}
	for file, text := range before.about {
		if c.about[file] == text {
			continue
		}
		by, err := d.clone.Newest(ctx, before.parent, tip, d.inRepo(file))
		if err != nil {
			return change{}, err
		}
		if by == "" {
			by = "the branch was set back"
		}
		return change{}, fmt.Errorf("nothing was pushed: somebody changed %s meanwhile (%s), which wants %s now; look at it, then deploy again", file, by, c.was)
	}
	if !slices.Equal(c.rolls, before.rolls) {
		return change{}, fmt.Errorf("nothing was pushed: it would roll %s now, since others pushed meanwhile; deploy again", strings.Join(c.rolls, ", "))
	}
	return c, nil
}

func (d *deployment) follow(ctx context.Context, commit string) error {
	asking, end := context.WithCancel(ctx)
	if d.timeout > 0 {
		asking, end = context.WithTimeout(ctx, d.timeout) // a remote that says nothing is not waited for any longer
	}
	defer end()
	contains := remembered(func(newer string) (bool, error) { return d.clone.Contains(asking, d.branch, newer, commit) })
	aim := follow.Aim{Fleet: d.fleet, Revision: commit, Release: d.release, Contains: contains}
	return newFollower(d.agent, aim, d.timeout, d.out, d.stderr).run(ctx)
}

// remembered asks once of each revision, and of one that could not be told again after a while: an agent may tell of it at every turn.
func remembered(ask func(revision string) (bool, error)) func(revision string) bool {
	const again = 15 * time.Second
	known, failed := map[string]bool{}, map[string]time.Time{}
	return func(revision string) bool {
		in, told := known[revision]
		if at, tried := failed[revision]; told || tried && time.Since(at) < again {
			return in
		}
		in, err := ask(revision)
		if err != nil {
			failed[revision] = time.Now()
			return false
		}
		known[revision] = in
		return in
	}
}
