package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"windlass/internal/web"
)

// planPatience is how long an agent may take to plan a branch: a little longer than it takes at the most.
const planPatience = 60 * time.Second

// planOptions are the flags of plan: of one that is made here, and of one that an agent makes.
type planOptions struct {
	here   agentOptions
	agent  agentAddress
	format string

	typed []string // flags of the command line, sorted
}

// The flags that only one of the two takes; --branch is both's.
var (
	onlyHere = []string{
		"repo", "path", "interval", "refresh", "ssh-key", "ssh-known-hosts", "git-ssh-key", "git-known-hosts", "git-token-file", "state-dir", "forges",
	}
	onlyAsking = []string{"server", "ca-file", "cert-file", "key-file", "user", "password-file", "format"}
)

func (o *planOptions) define(cmd *cobra.Command) {
	o.here.shared(cmd)
	cmd.Flags().StringVar(&o.here.forges, "forges", "", "`file` that says which host is a GitHub, a GitLab or a Gitea, and whose token is used there, to read the checks of releases")
	o.agent.define(cmd)
	f := cmd.Flags()
	f.Lookup("branch").Usage = "branch to follow, or to have planned by the agent"
	f.Lookup("server").DefValue, o.agent.server = "", ""
	f.Lookup("server").Usage = "`URL` of an agent's --listen address, which then makes the plan"
	f.StringVar(&o.format, "format", "text", "of an agent's plan: text, markdown or json")
}

// remember notes which flags were typed, before the environment and --config add theirs.
func (o *planOptions) remember(cmd *cobra.Command) *cobra.Command {
	complete := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		cmd.Flags().Visit(func(f *pflag.Flag) { o.typed = append(o.typed, f.Name) }) // in their order
		return complete(cmd, args)
	}
	return cmd
}

// asks reports whether an agent is to make the plan. What is typed says so; else a repo that is named is planned here.
func (o *planOptions) asks() (bool, error) {
	here, asking := o.firstTyped(onlyHere), o.firstTyped(onlyAsking)
	switch {
	case here != "" && asking != "":
		return false, fmt.Errorf("--%s is for a plan that is made here, --%s for one that an agent makes: leave one of them out", here, asking)
	case asking != "" && o.agent.server == "":
		return false, fmt.Errorf("--%s is for a plan that an agent makes: name it with --server", asking)
	case o.format != "text" && o.format != "markdown" && o.format != "json":
		return false, fmt.Errorf("--format %q is unknown: give text, markdown or json", o.format)
	}
	return asking != "" || here == "" && o.here.repo == "" && o.agent.server != "", nil
}

func (o *planOptions) firstTyped(of []string) string {
	for _, flag := range o.typed {
		if slices.Contains(of, flag) {
			return flag
		}
	}
	return ""
}

// planBranch shows what an agent would do if a branch were merged.
func planBranch(ctx context.Context, o planOptions, stdout, stderr io.Writer) error {
	c, err := newClient(o.agent)
	if err != nil {
		return err
	}
	defer c.close()
	p, err := c.proposal(ctx, o.here.branch)
	if err != nil {
		return err
	}
	switch o.format {
	case "json":
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(p)
	case "markdown":
		_, err = io.WriteString(stdout, web.ProposalMarkdown(p))
	default:
		err = web.ProposalText(stdout, p, terminalOf(stdout))
	}
	switch {
	case err != nil:
		return err
	case p.Troubled():
		tellTrouble(p, stderr)
		return code(1)
	case p.Pending():
		return changesPending
	case o.format == "text":
		_, err = fmt.Fprint(stdout, "\nnothing to do\n")
	}
	return err
}

// tellTrouble says why the exit status is 1, a line each.
func tellTrouble(p web.Proposal, stderr io.Writer) {
	var lines []string
	if p.Problem != "" {
		lines = append(lines, fmt.Sprintf("branch %s cannot be planned: %s", p.Branch, p.Problem))
	}
	for _, f := range p.Fleets {
		lines = append(lines, f.Errors...)
		if f.Unknown != "" {
			lines = append(lines, fmt.Sprintf("fleet %s: nothing could be foreseen: %s", f.Name, f.Unknown))
		}
	}
	for _, l := range lines {
		fmt.Fprintln(stderr, "windlass: "+web.Line(l))
	}
}

// proposal asks what would be done if a branch were merged.
func (c *client) proposal(ctx context.Context, branch string) (p web.Proposal, err error) {
	ctx, cancel := context.WithTimeout(ctx, planPatience)
	defer cancel()
	c.http.Transport.(*http.Transport).ResponseHeaderTimeout = planPatience
	body, err := c.open(ctx, "/api/v1/plan?branch="+url.QueryEscape(branch))
	var no *refusal
	switch {
	case errors.As(err, &no) && no.code == http.StatusNotFound && !strings.Contains(no.said, "branch"):
		return p, no.older("plans no branches")
	case errors.As(err, &no):
		return p, errors.New(cmp.Or(no.said, no.Error()))
	case err != nil:
		return p, err
	}
	defer body.Close() // only read from
	if err := json.NewDecoder(io.LimitReader(body, mostAnswer)).Decode(&p); err != nil {
		return p, fmt.Errorf("the answer of %s is not windlass's: %w; is another program there? name the agent with --server", c.server.Redacted(), err)
	}
	return p, nil
}
