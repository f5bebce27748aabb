package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"windlass/desired/gitrepo"
)

// Bounds of the pace. They keep a slip of the pen from hammering a git server, an API or nodes.
const (
	leastInterval = 100 * time.Millisecond
	leastRefresh  = time.Second
)

// agentOptions are the flags of run and plan.
type agentOptions struct {
	repo, branch, path         string
	interval, refresh          time.Duration
	gateInterval               time.Duration // of run only
	sshKey, sshKnownHosts      string
	gitSSHKey, gitKnownHosts   string
	gitTokenFile               string
	verify, trust              string
	stateDir                   string
	forges                     string
	listen, logFormat, accepts string // of run only
	webConfig, notify          string // as well
	webhookListen              string // and these
	webhookSecretFile          string
}

// shared defines the flags that run and plan have in common.
func (o *agentOptions) shared(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.repo, "repo", "", "`URL` of the deploy repo: https://, ssh://, user@host:path, file:// or a path")
	f.StringVar(&o.branch, "branch", gitrepo.DefaultBranch, "branch to follow")
	f.StringVar(&o.path, "path", gitrepo.DefaultPath, "`directory` of the repo that fleets/ is in")
	f.DurationVar(&o.interval, "interval", 15*time.Second, "how often git, the node set and the load balancers are read when nothing moves")
	f.DurationVar(&o.refresh, "refresh", 5*time.Minute, "how often records and checks of idle nodes are read again, spread evenly")
	f.StringVar(&o.sshKey, "ssh-key", "", "private key `file` for the nodes (default: the ssh agent at SSH_AUTH_SOCK)")
	f.StringVar(&o.sshKnownHosts, "ssh-known-hosts", "", "known_hosts `file` for the nodes (default: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts)")
	gitCredentials(f, &o.gitSSHKey, &o.gitKnownHosts, &o.gitTokenFile)
	f.StringVar(&o.verify, "verify", gitrepo.VerifyNone, "none, or signed: put only commits of the deploy repo in force that are signed by who may sign")
	f.StringVar(&o.trust, "trust", "", "`directory` with allowed_signers, keyring.asc or both, which say who may sign commits in place of the deploy repo's trust/: for --verify signed")
	f.StringVar(&o.stateDir, "state-dir", "", "`directory` of this agent's own (default: /var/lib/windlass for root, else ~/.local/state/windlass)")
	f.Lookup("refresh").DefValue = "5m" // as people write it
	f.SortFlags = false
}

// gitCredentials defines the flags that say how the deploy repo's server is reached.
func gitCredentials(f *pflag.FlagSet, sshKey, knownHosts, tokenFile *string) {
	f.StringVar(sshKey, "git-ssh-key", "", "private key `file` for the deploy repo over ssh (default: the ssh agent)")
	f.StringVar(knownHosts, "git-known-hosts", "", "known_hosts `file` for the deploy repo over ssh (default: ~/.ssh/known_hosts)")
	f.StringVar(tokenFile, "git-token-file", "", "`file` with the token or password for the deploy repo over https")
}

// check completes the options, and refuses what cannot work before anything is opened.
func (o *agentOptions) check() error {
	switch {
	case o.repo == "":
		return fmt.Errorf("no deploy repo is named: give its URL with --repo, WINDLASS_REPO, or repo in the file of --config")
	case o.interval < leastInterval:
		return fmt.Errorf("--interval %v is too short: give at least %v", o.interval, leastInterval)
	case o.refresh < leastRefresh:
		return fmt.Errorf("--refresh %v is too short: give at least %v", o.refresh, leastRefresh)
	case o.logFormat != "" && o.logFormat != "text" && o.logFormat != "json":
		return fmt.Errorf("--log-format %q is unknown: give text or json", o.logFormat)
	case o.webhookListen != "" && o.webhookSecretFile == "":
		return fmt.Errorf("--webhook-listen without a secret would listen to anybody: give --webhook-secret-file")
	case o.webhookListen == "" && o.webhookSecretFile != "":
		return fmt.Errorf("give --webhook-listen as well: nothing else reads --webhook-secret-file")
	}
	for _, file := range []struct{ flag, path string }{
		{"ssh-key", o.sshKey}, {"ssh-known-hosts", o.sshKnownHosts}, {"git-ssh-key", o.gitSSHKey}, {"git-known-hosts", o.gitKnownHosts},
		{"git-token-file", o.gitTokenFile}, {"web-config", o.webConfig}, {"forges", o.forges}, {"notify", o.notify},
		{"webhook-secret-file", o.webhookSecretFile},
	} {
		if err := readable(file.path); err != nil {
			return fmt.Errorf("%w; correct --%s", err, file.flag)
		}
	}
	return o.completeStateDir()
}

func readable(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() // only looked at
	if info, err := file.Stat(); err != nil || !info.IsDir() {
		return err
	}
	return fmt.Errorf("%s is a directory", path)
}

func (o *agentOptions) completeStateDir() (err error) {
	if o.stateDir == "" {
		if o.stateDir, err = defaultStateDir(); err != nil {
			return fmt.Errorf("cannot tell where to keep state: %w; give --state-dir", err)
		}
	}
	o.stateDir, err = filepath.Abs(o.stateDir)
	return err
}

func defaultStateDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/windlass", nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state", "windlass"), err
}

// gitOptions are the options of the deploy repo, with what is kept of it in dir.
func (o *agentOptions) gitOptions(dir string) gitrepo.Options {
	g := gitrepo.Options{
		URL: o.repo, Branch: o.branch, Path: o.path, Dir: dir, AcceptRevision: o.accepts, Verify: o.verify, Trust: o.trust,
		TokenFile: o.gitTokenFile, SSHKey: o.gitSSHKey, SSHAgent: os.Getenv("SSH_AUTH_SOCK"), KnownHosts: o.gitKnownHosts,
	}
	if known := defaultKnownHosts(); g.KnownHosts == "" && len(known) > 0 {
		g.KnownHosts = known[0]
	}
	return g
}

// nodeKnownHosts are the files that say which node is which.
func (o *agentOptions) nodeKnownHosts() []string {
	if o.sshKnownHosts != "" {
		return []string{o.sshKnownHosts}
	}
	return defaultKnownHosts()
}

// defaultKnownHosts are those of the usual files that there are.
func defaultKnownHosts() []string {
	var files []string
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".ssh", "known_hosts"))
	}
	var found []string
	for _, file := range append(files, "/etc/ssh/ssh_known_hosts") {
		if readable(file) == nil {
			found = append(found, file)
		}
	}
	return found
}
