package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func newRun() *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent",
		Long: `Run the agent: follow a branch of the deploy repo and bring every fleet there to what it says, one safe step after another.

It stops at a safe point on SIGTERM or Ctrl-C, and says what is left; the next agent goes on from there. A second signal ends it
at once, which is safe as well. AWS settings are the SDK's own (AWS_REGION, AWS_PROFILE, instance role …), and only fleets that
name instances or load balancers need any.

With --verify signed a commit of the deploy repo is in force only if it is signed by who may sign by the files in trust/ of the commit
before it, and all that it merged as well; the last good one stays in force otherwise. What it begins with says --accept-revision, or
--trust with files of this machine.

With --web-config everything is served on any address. Where it names users, whoever asks for more than /healthz and /readyz has to
give user and password. On an address that is not loopback it has to name users and TLS, or to require client certificates. While
the agent runs, a version of the file that is broken, or that would let in everybody again, changes nothing.

With --webhook-listen a push is seen at once rather than at the next --interval. Webhooks prove themselves by the secret of
--webhook-secret-file and by nothing else: users and client certificates of --web-config are not asked for there, its TLS is spoken.`,
		Example: `  windlass run --repo https://git.example.com/ops/deploy --git-token-file /etc/windlass/token --ssh-key /etc/windlass/id_ed25519
  windlass run --config /etc/windlass/windlass.yaml --log-format json
  windlass run --config /etc/windlass/windlass.yaml --verify signed --accept-revision 3f2a9c1
  windlass run --config /etc/windlass/windlass.yaml --listen 0.0.0.0:9190 --web-config /etc/windlass/web.yaml
  windlass run --config /etc/windlass/windlass.yaml --webhook-listen 127.0.0.1:9191 --webhook-secret-file /etc/windlass/webhook-secret`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.gateInterval < leastInterval {
				return fmt.Errorf("--gate-interval %v is too short: give at least %v", o.gateInterval, leastInterval)
			}
			log := newLog(cmd.ErrOrStderr(), o.logFormat)
			a, err := openAgent(o, log)
			if err != nil {
				return err
			}
			defer a.Close()
			err = a.run(cmd.Context())
			log.Info("stopped", "nodes_left_under_way", a.left())
			return err
		},
	}
	o.shared(cmd)
	f := cmd.Flags()
	f.DurationVar(&o.gateInterval, "gate-interval", 30*time.Second, "how often a gate that holds a rollout back is asked again, such as what the checks of a release say")
	f.StringVar(&o.listen, "listen", "127.0.0.1:9190", "`address` for status page, API and metrics; port 0 takes a free one. An address that is not loopback serves only /metrics, /healthz and /readyz without --web-config")
	f.StringVar(&o.webConfig, "web-config", "", "`file` with TLS and users for --listen, in the format of Prometheus's exporter-toolkit; taken anew when it changes")
	f.StringVar(&o.forges, "forges", "", "`file` that says which host is a GitHub, a GitLab or a Gitea, and whose token is used there: commits of the deploy repo are told what becomes of them, and the checks of releases are read")
	f.StringVar(&o.notify, "notify", "", "`file` with the channels (Slack, Google Chat, Teams, mail, Alertmanager, webhooks) that fleets name under notify; read at the start")
	f.StringVar(&o.webhookListen, "webhook-listen", "", "`address` for webhooks of the deploy repo's forge, POST /hooks/git and nothing else; a push is then seen at once")
	f.StringVar(&o.webhookSecretFile, "webhook-secret-file", "", "`file` with the secret that webhooks prove to know, or with one in each line; read at each of them")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.accepts, "accept-revision", "", "`commit` that a person has accepted, with its history: one that was rewritten, or the one from which --verify signed begins")
	return configurable(cmd)
}

// left counts the nodes that the next agent has to go on with.
func (a *agent) left() int {
	n := 0
	for _, fleet := range a.core.Snapshot().Fleets {
		for _, node := range fleet.Nodes {
			if node.UnderWay {
				n++
			}
		}
	}
	return n
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
