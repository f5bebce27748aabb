package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"windlass/internal/scaffold"
	"windlass/internal/web"
)

func newInit() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a deploy repo for a fleet of your own",
		Long: `Write a deploy repo into a directory (default: the current one): a fleet file with your names and the comments of the example, its schema
for editors, a README, workflows that check pull requests, alert rules and a dashboard, and settings for the agent. What no flag says
is asked on a terminal. Nothing is replaced: where a file is in the way, nothing is written. It ends with what windlass validate says.

The fleet may serve already. An instance that serves the release, and says so when it is asked, is taken over as it is.

Exit status: 0 written and valid, 1 otherwise.`,
		Example: `  windlass init deploy
  windlass init deploy --yes --name web-live --release v1.4.2 --tags app=web,env=live --group web-live --port 8080 \
    --install 'apt-get install -y "web=$WINDLASS_RELEASE" && systemctl restart web'`,
		Args: atMost(1),
	}
	f := cmd.Flags()
	for _, q := range questions {
		f.String(q.flag, q.usual, q.usage)
	}
	f.BoolVar(&yes, "yes", false, "ask nothing: what no flag says is left at its default")
	f.SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := "."
		if len(args) > 0 {
			dir = args[0]
		}
		answers, err := answered(cmd, yes)
		if err != nil {
			return err
		}
		return initialise(cmd.Context(), dir, answers, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return configurable(cmd)
}

// A question is what init wants to know, by flag or asked.
type question struct {
	flag, usage, prompt, usual string
	optional                   bool // empty is an answer
	set                        func(*scaffold.Answers, string) error
}

// questions are in the order in which they are asked.
var questions = []question{
	{flag: "name", usage: "`name` of the fleet, as web-live", prompt: "Name of the fleet, as web-live",
		set: func(a *scaffold.Answers, s string) error { a.Fleet = s; return nil }},
	{flag: "release", usage: "`release` that its nodes serve today, as v1.4.2", prompt: "Release that its nodes serve today, as v1.4.2",
		set: func(a *scaffold.Answers, s string) error { a.Release = s; return nil }},
	{flag: "tags", usage: "`tags` of its EC2 instances, as app=web,env=live", prompt: "Tags of its EC2 instances, as app=web,env=live",
		set: setTags},
	{flag: "expect", usage: "`number` of nodes there are at least; fewer found, and nothing is drained", prompt: "Number of nodes there are at least (empty: not said)", optional: true,
		set: func(a *scaffold.Answers, s string) error { return setNumber(&a.Expect, s) }},
	{flag: "group", usage: "target `group` of its load balancer, by name or ARN", prompt: "Target group of its load balancer (empty: none)", optional: true,
		set: func(a *scaffold.Answers, s string) error { a.Group = s; return nil }},
	{flag: "port", usage: "`port` on which a node answers /healthz, and its release at /version", prompt: "Port on which a node answers /healthz, and its release at /version", usual: "8080",
		set: func(a *scaffold.Answers, s string) error { return setNumber(&a.Port, s) }},
	{flag: "install", usage: "`command` that makes a node run $WINDLASS_RELEASE; it may run twice", prompt: `Command that makes a node run $WINDLASS_RELEASE, as apt-get install -y "web=$WINDLASS_RELEASE"`,
		set: func(a *scaffold.Answers, s string) error { a.Install = s; return nil }},
	{flag: "ssh-user", usage: "`user` to log in as on its nodes; one that may use sudo without a password", prompt: "User to log in as on its nodes", usual: "deploy",
		set: func(a *scaffold.Answers, s string) error { a.User = s; return nil }},
}

func setTags(a *scaffold.Answers, text string) error {
	a.Tags = map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || key == "" {
			return errors.New("give pairs of name and value, as app=web,env=live")
		}
		if _, twice := a.Tags[key]; twice {
			return fmt.Errorf("%s is there twice", key)
		}
		a.Tags[key] = value
	}
	return nil
}

func setNumber(number *int, text string) (err error) {
	if *number = 0; text == "" {
		return nil
	}
	if *number, err = strconv.Atoi(text); err != nil || *number < 1 {
		return errors.New("give a whole number from 1")
	}
	return nil
}

// check says why an answer cannot be, by a fleet in which all others can.
func (q question) check(text string) error {
	a := scaffold.Usual()
	if err := q.set(&a, text); err != nil {
		return err
	}
	_, err := scaffold.Files(a)
	return err
}

// answered collects the answers from the flags, and from whoever is at the terminal.
func answered(cmd *cobra.Command, yes bool) (answers scaffold.Answers, err error) {
	file, ok := cmd.InOrStdin().(*os.File)
	var asked *asker
	if ok && !yes && term.IsTerminal(int(file.Fd())) {
		asked = newAsker(cmd.InOrStdin(), cmd.OutOrStdout())
	}
	var missing []string
	for _, q := range questions {
		given := cmd.Flags().Lookup(q.flag)
		text := given.Value.String()
		switch {
		case given.Changed || asked == nil && (q.optional || text != ""):
			if err := q.check(text); err != nil && (text != "" || !q.optional) {
				return answers, fmt.Errorf("nothing was written: --%s: %w", q.flag, err)
			}
		case asked == nil:
			missing = append(missing, "--"+q.flag)
			continue
		default:
			if text, err = asked.ask(cmd.Context(), q); err != nil {
				return answers, err
			}
		}
		if err := q.set(&answers, text); err != nil {
			return answers, err
		}
	}
	if len(missing) > 0 {
		why := "they are asked for on a terminal only"
		if yes {
			why = "they have no default, and with --yes nothing is asked"
		}
		return answers, fmt.Errorf("nothing was written: give %s; %s", strings.Join(missing, ", "), why)
	}
	return answers, nil
}

// An asker asks on a terminal.
type asker struct {
	out   io.Writer
	lines chan string // closed at the end of the input
}

// newAsker reads lines until the input ends; whatever reads them is left behind when somebody leaves.
func newAsker(in io.Reader, out io.Writer) *asker {
	a := &asker{out: out, lines: make(chan string)}
	go func() {
		defer close(a.lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			a.lines <- scanner.Text()
		}
	}()
	return a
}

// ask asks until there is an answer that can be. An error says that somebody left.
func (a *asker) ask(ctx context.Context, q question) (string, error) {
	for {
		prompt := q.prompt
		if q.usual != "" {
			prompt += " [" + q.usual + "]"
		}
		fmt.Fprint(a.out, prompt+": ")
		select {
		case <-ctx.Done():
			return "", errors.New("nothing was written")
		case line, more := <-a.lines:
			if !more {
				return "", errors.New("nothing was written: the answers ended early")
			}
			text := strings.TrimSpace(line)
			if text == "" {
				text = q.usual
			}
			err := q.check(text)
			if err == nil || text == "" && q.optional {
				return text, nil
			}
			fmt.Fprintln(a.out, "  "+web.Line(err.Error()))
		}
	}
}

// initialise writes the repo, validates it, and says what comes next.
func initialise(ctx context.Context, dir string, answers scaffold.Answers, stdout, stderr io.Writer) error {
	files, err := scaffold.Files(answers)
	if err != nil {
		return err
	}
	if err := scaffold.Write(dir, files); err != nil {
		return fmt.Errorf("cannot write the deploy repo: %w", err)
	}
	fmt.Fprintf(stdout, "wrote to %s:\n", web.Line(dir))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintln(stdout, "  "+name)
	}
	if err := (validateOptions{}).validate(ctx, dir, stdout, stderr); err != nil {
		return err
	}
	_, err = fmt.Fprint(stdout, nextSteps(dir, answers.Fleet))
	return err
}

// nextSteps are the three that follow, to be pasted into a shell.
func nextSteps(dir, fleet string) string {
	in := shellWord(dir)
	start, push := "git -C "+in+" init -b main && ", "git -C "+in+" remote add origin URL && git -C "+in+" push -u origin main"
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		start, push = "", "git -C "+in+" push"
	}
	return fmt.Sprintf(`next:
  1. look through fleets/%s.yaml, commit, and push to a repository of your own:
     %sgit -C %s add . && git -C %[3]s commit -m %[1]s
     %[4]s
  2. see what the agent would do; it changes nothing:
     windlass plan --repo %[3]s --ssh-key FILE --ssh-known-hosts FILE
  3. put the repository's URL into agent/windlass.yaml, copy that to /etc/windlass/windlass.yaml on the agent's machine, and there:
     windlass run --config /etc/windlass/windlass.yaml
`, fleet, start, in, push)
}

// shellWord quotes text for a shell where it is not plain.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/-+", r))
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
